"""The two passes of a Linen module: evaluation, and training with its noise and statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import nets
from ae_jax.core import InputError
from ae_jax.nets.residual import BatchNorm

X = 2.0 + jnp.arange(12, dtype=jnp.float32).reshape(4, 3) ** 2


class Noisy(nn.Module):
    statistics: bool

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return BatchNorm()(x, train) if self.statistics else nn.Dense(2)(x)


class Stateful(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(x)


class Counting(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        count = self.variable("counts", "calls", lambda: 0)
        count.value += 1
        return x


def test_dropout_is_in_the_training_pass_only():
    network = nets.flax_network(Noisy(statistics=False))
    params = network.init(jax.random.key(0), X)
    assert set(params) == {"Dense_0"}  # plain, without state
    expected = nn.Dense(2).apply({"params": params["Dense_0"]}, X)
    np.testing.assert_array_equal(network.apply(params, X), expected)

    keys = jax.random.split(jax.random.key(1), 2)
    outputs = [network.train(key, params, X) for key in (keys[0], keys[0], keys[1])]
    assert all(changes == {} for _, changes in outputs)
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])
    assert np.any(outputs[0][0] != outputs[2][0])
    assert np.any(outputs[0][0] != expected)


def test_statistics_are_parameters_that_the_training_pass_changes():
    network = nets.flax_network(Noisy(statistics=True))
    parameters = network.init(jax.random.key(0), X)
    assert set(parameters) == {"params", "batch_stats"}
    before = jax.tree.map(np.asarray, parameters)
    _, changes = network.train(jax.random.key(1), parameters, X)
    assert set(changes) == {"batch_stats"}
    jax.tree.map(np.testing.assert_array_equal, parameters, before)
    replaced = {**parameters, **changes}
    assert jax.tree.map(jnp.shape, replaced) == jax.tree.map(jnp.shape, parameters)
    assert np.any(network.apply(replaced, X) != network.apply(parameters, X))


def test_statistics_move_the_loss_by_no_gradient():
    network = nets.flax_network(BatchNorm())

    def loss(parameters):
        return jnp.sum(network.train(jax.random.key(0), parameters, X)[0] ** 3)

    gradient = jax.grad(loss)(network.init(jax.random.key(0), X))
    assert set(gradient) == {"params", "batch_stats"}
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, 0), gradient["batch_stats"])


def test_without_the_argument_there_is_no_training_pass():
    assert nets.flax_network(nn.Dense(2)).train is None
    network = nets.flax_network(Stateful())
    with pytest.raises(InputError, match=r"batch_stats\); .*give its __call__ the argument train"):
        network.init(jax.random.key(0), X)


@pytest.mark.parametrize("module", [nn.BatchNorm(use_running_average=False), nn.Dropout(0.5)])
def test_a_switch_of_another_name_is_refused(module):
    with pytest.raises(InputError, match="would be the same in training and evaluation"):
        nets.flax_network(module)


def test_other_state_is_refused():
    network = nets.flax_network(Counting())
    with pytest.raises(InputError, match=r"Counting has state besides parameters \(counts\)"):
        network.init(jax.random.key(0), X)


class CalledLate(nn.Module):
    """Whose dropout is told in its call, and has no rate in a second layer."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.Dropout(0.5)(x, deterministic=not train)
        return nn.Dropout(0.0, deterministic=not train)(x)


def test_a_noisy_pass_has_dropout_and_running_statistics():
    network = nets.flax_network(Noisy(statistics=True))
    params = network.init(jax.random.key(0), X)
    made = network.noisy(jax.random.key(1), params, X) * np.sqrt(1 + 1e-5)
    kept = np.asarray(made) != 0
    assert kept.any()
    assert not kept.all()
    np.testing.assert_allclose(made, np.where(kept, 2 * X, 0), rtol=1e-6)
    trained, _ = network.train(jax.random.key(1), params, X)
    np.testing.assert_allclose(trained.mean(axis=0), 0, atol=1e-6)  # of the batch itself
    late = nets.flax_network(CalledLate())
    made = late.noisy(jax.random.key(2), {}, jnp.ones((50, 100)))
    assert set(np.unique(made)) == {0, 2}
    assert abs(np.mean(made) - 1) < 0.05  # 3.5 deviations
    assert nets.flax_network(nn.Dense(2)).noisy is None


def test_a_chain_is_noisy_where_its_parts_are():
    network = nets.chain(nets.mlp(6, ()), nets.dropout(0.5), nets.mlp(2, ()), nets.noise(0.1))
    params = network.init(jax.random.key(0), X)
    expected, _ = network.train(jax.random.key(1), params, X)
    np.testing.assert_array_equal(network.noisy(jax.random.key(1), params, X), expected)
    assert nets.chain(nets.mlp(6, ()), nets.mlp(2, ())).noisy is None


def test_parameters_of_another_network_are_refused_in_one_line():
    small, large = nets.mlp(2, (3,)), nets.mlp(2, (5,))
    params = jax.eval_shape(small.init, jax.random.key(0), X)
    for network, x in ((large, X), (small, X[:, :2]), (nets.mlp(2, (3, 3)), X)):
        with pytest.raises(InputError, match="MLP is given the parameters of another") as refused:
            jax.eval_shape(network.apply, params, x)
        assert "\n" not in str(refused.value)
        assert "http" not in str(refused.value)
