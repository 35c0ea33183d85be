"""Both players' moves against their gradients by hand, of networks that can be written out."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from ae_jax import data, methods, nets, training
from ae_jax.core import NOT_NEGATIVE, POSITIVE, InputError, Network

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
ROWS = 4
HPARAMS = {"learning_rate": 0.3, "discriminator_learning_rate": 0.7}


def perturbed(key, count):
    """What training adds to an output: the noise of a dropout layer."""
    return jax.random.normal(key, (count,), float)


def player(weights, output, trains):
    """weights . x, as the mean of a Gaussian in training, and a running mean of x."""

    def init(key, x):
        return {"weights": jnp.asarray(weights), "running": {"mean": jnp.full(x.shape[1:], 0.25)}}

    def apply(params, x):
        return output(x @ params["weights"])

    def train(key, params, x):
        logits = x @ params["weights"] + perturbed(key, len(x))
        mean = (params["running"]["mean"] + jnp.mean(x, axis=0)) / 2
        return output(logits), {"running": {"mean": mean}}

    return Network(init, apply, train if trains else None)


def built(trains, **options):
    generator = player([0.4, -0.6], lambda x: x[:, None], trains)
    discriminator = player([1.5], lambda x: x[:, None], trains)
    return methods.gan(generator, discriminator, 2, optimizer=optax.identity(), **options)


def real():
    return {"image": jnp.array([[0.9], [0.2], [0.7], [0.5]])}


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("trains", [False, True])
def test_a_step_moves_the_discriminator_and_then_the_generator(trains):
    method = built(trains)
    state = method.init(KEY, real(), HPARAMS)
    after, info = jax.jit(method.step)(jax.random.key(6), state, real(), HPARAMS)

    d_key, g_key = jax.random.split(jax.random.key(6))
    (z_key, *d_keys), (other_key, *g_keys) = jax.random.split(d_key, 4), jax.random.split(g_key, 3)
    z, other_z = (np.asarray(jax.random.normal(k, (ROWS, 2), float)) for k in (z_key, other_key))
    noise = [
        np.asarray(perturbed(k, ROWS)) if trains else np.zeros(ROWS) for k in (*d_keys, *g_keys)
    ]
    theta, psi, x = np.array([0.4, -0.6]), 1.5, np.asarray(real()["image"])[:, 0]

    # d/d psi of -log D(x) - log(1 - D(g))
    g = expit(z @ theta + noise[0])
    real_logit, fake_logit = psi * x + noise[1], psi * g + noise[2]
    d_loss = np.mean(softplus(-real_logit) + softplus(fake_logit))
    d_psi = np.mean(-expit(-real_logit) * x + expit(fake_logit) * g)
    psi_after = psi - 0.7 * d_psi
    found = after.params["discriminator"]["weights"]
    np.testing.assert_allclose(found, [psi_after], rtol=1e-12)
    np.testing.assert_allclose(info["discriminator_loss"], d_loss, rtol=1e-12)
    np.testing.assert_allclose(info["discriminator_gradient_norm"], abs(d_psi), rtol=1e-12)

    # d/d theta of -log D(g), for the discriminator that has moved; log(1 - D(g)) would saturate
    g = expit(other_z @ theta + noise[3])
    fake_logit = psi_after * g + noise[4]
    d_theta = np.mean((-expit(-fake_logit) * psi_after * g * (1 - g))[:, None] * other_z, axis=0)
    found = after.params["generator"]["weights"]
    np.testing.assert_allclose(found, theta - 0.3 * d_theta, rtol=1e-12)
    np.testing.assert_allclose(info["generator_loss"], np.mean(softplus(-fake_logit)), rtol=1e-12)
    norm = np.linalg.norm(d_theta)
    np.testing.assert_allclose(info["generator_gradient_norm"], norm, rtol=1e-12)

    # statistics: of the real examples, then of the others; and of the generator's own move alone
    images = expit(z @ theta + noise[0])
    d_mean = ((0.25 + x.mean()) / 2 + images.mean()) / 2 if trains else 0.25
    g_mean = (0.25 + other_z.mean(axis=0)) / 2 if trains else [0.25, 0.25]
    for name, mean in (("discriminator", d_mean), ("generator", g_mean)):
        found = after.params[name]["running"]["mean"]
        np.testing.assert_allclose(found.ravel(), mean, rtol=1e-12)


def test_the_saturating_loss_has_another_gradient_where_the_discriminator_is_sure():
    """At D(g) near 0 the generator's gradient stays near its largest; a saturating one dies."""
    method = built(False)
    state = method.init(KEY, real(), HPARAMS)
    discriminator = {**state.params["discriminator"], "weights": jnp.array([-40.0])}
    sure = state._replace(params={**state.params, "discriminator": discriminator})
    slow = HPARAMS | {"discriminator_learning_rate": 0.0}
    _, info = jax.jit(method.step)(KEY, sure, real(), slow)
    assert info["generator_gradient_norm"] > 1
    assert info["generator_loss"] > 5


@pytest.mark.parametrize(
    ("still", "moves"),
    [("generator", "discriminator"), ("discriminator", "generator")],
)
def test_each_player_has_a_learning_rate(still, moves):
    name = {"generator": "learning_rate", "discriminator": "discriminator_learning_rate"}
    method = built(False, **{name[still]: 0.0, name[moves]: 0.5})
    hparams = dict(method.hparams)
    state = method.init(KEY, real(), hparams)
    after, _ = jax.jit(method.step)(KEY, state, real(), hparams)
    chex.assert_trees_all_equal(after.params[still], state.params[still])
    assert np.any(after.params[moves]["weights"] != state.params[moves]["weights"])


def test_evaluation_is_deterministic_but_for_the_latents():
    method = built(True)
    state = method.init(KEY, real(), HPARAMS)
    values = jax.jit(method.evaluate)(KEY, state, real(), HPARAMS)
    assert set(values) == {"discriminator_loss", "generator_loss"}
    keys = [jax.random.split(k, n)[0] for k, n in zip(jax.random.split(KEY), (4, 3), strict=True)]
    z, other_z = (np.asarray(jax.random.normal(k, (ROWS, 2), float)) for k in keys)
    g, other_g = (1.5 * expit(latent @ [0.4, -0.6]) for latent in (z, other_z))
    x = 1.5 * np.asarray(real()["image"])[:, 0]
    np.testing.assert_allclose(values["discriminator_loss"], softplus(-x) + softplus(g), rtol=1e-12)
    np.testing.assert_allclose(values["generator_loss"], softplus(-other_g), rtol=1e-12)
    # what it makes is in (0, 1), of its evaluation pass
    sample = method.views.sample(KEY, state, 3, HPARAMS)
    latent = jax.random.normal(KEY, (3, 2), float)
    np.testing.assert_allclose(sample[:, 0], expit(np.asarray(latent) @ [0.4, -0.6]), rtol=1e-12)
    np.testing.assert_array_equal(method.views.decode(state, latent, HPARAMS), sample)


def test_the_default_optimizer_and_rates_are_radfords():
    method = methods.gan(nets.mlp(1, ()), nets.mlp(1, ()), 2)
    assert method.hparams == {"learning_rate": 2e-4, "discriminator_learning_rate": 2e-4}
    assert method.domains == {
        "learning_rate": POSITIVE,
        "discriminator_learning_rate": NOT_NEGATIVE,
    }
    adam = methods.gan(nets.mlp(1, ()), nets.mlp(1, ()), 2, optimizer=optax.scale_by_adam(0.5))
    hparams = dict(method.hparams)
    states = [jax.jit(m.init)(KEY, real(), hparams) for m in (method, adam)]
    chex.assert_trees_all_equal(*states)
    steps = [jax.jit(m.step) for m in (method, adam)]
    for i in range(2):  # the first step of Adam is the same for any decay
        key = jax.random.key(i)
        states = [s(key, state, real(), hparams)[0] for s, state in zip(steps, states, strict=True)]
    chex.assert_trees_all_equal(*states)


def test_refuses():
    with pytest.raises(InputError, match="latent_size is 0: use a whole number, 1 or more"):
        methods.gan(nets.mlp(1, ()), nets.mlp(1, ()), 0)
    two = methods.gan(nets.mlp(1, ()), nets.mlp(2, ()), 2)
    with pytest.raises(InputError, match=r"one logit, \[B, 1\], and gives \[4, 2\]"):
        two.init(KEY, real(), HPARAMS)
    # there is no best state of players of whom none has a loss that must fall
    images = data.stored(np.zeros((8, 2, 2, 1), np.float32))
    method = methods.gan(nets.mlp((2, 2, 1), ()), nets.mlp(1, ()), 2)
    with pytest.raises(InputError, match="needs an evaluation 'loss': choose a monitor"):
        training.run(
            method,
            images,
            training.grid(seed=0),
            1,
            batch_size=4,
            validation=images,
            select="best",
        )
