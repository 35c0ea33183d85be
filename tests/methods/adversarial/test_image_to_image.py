"""Pairs: both moves against their gradients by hand, and each loss alone where the other is 0."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from ae_jax import losses, methods, nets
from ae_jax.core import InputError, Network, Views
from ae_jax.methods.adversarial import regularisers
from ae_jax.methods.adversarial.contest import contest, judged_by
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.objective import Objective, descend

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
RATES = {"learning_rate": 0.3, "discriminator_learning_rate": 0.7}


def batch():
    """Three images [2, 1, 1], and targets of two channels."""
    random = np.random.default_rng(0)
    return {
        "image": jnp.asarray(random.uniform(size=(3, 2, 1, 1))),
        "target": jnp.asarray(random.uniform(size=(3, 2, 1, 2))),
    }


def noise(key):
    """What the generator's training pass adds."""
    return 0.1 * jax.random.normal(key, (3, 2, 1, 2), float)


GENERATOR = Network(
    lambda key, x: {"theta": jnp.asarray([0.8, -0.3])},
    lambda params, x: x * params["theta"][None, None, None],
    lambda key, params, x: (x * params["theta"][None, None, None] + noise(key), {}),
)
#: A logit for each pixel, of the image's channel and the two of the target.
DISCRIMINATOR = Network(
    lambda key, x: {"psi": jnp.asarray([0.9, -0.7, 1.3])},
    lambda params, x: jnp.sum(x * params["psi"][None, None, None], -1, keepdims=True),
)


def built(**options):
    given = {"optimizer": optax.identity(), "output": lambda x: x, **options}
    return methods.image_to_image(GENERATOR, DISCRIMINATOR, **given)


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("simultaneous", [False, True])
def test_a_step(simultaneous):
    """Non-saturating with R1 by the target alone, and 6 mean|y - G(x)| + 0.5 of the adversary."""
    method = built(
        regularisers=[regularisers.r1(0.4)],
        l1_weight=6.0,
        adversarial_weight=0.5,
        simultaneous=simultaneous,
    )
    hparams = {**method.hparams, **RATES}
    state = method.init(KEY, batch(), hparams)
    after, info = jax.jit(method.step)(jax.random.key(6), state, batch(), hparams)
    d_key, g_key = (jax.random.split(key)[0] for key in jax.random.split(jax.random.key(6)))
    x, y = (np.asarray(batch()[name]) for name in ("image", "target"))
    theta, psi = np.array([0.8, -0.3]), np.array([0.9, -0.7, 1.3])

    made = x * theta + np.asarray(noise(d_key))
    real, fake = np.concatenate([x, y], -1), np.concatenate([x, made], -1)
    r, f = real @ psi, fake @ psi  # [B, 2, 1]: patches, which are averaged
    # a patch's slope by its two target numbers, over 2 patches
    d_loss = np.mean(softplus(-r)) + np.mean(softplus(f)) + 0.2 * 2 * np.sum((psi[1:] / 2) ** 2)
    slope = np.mean(-expit(-r)[..., None] * real + expit(f)[..., None] * fake, axis=(0, 1, 2))
    slope += 0.4 * 2 * np.concatenate([[0], psi[1:]]) / 4
    psi_after = psi - 0.7 * slope
    np.testing.assert_allclose(info["discriminator_loss"], d_loss, rtol=1e-12)
    np.testing.assert_allclose(after.params["discriminator"]["psi"], psi_after, rtol=1e-12)

    seen = psi if simultaneous else psi_after
    made = x * theta + np.asarray(noise(g_key))
    f = np.concatenate([x, made], -1) @ seen
    error = np.abs(made - y)
    g_loss = 0.5 * np.mean(softplus(-f)) + 6 * np.mean(error)
    np.testing.assert_allclose(info["generator_loss"], g_loss, rtol=1e-12)
    np.testing.assert_allclose(info["generator_adversarial_loss"], np.mean(softplus(-f)), 1e-12)
    np.testing.assert_allclose(info["generator_absolute_error"], np.sum(error) / 3, rtol=1e-12)
    by_made = 0.5 * -expit(-f)[..., None] * seen[1:] / f.size + 6 * np.sign(made - y) / y.size
    theta_after = theta - 0.3 * np.sum(by_made * x, axis=(0, 1, 2))
    np.testing.assert_allclose(after.params["generator"]["theta"], theta_after, rtol=1e-12)

    # evaluation and reconstruction have no noise; what is drawn has
    values = method.evaluate(KEY, after, batch(), hparams)
    made = x * theta_after
    f = np.concatenate([x, made], -1) @ psi_after
    expected = {
        "absolute_error": np.abs(made - y).sum(axis=(1, 2, 3)),
        "adversarial_loss": softplus(-f).mean(axis=(1, 2)),
        "discriminator_loss": (softplus(-real @ psi_after) + softplus(f)).mean(axis=(1, 2)),
    }
    chex.assert_trees_all_close(dict(values), expected, rtol=1e-12)
    np.testing.assert_allclose(method.views.reconstruct(after, batch(), hparams), made, rtol=1e-12)
    drawn = method.views.generate(KEY, after, {"image": batch()["image"]}, hparams)
    np.testing.assert_allclose(drawn, made + np.asarray(noise(KEY)), rtol=1e-12)


def test_the_pixel_loss_is_a_mean_over_numbers_and_the_error_reported_a_sum():
    """gan_values.json, reconstructions.l1_mean_per_element and l1_sum_per_example_mean."""
    a, b = np.sin(np.arange(12) + 1.0), np.cos(np.arange(12.0))
    pairs = {
        "image": jnp.asarray(a.reshape(3, 4, 1, 1)),
        "target": jnp.asarray(b.reshape(3, 4, 1, 1)),
    }
    same = Network(lambda key, x: {"one": jnp.ones(())}, lambda params, x: params["one"] * x)
    critic = Network(lambda key, x: {"w": jnp.ones(())}, lambda p, x: p["w"] * x[..., :1])
    method = methods.image_to_image(
        same, critic, l1_weight=1.0, adversarial_weight=0.0, output=lambda x: x
    )
    hparams = dict(method.hparams)
    state = method.init(KEY, pairs, hparams)
    _, info = jax.jit(method.step)(KEY, state, pairs, hparams)
    np.testing.assert_allclose(info["generator_loss"], 0.3626353302692433, rtol=1e-12)
    np.testing.assert_allclose(info["generator_absolute_error"], 1.450541321076973, rtol=1e-12)
    values = method.evaluate(KEY, state, pairs, hparams)
    np.testing.assert_allclose(np.mean(values["absolute_error"]), 1.450541321076973, rtol=1e-12)


def small():
    random = np.random.default_rng(1)
    pairs = {
        "image": jnp.asarray(random.uniform(size=(8, 2, 2, 1))),
        "target": jnp.asarray(random.uniform(size=(8, 2, 2, 1))),
    }
    return pairs, nets.mlp((2, 2, 1), (5,)), nets.mlp(1, (5,))


def trained(method, pairs, steps=3):
    hparams = dict(method.hparams) | {"learning_rate": 0.01}
    state, step = method.init(KEY, pairs, hparams), jax.jit(method.step)
    for i in range(steps):
        state, _ = step(jax.random.key(i), state, pairs, hparams)
    return state.params["generator"]


def test_with_no_weight_on_the_adversary_it_is_a_regression_bit_for_bit():
    pairs, generator, discriminator = small()
    method = methods.image_to_image(generator, discriminator, l1_weight=3.0, adversarial_weight=0.0)

    def terms(key, params, batch, hparams, training):
        made = jax.nn.sigmoid(generator.apply(params["generator"], batch["image"]))
        return {"loss": 3.0 * jnp.mean(jnp.abs(made - batch["target"]), axis=(1, 2, 3))}, {}

    start = method.init(KEY, pairs, dict(method.hparams)).params["generator"]
    plain = descend(
        Objective(lambda key, batch, hparams: {"generator": start}, terms),
        Views(),
        optimizer=optax.scale_by_adam(b1=0.5),
    )
    chex.assert_trees_all_equal(trained(method, pairs), trained(plain, pairs))


def test_with_no_weight_on_pixels_it_is_a_conditional_gan_bit_for_bit():
    pairs, generator, discriminator = small()
    method = methods.image_to_image(generator, discriminator, l1_weight=0.0)
    judge = judged_by(discriminator, lambda x, given: jnp.concatenate([given, x], axis=-1))
    playing = contest(judge, losses.adversarial.non_saturating(), [])

    def made(params, batch):
        return jax.nn.sigmoid(generator.apply(params["generator"], batch["image"]))

    def discriminating(key, params, batch, hparams, training):
        given = batch["target"], made(params, batch), hparams, training, batch["image"]
        loss, _ = playing.discriminating(jax.random.split(key)[1], params["discriminator"], *given)
        return {"loss": loss}, {}

    def generating(key, params, batch, hparams, training):
        given = batch["target"], made(params, batch), hparams, training, batch["image"]
        loss = playing.deceiving(jax.random.split(key)[1], params["discriminator"], *given)
        return {"loss": loss}, {}

    adam = optax.scale_by_adam(b1=0.5)
    start = method.init(KEY, pairs, dict(method.hparams)).params
    plain = game(
        lambda key, batch, hparams: start,
        [
            [Move("discriminator", ("discriminator",), discriminating, adam)],
            [Move("generator", ("generator",), generating, adam)],
        ],
        None,
        Views(),
        main="generator",
    )
    chex.assert_trees_all_equal(trained(method, pairs), trained(plain, pairs))


def test_players_at_rest_do_not_move():
    method = built()
    rates = {"generator": "learning_rate", "discriminator": "discriminator_learning_rate"}
    step = jax.jit(method.step)
    state = method.init(KEY, batch(), dict(method.hparams))
    for still in rates:
        hparams = {**method.hparams, **RATES, rates[still]: 0.0}
        after, _ = step(KEY, state, batch(), hparams)
        for name in rates:
            before, now = jax.tree.leaves(state.params[name]), jax.tree.leaves(after.params[name])
            assert np.array_equal(before, now) == (name == still)


def test_refuses():
    pairs, generator, discriminator = small()

    def init(given, discriminator=discriminator):
        method = methods.image_to_image(generator, discriminator)
        jax.eval_shape(method.init, KEY, given, dict(method.hparams))

    with pytest.raises(InputError, match="from pairs, and a batch has no target: use a data set"):
        init({"image": pairs["image"]})
    with pytest.raises(InputError, match=r"makes \[2, 2, 1\] .* targets are \[2, 2, 3\]: give it"):
        init({**pairs, "target": jnp.zeros((8, 2, 2, 3))})
    with pytest.raises(InputError, match=r"one height and width, got \[2, 2, 1\] and \[4, 2, 1\]"):
        init({**pairs, "target": jnp.zeros((8, 4, 2, 1))})
    with pytest.raises(InputError, match=r"of 1 strided layers needs images of 6 pixels"):
        init(pairs, nets.patch(2, 1))
