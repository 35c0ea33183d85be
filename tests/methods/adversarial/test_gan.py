"""Both players' moves against their gradients by hand, of networks that can be written out."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from ae_jax import data, losses, methods, nets, training
from ae_jax.core import NOT_NEGATIVE, POSITIVE, InputError, Network
from ae_jax.methods.adversarial import regularisers

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
ROWS = 4
HPARAMS = {"learning_rate": 0.3, "discriminator_learning_rate": 0.7}


class Keys:
    """What a move draws its latents, the noise of its passes and instance noise by."""

    def __init__(self, key):
        generating, judging = jax.random.split(key)
        self.latent, self.generator = jax.random.split(generating)
        # prefixes of a split are the same, whatever its length
        self.real, self.fake, self.shown_real, self.shown_fake = jax.random.split(judging, 4)


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

    d, g = map(Keys, jax.random.split(jax.random.key(6)))
    z, other_z = (np.asarray(jax.random.normal(k.latent, (ROWS, 2), float)) for k in (d, g))
    passes = d.generator, d.real, d.fake, g.generator, g.fake
    noise = [np.asarray(perturbed(k, ROWS)) if trains else np.zeros(ROWS) for k in passes]
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

    # statistics: of the real examples as of the others; and of the generator's own move alone
    images = expit(z @ theta + noise[0])
    d_mean = (0.25 + (x.mean() + images.mean()) / 2) / 2 if trains else 0.25
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
    keys = [Keys(k).latent for k in jax.random.split(KEY)]
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


def test_batch_statistics_are_no_weights():
    """They follow their batches, and no optimizer has moments of them."""
    normalised = nets.chain(nets.mlp(3, ()), nets.flax_network(nets.BatchNorm()), nets.mlp(1, ()))
    method = methods.gan(normalised, normalised, 2)
    state = jax.eval_shape(method.init, KEY, real(), dict(method.hparams))

    def paths(tree):
        return [str(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]

    for network in ("generator", "discriminator"):
        assert any("batch_stats" in path for path in paths(state.params[network]))
        moments = paths(state.optimizer[network])
        assert any("Dense_0" in path for path in moments)
        assert not any("batch_stats" in path for path in moments)


def test_refuses():
    with pytest.raises(InputError, match="latent_size is 0: use a whole number, 1 or more"):
        methods.gan(nets.mlp(1, ()), nets.mlp(1, ()), 0)
    two = methods.gan(nets.mlp(1, ()), nets.mlp(2, ()), 2)
    with pytest.raises(InputError, match=r"one logit, \[B, 1\], or one .* gives \[4, 2\]"):
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


EVERYTHING = {
    "objective": losses.adversarial.least_squares(-1.0, 1.0, 0.0),
    "regularisers": [
        regularisers.r1(0.8),
        regularisers.r2(0.3),
        regularisers.instance_noise(0.2),
        regularisers.label_smoothing(0.1),
    ],
    "prior": lambda key, shape: jax.random.uniform(key, shape, minval=-1.0),
    "output": jnp.tanh,
    "average": True,
    "ema_decay": 0.75,
}


def drawn(key, rows):
    """What a move draws: latents, and the noise on the two sides that the critic is shown."""
    keys = Keys(key)
    z = jax.random.uniform(keys.latent, (rows, 2), minval=-1.0)
    return np.asarray(z), keys


def shown(key, x):
    """With instance noise: the third of four regularisers."""
    return x + 0.2 * np.asarray(jax.random.normal(jax.random.split(key, 4)[2], x.shape))


@pytest.mark.parametrize("simultaneous", [False, True])
def test_a_step_of_another_game(simultaneous):
    """Least squares, both penalties, noise, smoothing, a prior, two steps, an average."""
    method = built(False, discriminator_steps=2, simultaneous=simultaneous, **EVERYTHING)
    hparams = {**method.hparams, **HPARAMS}
    state = method.init(KEY, real(), hparams)
    after, info = jax.jit(method.step)(jax.random.key(6), state, real(), hparams)
    theta, psi, x = np.array([0.4, -0.6]), 1.5, np.asarray(real()["image"])[:, 0]

    d_key, g_key = jax.random.split(jax.random.key(6))
    losses_seen = []
    for key, part in zip(jax.random.split(d_key), (x[:2], x[2:]), strict=True):
        z, keys = drawn(key, 2)
        r = shown(keys.shown_real, part[:, None])[:, 0]
        f = shown(keys.shown_fake, np.tanh(z @ theta)[:, None])[:, 0]
        # 0.9 (D(r) - 1)^2 / 2 + 0.1 (D(r) + 1)^2 / 2 + (D(f) + 1)^2 / 2 + (0.8 + 0.3) psi^2 / 2
        cost = 0.45 * (psi * r - 1) ** 2 + 0.05 * (psi * r + 1) ** 2 + 0.5 * (psi * f + 1) ** 2
        losses_seen.append(np.mean(cost) + 0.55 * psi**2)
        slope = 0.9 * (psi * r - 1) * r + 0.1 * (psi * r + 1) * r + (psi * f + 1) * f
        psi -= 0.7 * (np.mean(slope) + 1.1 * psi)
    found = after.params["discriminator"]["weights"]
    np.testing.assert_allclose(found, [psi], rtol=1e-12)
    np.testing.assert_allclose(info["discriminator_loss"], np.mean(losses_seen), rtol=1e-12)

    z, keys = drawn(g_key, ROWS)
    seen = 1.5 if simultaneous else psi
    g = np.tanh(z @ theta)
    logit = seen * shown(keys.shown_fake, g[:, None])[:, 0]
    theta_after = theta - 0.3 * np.mean((logit * seen * (1 - g**2))[:, None] * z, axis=0)
    found = after.params["generator"]["weights"]
    np.testing.assert_allclose(found, theta_after, rtol=1e-12)
    np.testing.assert_allclose(info["generator_loss"], np.mean(logit**2) / 2, rtol=1e-12)

    average = 0.75 * theta + 0.25 * theta_after
    sample = method.views.sample(KEY, after, 3, hparams)
    latent = np.asarray(jax.random.uniform(KEY, (3, 2), minval=-1.0))
    np.testing.assert_allclose(sample[:, 0], np.tanh(latent @ average), rtol=1e-12)
    values = method.evaluate(KEY, after, real(), hparams)
    z = drawn(jax.random.split(KEY)[0], ROWS)[0]
    logits = psi * x, psi * np.tanh(z @ average)  # no noise, no smoothing, no penalty
    expected = ((logits[0] - 1) ** 2 + (logits[1] + 1) ** 2) / 2
    np.testing.assert_allclose(values["discriminator_loss"], expected, rtol=1e-12)


def test_a_relativistic_generator_sees_real_examples():
    """-log sigmoid(f - r), with noise of their own on both sides."""
    method = built(
        False,
        objective=losses.adversarial.paired(),
        regularisers=[regularisers.instance_noise(0.2)],
    )
    hparams = {**method.hparams, **HPARAMS, "discriminator_learning_rate": 0.0}
    state = method.init(KEY, real(), hparams)
    after, info = jax.jit(method.step)(jax.random.key(6), state, real(), hparams)
    keys = Keys(jax.random.split(jax.random.key(6))[1])
    z = np.asarray(jax.random.normal(keys.latent, (ROWS, 2), float))
    noise = [
        0.2 * np.asarray(jax.random.normal(jax.random.split(k, 1)[0], (ROWS, 1), float))[:, 0]
        for k in (keys.shown_real, keys.shown_fake)
    ]
    g, x = expit(z @ [0.4, -0.6]), np.asarray(real()["image"])[:, 0]
    difference = 1.5 * (g + noise[1]) - 1.5 * (x + noise[0])
    np.testing.assert_allclose(info["generator_loss"], np.mean(softplus(-difference)), rtol=1e-12)
    slope = np.mean((-expit(-difference) * 1.5 * g * (1 - g))[:, None] * z, axis=0)
    found = after.params["generator"]["weights"]
    np.testing.assert_allclose(found, np.array([0.4, -0.6]) - 0.3 * slope, rtol=1e-12)


def test_patches_are_judged_and_penalised_each():
    """A discriminator that gives a map: the mean of the patches' losses."""
    patches = Network(
        lambda key, x: {"w": jnp.asarray(1.5)}, lambda params, x: (params["w"] * x)[..., None]
    )
    method = methods.gan(
        player([0.4, -0.6], lambda x: jnp.stack([x, -x], 1), False),
        patches,
        2,
        regularisers=[regularisers.r1(2.0)],
        optimizer=optax.identity(),
    )
    batch = {"image": jnp.array([[0.9, 0.1], [0.2, 0.6], [0.7, 0.3], [0.5, 0.8]])}
    state = method.init(KEY, batch, method.hparams)
    values = method.evaluate(KEY, state, batch, method.hparams)
    assert values["discriminator_loss"].shape == (ROWS,)
    _, info = jax.jit(method.step)(KEY, state, batch, dict(method.hparams))
    # the mean of two patches has slope 1.5 / 2 at each of them
    plain = methods.gan(
        player([0.4, -0.6], lambda x: jnp.stack([x, -x], 1), False),
        patches,
        2,
        optimizer=optax.identity(),
    )
    _, without = jax.jit(plain.step)(KEY, state, batch, dict(plain.hparams))
    difference = info["discriminator_loss"] - without["discriminator_loss"]
    np.testing.assert_allclose(difference, 2 * (1.5 / 2) ** 2, rtol=1e-12)


def test_dropout_is_drawn_anew_for_each_pass_and_penalties_share_one():
    """No key is used twice, whatever is combined."""
    critic = nets.mlp(1, (4,))
    noisy = critic._replace(
        train=lambda key, params, x: (critic.apply(params, x) * jax.random.normal(key, ()), {})
    )
    method = methods.gan(
        nets.mlp(2, ()),
        noisy,
        2,
        objective=losses.adversarial.paired(),
        regularisers=[regularisers.r1(1.0), regularisers.gradient_penalty(1.0)],
    )
    batch = {"image": jnp.ones((4, 2))}
    state = method.init(KEY, batch, method.hparams)
    with jax.debug_key_reuse(True):
        jax.eval_shape(jax.jit(method.step), jax.random.key(1), state, batch, dict(method.hparams))
