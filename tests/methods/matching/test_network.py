"""The matching network's step against its gradient by hand, and on an autoencoder's latents."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from ae_jax import losses, methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods import discrepancies
from ae_jax.methods.matching import blocks as own_blocks

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
HPARAMS = {"learning_rate": 0.3, "kernel_scale": 2.0}
REAL = np.array([[0.9], [0.2], [0.7], [0.5], [0.1]])
WEIGHTS = np.array([0.4, -0.6])


def linear():
    """weights . z, and in training a running sum of the passes' latents."""

    def init(key, z):
        return {"weights": jnp.asarray(WEIGHTS), "seen": jnp.zeros(z.shape[1:], z.dtype)}

    def train(key, params, z):
        return (z @ params["weights"])[:, None], {"seen": params["seen"] + jnp.sum(z, axis=0)}

    return Network(init, lambda params, z: (z @ params["weights"])[:, None], train)


@pytest.mark.parametrize("root", [True, False])
def test_a_step_is_gradient_descent_on_the_discrepancy(root):
    part = discrepancies.mmd((0.1, 0.5), root=root)
    method = methods.matching_network(linear(), 2, part, optimizer=optax.identity())
    assert method.hparams == {"learning_rate": 1e-3, "kernel_scale": 1.0}
    batch = {"image": REAL}
    state = method.init(KEY, batch, HPARAMS)
    after, info = jax.jit(method.step)(jax.random.key(6), state, batch, HPARAMS)

    noise_key, _ = jax.random.split(jax.random.split(jax.random.key(6))[0])
    z = np.asarray(jax.random.uniform(noise_key, (5, 2), float, -1))
    made = expit(z @ WEIGHTS)
    # in units of the root mean squared distance of two different examples
    length = np.sqrt(np.mean([(a - b) ** 2 for a in REAL for b in REAL]) * 5 / 4)
    x, y = made / length, REAL[:, 0] / length

    def kernel(a, b, slope=False):
        apart = a[:, None] - b[None]
        return sum(np.exp(-(apart**2) / (2 * s)) * (-apart / s if slope else 1) for s in (0.2, 1.0))

    square = kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()
    in_x = 2 / 25 * (kernel(x, x, True).sum(axis=1) - kernel(x, y, True).sum(axis=1))
    loss = np.sqrt(square + 1e-6) if root else square
    in_x = in_x / (2 * loss) if root else in_x
    gradient = (in_x / length * made * (1 - made)) @ z
    np.testing.assert_allclose(info["loss"], loss, rtol=1e-12)
    np.testing.assert_allclose(info["gradient_norm"], np.linalg.norm(gradient), rtol=1e-12)
    found = after.params["generator"]
    np.testing.assert_allclose(found["weights"], WEIGHTS - 0.3 * gradient, rtol=1e-12)
    np.testing.assert_allclose(found["seen"], z.sum(axis=0), rtol=1e-12)
    chex.assert_trees_all_equal(after.running, state.running)

    sample = method.views.sample(KEY, state, 3, HPARAMS)
    latent = jax.random.uniform(KEY, (3, 2), float, -1)
    np.testing.assert_allclose(sample, method.views.decode(state, latent, HPARAMS))
    np.testing.assert_allclose(sample[:, 0], expit(np.asarray(latent) @ WEIGHTS), rtol=1e-12)


def test_a_whole_data_set_is_compared_at_once_and_large_ones_in_blocks(monkeypatch):
    method = methods.matching_network(
        nets.mlp(3, ()),
        2,
        discrepancies.sliced_wasserstein(3),
        output=jnp.tanh,
        prior=jax.random.normal,
    )
    hparams = dict(method.hparams)
    real = np.random.default_rng(1).standard_normal((11, 3))
    state = method.init(KEY, {"image": real}, hparams)
    values = jax.jit(method.evaluate)(jax.random.key(7), state, {"image": real}, hparams)
    noise_key, _ = jax.random.split(jax.random.split(jax.random.key(7))[0])
    latent = jax.random.normal(noise_key, (11, 2), float)
    made = np.asarray(method.views.decode(state, latent, hparams))
    assert np.all(np.abs(made) < 1)
    directions = np.asarray(losses.random_directions(jax.random.key(0), 3, 3))

    def between(rows):
        x, y = (np.sort(s[rows] @ directions.T, axis=0) for s in (made, real))
        return np.mean((x - y) ** 2) / state.running["length"] ** 2

    def loss(size, count):
        monkeypatch.setattr(own_blocks, "BLOCK", size)
        return jax.jit(lambda *given: method.conclude(*given)["loss"])(
            values, np.arange(11) < count, hparams
        )

    np.testing.assert_allclose(loss(11, 9), between(slice(0, 9)), rtol=1e-12)
    blocks = 4 * between(slice(0, 4)) + 3 * between(slice(4, 7))
    # the third block is padding alone
    np.testing.assert_allclose(loss(4, 7), blocks / 7, rtol=1e-12)


def test_blocks_are_of_a_thousand():
    part = discrepancies.Discrepancy({}, lambda key, x, y, hparams, present: jnp.sum(x) + len(x))
    method = methods.matching_network(linear(), 2, part)
    for count in (1000, 1001):
        values = {name: jnp.zeros((count, 1)) for name in ("generated", "real")}
        found = jax.jit(method.conclude)(values, jnp.ones(count, bool), {})
        np.testing.assert_allclose(found["loss"], min(count, 1000), rtol=1e-12)


def test_examples_that_are_all_the_same_are_at_no_distance():
    method = methods.matching_network(nets.mlp(2, ()), 2)
    for batch in (np.full((4, 2), 0.7), np.full((1, 2), 0.7)):
        state = jax.jit(method.init)(KEY, {"image": batch}, dict(method.hparams))
        assert state.running["length"] == 1


def identity():
    return Network(lambda key, x: {}, lambda params, x: x)


def test_with_an_identity_as_autoencoder_it_is_itself_bit_for_bit():
    inner = methods.matching_network(nets.mlp(3, (4,)), 2)
    staged, hparams = methods.stage(identity(), inner, identity()), dict(inner.hparams)
    batch = {"image": np.random.default_rng(2).random((6, 3))}

    def trained(method, key):
        def run(key):
            state = method.init(key, batch, hparams)
            for i in range(3):
                state, _ = method.step(jax.random.key(i), state, batch, hparams)
            sample = method.views.sample(jax.random.key(3), state, 4, hparams)
            return state, sample, method.evaluate(jax.random.key(4), state, batch, hparams)

        return jax.jit(run)(key)

    alone, *given = trained(inner, jax.random.split(KEY, 3)[2])
    state, *others = trained(staged, KEY)
    chex.assert_trees_all_equal((state.method, *others), (alone, *given))


def test_on_latents_it_moves_nothing_of_the_autoencoder():
    encoder, decoder = nets.mlp(2, (), output_activation="sigmoid"), nets.mlp(3, ())
    method = methods.stage(encoder, methods.matching_network(nets.mlp(2, (4,)), 2), decoder)
    hparams, batch = dict(method.hparams), {"image": np.random.default_rng(3).random((6, 3))}
    start = {
        "encoder": encoder.init(jax.random.key(8), batch["image"]),
        "decoder": decoder.init(jax.random.key(9), jnp.zeros((1, 2), float)),
    }

    @jax.jit
    def run(key):
        state = method.init(key, batch, hparams, start)
        after, info = method.step(jax.random.key(1), state, batch, hparams)
        values = method.evaluate(jax.random.key(2), after, batch, hparams)
        return after, info, values, method.views.sample(jax.random.key(3), after, 5, hparams)

    after, info, values, sample = run(KEY)
    chex.assert_trees_all_equal(after.frozen, start)
    # what is matched are the codes
    code = encoder.apply(start["encoder"], batch["image"])
    np.testing.assert_allclose(values["real"] * after.method.running["length"], code, rtol=1e-12)
    assert sample.shape == (5, 3)
    assert info["gradient_norm"] > 0


def test_what_does_not_fit_is_refused():
    method = methods.matching_network(nets.mlp(2, ()), 2)
    with pytest.raises(InputError, match=r"makes \[5, 2\] of a batch of \[5, 1\]: give it"):
        jax.eval_shape(method.init, KEY, {"image": REAL}, dict(method.hparams))
    with pytest.raises(InputError, match="latent_size is 0"):
        methods.matching_network(nets.mlp(2, ()), 0)


def test_it_is_the_published_loss_without_units():
    method = methods.matching_network(
        nets.mlp(3, ()), 2, discrepancies.mmd((2.0, 80.0)), relative=False
    )
    hparams, real = dict(method.hparams), np.random.default_rng(4).random((6, 3))
    state = method.init(KEY, {"image": real}, hparams)
    assert not state.running
    values = method.evaluate(KEY, state, {"image": real}, hparams)
    np.testing.assert_array_equal(values["real"], real)
    loss = method.conclude(values, jnp.ones(6, bool), hparams)["loss"]
    kernel = losses.gaussian_mixture_kernel([2.0, 80.0])
    np.testing.assert_allclose(loss, losses.mmd(values["generated"], real, kernel), rtol=1e-12)
