"""Penalties alone, and what they refuse; their sum is tested in test_autoencoder.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods import penalties
from tests.methods.drawn import drawn

SHAPE = (4, 4, 1)
KEY = jax.random.key(4)


def batch():
    return {"image": jax.random.uniform(jax.random.key(0), (6, *SHAPE))}


def begin(method):
    return jax.eval_shape(method.init, KEY, batch(), dict(method.hparams))


def sigmoid_layer(size=5):
    return nets.mlp(size, (), output_activation="sigmoid")


def kl(rate, target):
    return target * np.log(target / rate) + (1 - target) * np.log((1 - target) / (1 - rate))


def test_the_three_contractive_penalties_agree(x64):
    three = [
        methods.autoencoder(
            sigmoid_layer(), nets.mlp(SHAPE, ()), penalties=[penalties.contractive(1.0, way, 4000)]
        )
        for way in ("jacobian", "sigmoid", "hutchinson")
    ]

    @jax.jit
    def evaluated(state):
        return [m.evaluate(KEY, state, batch(), dict(m.hparams))["loss"] for m in three]

    wanted, closed, estimate = evaluated(drawn(three[0], batch()))
    np.testing.assert_allclose(closed, wanted, rtol=1e-12)
    np.testing.assert_allclose(estimate, wanted, rtol=0.01)


def scaled_sigmoid(slope=1.0, skip=0.0):
    """sigmoid(slope x W) + skip x W, of one kernel."""

    def apply(params, x):
        z = x.reshape(x.shape[0], -1) @ params
        return jax.nn.sigmoid(slope * z) + skip * z

    return Network(lambda key, x: jnp.ones((16, 5), x.dtype), apply)


@pytest.mark.parametrize(
    "encoder",
    [
        *(nets.mlp(5, (), output_activation=ends) for ends in ("tanh", "relu", "linear", "binary")),
        nets.mlp(5, (3,), output_activation="sigmoid"),
        scaled_sigmoid(2.0),
        scaled_sigmoid(-1.0),
        scaled_sigmoid(skip=0.03),
    ],
)
def test_the_closed_form_refuses_what_is_not_one_sigmoid_layer(encoder):
    method = methods.autoencoder(
        encoder, nets.mlp(SHAPE, ()), penalties=[penalties.contractive(1.0, "sigmoid")]
    )
    with pytest.raises(InputError, match="one dense sigmoid layer"):
        jax.eval_shape(method.init, KEY, batch(), dict(method.hparams))


@pytest.mark.parametrize("encoder", [sigmoid_layer(1), sigmoid_layer(300), scaled_sigmoid()])
def test_the_closed_form_takes_every_sigmoid_layer(encoder):
    method = methods.autoencoder(
        encoder, nets.mlp(SHAPE, ()), penalties=[penalties.contractive(1.0, "sigmoid")]
    )
    init = jax.vmap(method.init, in_axes=(0, None, None))  # traced, as in a sweep
    jax.eval_shape(init, jax.random.split(KEY), batch(), dict(method.hparams))


def test_sparsity_refuses_latents_that_are_a_little_above_a_rate():
    layer = sigmoid_layer()
    method = methods.autoencoder(
        Network(layer.init, lambda params, x: 1.5 * layer.apply(params, x)),
        nets.mlp(SHAPE, ()),
        penalties=[penalties.sparsity()],
    )
    with pytest.raises(InputError, match="leaves the range of sigmoid units"):
        begin(method)


def test_their_defaults():
    assert penalties.contractive().hparams == {"contractive_weight": 1.0}
    assert penalties.sparsity().hparams == {"sparsity_weight": 1.0, "sparsity_target": 0.05}
    assert penalties.l1().hparams == {"l1_weight": 1.0}
    assert penalties.weight_decay().hparams == {"weight_decay": 1e-4}
    kernel = jax.random.normal(KEY, (16, 5))
    seen = penalties.Pass({}, lambda x: jnp.tanh(x @ kernel), jnp.ones((2, 16)), jnp.ones((2, 5)))
    estimates = [
        penalties.contractive(1.0, "hutchinson", *samples).apply(
            KEY, seen, {"contractive_weight": 1.0}
        )
        for samples in ((), (1,), (2,))
    ]
    np.testing.assert_array_equal(estimates[0], estimates[1])
    assert np.all(estimates[0] != estimates[2])


def test_an_unknown_way_to_the_jacobian_is_refused():
    with pytest.raises(InputError, match="jacobian, sigmoid or hutchinson"):
        penalties.contractive(1.0, "fast")
    with pytest.raises(InputError, match="samples is 0: use a whole number, 1 or more"):
        penalties.contractive(1.0, "hutchinson", samples=0)


def test_running_sparsity_is_a_running_mean_with_the_batch_gradient(x64):
    penalty = penalties.sparsity(1.0, 0.2, momentum=0.75)
    hidden = jax.nn.sigmoid(jax.random.normal(jax.random.key(0), (6, 3)))
    running = jnp.array([0.1, 0.2, 0.9])

    def seen(latent, running):
        return penalties.Pass({}, lambda x: x, latent, latent, running)

    np.testing.assert_allclose(
        penalty.run(seen(hidden, running), penalty.hparams),
        0.75 * running + 0.25 * jnp.mean(hidden, axis=0),
    )
    np.testing.assert_allclose(
        penalty.run(seen(hidden, None), penalty.hparams), jnp.mean(hidden, axis=0)
    )

    def value(latent):
        return penalty.apply(jax.random.key(0), seen(latent, running), penalty.hparams)[0]

    rho = 0.2
    kl = rho * np.log(rho / running) + (1 - rho) * np.log((1 - rho) / (1 - running))
    found, gradient = jax.jit(jax.value_and_grad(value))(hidden)
    np.testing.assert_allclose(found, kl.sum(), rtol=1e-12)
    slope = ((1 - rho) / (1 - running) - rho / running) / 6
    np.testing.assert_allclose(gradient, np.broadcast_to(slope, (6, 3)), rtol=1e-12, atol=1e-15)


def test_what_is_not_present_may_be_anything():
    penalty = penalties.sparsity(2.0, 0.25)
    latent = np.array([[0.5, 0.25], [0.25, 0.75], [np.nan, np.inf]], np.float32)
    value = penalty.over(latent, np.array([True, True, False]), penalty.hparams)
    np.testing.assert_allclose(value, 2 * kl(np.array([0.375, 0.5]), 0.25).sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("activation", "inside"),
    [
        ("sigmoid", {"sigmoid", "binary"}),
        ("tanh", {"sigmoid", "binary", "tanh"}),
        ("relu", {"sigmoid", "binary", "relu", "softplus"}),
    ],
)
def test_sparsity_refuses_latents_that_are_no_rates(activation, inside):
    for ends in ("sigmoid", "binary", "tanh", "relu", "softplus", "linear"):
        method = methods.autoencoder(
            nets.mlp(5, (), output_activation=ends),
            nets.mlp(SHAPE, ()),
            penalties=[penalties.sparsity(activation=activation)],
        )
        if ends in inside:
            assert begin(method).params
        else:
            with pytest.raises(InputError, match=f"leaves the range of {activation} units"):
                begin(method)
    with pytest.raises(InputError, match="no rate"):
        penalties.sparsity(activation="linear")
