"""Holes: both moves against their gradients by hand, and the restorer without an adversary."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.ndimage import binary_dilation
from scipy.special import expit

from ae_jax import corruptions, losses, methods, nets
from ae_jax.core import InputError, Network, Views
from ae_jax.methods import observations, shown
from ae_jax.methods.adversarial import regularisers
from ae_jax.methods.learners.objective import Objective, descend

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
RATES = {"learning_rate": 0.3, "discriminator_learning_rate": 0.7}
X = np.random.default_rng(0).uniform(size=(4, 3, 4, 1))
THETA, PSI = np.array([0.8, -0.3, 0.2]), np.random.default_rng(1).normal(size=(3, 4, 1))
MIDDLE = np.zeros((3, 4, 1), bool)
MIDDLE[0:2, 1:3] = True  # two of the three rows: nearer to the top


def noise(key):
    """What the generator's training pass adds."""
    return 0.1 * jax.random.normal(key, X.shape, float)


def linear(params, x):
    return x @ params["theta"][:2, None] + params["theta"][2]


GENERATOR = Network(
    lambda key, x: {"theta": jnp.asarray(THETA)},
    linear,
    lambda key, params, x: (linear(params, x) + noise(key), {}),
)
DISCRIMINATOR = Network(
    lambda key, x: {"psi": jnp.asarray(PSI)},
    lambda params, x: jnp.sum(x * params["psi"][None], axis=(1, 2)),
)


def built(hole=corruptions.centre, level=0.5, **options):
    given = {"optimizer": optax.identity(), "output": lambda x: x, **options}
    return methods.context_encoder(GENERATOR, DISCRIMINATOR, shown.holed(hole, level), **given)


def stepped(method, key=KEY):
    hparams, batch = {**method.hparams, **RATES}, {"image": jnp.asarray(X)}
    return jax.jit(method.step)(key, method.init(KEY, batch, hparams), batch, hparams)


def softplus(x):
    return np.log1p(np.exp(x))


def made_of(key, theta, noisy=True):
    """What is made with holes of a key, where they are, and what the generator saw."""
    hole_key, pass_key = jax.random.split(key)
    hole = np.asarray(corruptions.scattered(hole_key, jnp.asarray(X), 0.3))[..., None]
    seen = np.concatenate([np.where(hole, 0, X), ~hole, np.ones_like(X)], axis=-1)
    return seen @ theta[:, None] + (np.asarray(noise(pass_key)) if noisy else 0), hole, seen


@pytest.mark.parametrize("overlap", [0, 1])
@pytest.mark.parametrize("simultaneous", [False, True])
def test_a_step(simultaneous, overlap):
    """Non-saturating with R1, and 6 of the error of a number in the hole + 0.5 of the adversary."""
    method = built(
        corruptions.scattered,
        0.3,
        regularisers=[regularisers.r1(0.4)],
        reconstruction_weight=6.0,
        adversarial_weight=0.5,
        overlap=overlap,
        overlap_weight=3.0,
        simultaneous=simultaneous,
    )
    after, info = stepped(method)
    assert ("overlap_weight" in method.hparams) == bool(overlap)
    d_key, g_key = (jax.random.split(key)[0] for key in jax.random.split(KEY))

    made, hole, _ = made_of(d_key, THETA)
    r, f = (np.sum(hole * x * PSI, axis=(1, 2, 3)) for x in (X, made))
    # the slope by what is known is none
    penalty = np.mean(np.sum((hole * PSI) ** 2, axis=(1, 2, 3)))
    d_loss = np.mean(softplus(-r) + softplus(f)) + 0.2 * penalty
    slope = -expit(-r)[:, None, None, None] * X + expit(f)[:, None, None, None] * made
    psi_after = PSI - 0.7 * np.mean(hole * (slope + 0.4 * PSI), axis=0)
    np.testing.assert_allclose(info["discriminator_loss"], d_loss, rtol=1e-12)
    np.testing.assert_allclose(after.params["discriminator"]["psi"], psi_after, rtol=1e-12)

    psi = PSI if simultaneous else psi_after
    made, hole, seen = made_of(g_key, THETA)
    weight = hole.astype(float)
    if overlap:
        near = [binary_dilation(one[..., 0], np.ones((3, 3)))[..., None] for one in hole]
        weight += 3.0 * (np.array(near) & ~hole)
    f = np.sum(hole * made * psi, axis=(1, 2, 3))
    numbers = np.sum(hole, axis=(1, 2, 3))
    assert len(set(numbers)) > 1
    error = np.sum(weight * (X - made) ** 2, axis=(1, 2, 3)) / numbers
    g_loss = np.mean(6 * error + 0.5 * softplus(-f))
    np.testing.assert_allclose(info["generator_loss"], g_loss, rtol=1e-12)
    np.testing.assert_allclose(info["generator_adversarial_loss"], np.mean(softplus(-f)), 1e-12)
    inside = np.sum(hole * (X - made) ** 2) / len(X)
    np.testing.assert_allclose(info["generator_squared_error"], inside, rtol=1e-12)
    by_made = 12 * weight * (made - X) / numbers[:, None, None, None]
    by_made -= 0.5 * expit(-f)[:, None, None, None] * hole * psi
    theta_after = THETA - 0.3 * np.sum(by_made * seen, axis=(0, 1, 2)) / len(X)
    np.testing.assert_allclose(after.params["generator"]["theta"], theta_after, rtol=1e-12)


def test_evaluation_makes_holes_and_no_noise():
    method = built(corruptions.scattered, 0.3, regularisers=[regularisers.r1(9.0)])
    batch, hparams = {"image": jnp.asarray(X)}, dict(method.hparams)
    values = jax.jit(method.evaluate)(KEY, method.init(KEY, batch, hparams), batch, hparams)
    d_key, g_key = (jax.random.split(key)[0] for key in jax.random.split(KEY))
    made, hole, _ = made_of(d_key, THETA, noisy=False)
    r, f = (np.sum(hole * x * PSI, axis=(1, 2, 3)) for x in (X, made))
    again, there, _ = made_of(g_key, THETA, noisy=False)
    expected = {
        "squared_error": np.sum(there * (X - again) ** 2, axis=(1, 2, 3)),
        "adversarial_loss": softplus(-np.sum(there * again * PSI, axis=(1, 2, 3))),
        "discriminator_loss": softplus(-r) + softplus(f),
    }
    chex.assert_trees_all_close(dict(values), expected, rtol=1e-12)


def test_an_image_without_a_hole_costs_the_adversary_alone():
    method = built(level=0.0, reconstruction_weight=5.0, adversarial_weight=2.0)
    _, info = stepped(method)
    np.testing.assert_allclose(info["generator_loss"], 2 * np.log(2), rtol=1e-12)
    assert info["generator_squared_error"] == 0


def test_the_error_is_the_mean_over_the_numbers_of_all_channels():
    """Of one number for all pixels, and no adversary."""
    x = jnp.asarray(np.random.default_rng(2).uniform(size=(2, 3, 4, 3)))
    level = Network(
        lambda key, x: {"level": jnp.asarray(0.3)},
        lambda params, x: jnp.full((*x.shape[:3], 3), params["level"]),
    )
    method = methods.context_encoder(
        level,
        nets.mlp(1, ()),
        shown.holed(corruptions.centre, 0.5),
        output=lambda x: x,
        reconstruction_weight=1.0,
        adversarial_weight=0.0,
    )
    batch, hparams = {"image": x}, {**method.hparams, **RATES}
    _, info = jax.jit(method.step)(KEY, method.init(KEY, batch, hparams), batch, hparams)
    expected = np.mean((np.asarray(x)[:, MIDDLE[..., 0]] - 0.3) ** 2)
    np.testing.assert_allclose(info["generator_loss"], expected, rtol=1e-12)


def test_a_discriminator_that_knows_nothing():
    method = methods.context_encoder(
        GENERATOR,
        Network(lambda key, x: {}, lambda params, x: jnp.zeros((len(x), 1))),
        shown.holed(corruptions.centre),
    )
    batch, hparams = {"image": jnp.asarray(X)}, dict(method.hparams)
    values = method.evaluate(KEY, method.init(KEY, batch, hparams), batch, hparams)
    np.testing.assert_allclose(values["discriminator_loss"], 2 * np.log(2), rtol=1e-12)
    np.testing.assert_allclose(values["adversarial_loss"], np.log(2), rtol=1e-12)


def test_the_discriminator_is_shown_the_hole_alone():
    judged = []

    def apply(params, x):
        judged.append(x)
        return jnp.zeros((len(x), 1))

    method = methods.context_encoder(
        GENERATOR,
        Network(lambda key, x: {}, apply),
        shown.holed(corruptions.centre, fill=0.7),
        output=lambda x: x,
    )
    batch, hparams = {"image": jnp.asarray(X)}, dict(method.hparams)
    state = method.init(KEY, batch, hparams)
    judged.clear()
    method.evaluate(KEY, state, batch, hparams)
    real, made, again = map(np.asarray, judged)
    seen = np.concatenate([np.where(MIDDLE, 0.7, X), ~np.broadcast_to(MIDDLE, X.shape)], -1)
    np.testing.assert_array_equal(real, np.where(MIDDLE, X, 0))
    filled = np.where(MIDDLE, linear(state.params["generator"], jnp.asarray(seen)), 0)
    np.testing.assert_allclose(made, filled, rtol=1e-12)
    np.testing.assert_array_equal(again, made)
    # nor in training, with noise on what it sees and penalties of its slope
    noisy = [regularisers.instance_noise(0.5), regularisers.r1(1.0), regularisers.r2(1.0)]
    after, _ = stepped(built(regularisers=noisy))
    moved = after.params["discriminator"]["psi"] != PSI
    np.testing.assert_array_equal(moved, MIDDLE)


def small():
    generator = nets.chain(nets.mlp(6, (), output_activation="relu"), nets.mlp((3, 4, 1), ()))
    return generator, nets.mlp(1, (5,)), {"image": jnp.asarray(X)}


def trained(method, batch, name, steps=4):
    """A network's parameters, of the first key and of those of all steps."""
    hparams = dict(method.hparams) | {"learning_rate": 0.01}
    state, step = method.init(KEY, batch, hparams), jax.jit(method.step)
    start = state.params[name]
    for i in range(steps):
        state, _ = step(jax.random.key(i), state, batch, hparams)
    assert all(
        jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), start, state.params[name]))
    )
    return start, state.params[name]


def test_with_no_weight_on_the_adversary_it_is_a_restorer_bit_for_bit():
    generator, discriminator, batch = small()
    adam, part = optax.scale_by_adam(b1=0.5), shown.holed(corruptions.centre, 0.5)
    method = methods.context_encoder(
        generator, discriminator, part, reconstruction_weight=0.5, adversarial_weight=0.0
    )

    def of_the_hole(outputs, x, hparams):
        filled = jnp.where(MIDDLE[None], jax.nn.sigmoid(outputs), x)
        return 0.5 * (losses.squared_error(filled, x) / 4)

    observation = observations.Observation({}, of_the_hole, jax.nn.sigmoid)
    plain = methods.restorer(generator, part, reconstruction=observation, optimizer=adam)
    chex.assert_trees_all_equal(
        trained(method, batch, "generator"), trained(plain, batch, "decoder")
    )


def test_with_no_weight_on_the_adversary_it_is_itself_without_one_bit_for_bit():
    """With holes that are drawn, and dropout."""
    generator, discriminator, batch = small()
    generator = nets.chain(nets.dropout(0.3), generator)
    part, adam = shown.holed(corruptions.block, 0.6), optax.scale_by_adam(b1=0.5)
    method = methods.context_encoder(
        generator, discriminator, part, reconstruction_weight=1.0, adversarial_weight=0.0
    )

    def terms(key, params, batch, hparams, training):
        generator_key = jax.random.split(jax.random.split(key)[1])[0]
        hole_key, pass_key = jax.random.split(generator_key)
        seen, x = part.train(hole_key, batch, hparams), batch["image"]
        made, _ = generator.train(pass_key, params["generator"], seen)
        filled = jnp.where(seen[..., -1:] > 0, x, jax.nn.sigmoid(made))
        return {"loss": losses.squared_error(filled, x) / 4}, {}  # of two rows and columns

    start = method.init(KEY, batch, dict(method.hparams)).params["generator"]
    objective = Objective(
        lambda key, batch, hparams: {"generator": start}, terms, part.hparams, part.domains
    )
    plain = descend(objective, Views(), optimizer=adam)
    chex.assert_trees_all_equal(
        trained(method, batch, "generator"), trained(plain, batch, "generator")
    )


@pytest.mark.parametrize("weight", ["reconstruction_weight", "adversarial_weight"])
def test_without_one_weight_the_other_is_what_is_lowered(weight):
    weights = {"reconstruction_weight": 1.0, "adversarial_weight": 1.0, weight: 0.0}
    _, info = stepped(built(**weights))
    squared = info["generator_squared_error"] / 4
    left = squared if weight == "adversarial_weight" else info["generator_adversarial_loss"]
    np.testing.assert_allclose(info["generator_loss"], left, rtol=1e-12)


def test_players_at_rest_do_not_move():
    method, batch = built(), {"image": jnp.asarray(X)}
    rates = {"generator": "learning_rate", "discriminator": "discriminator_learning_rate"}
    state, step = method.init(KEY, batch, dict(method.hparams)), jax.jit(method.step)
    for still in rates:
        after, _ = step(KEY, state, batch, {**method.hparams, **RATES, rates[still]: 0.0})
        for name in rates:
            before, now = jax.tree.leaves(state.params[name]), jax.tree.leaves(after.params[name])
            assert np.array_equal(before, now) == (name == still)


def test_known_pixels_are_kept_bit_for_bit_and_unknown_ones_not_seen():
    method = built(output=jax.nn.sigmoid)
    known = ~np.broadcast_to(MIDDLE[..., 0], X.shape[:3])
    whole, hparams = {"image": jnp.asarray(X)}, dict(method.hparams)
    state = method.init(KEY, whole, hparams)
    batch = {"image": jnp.where(known[..., None], X, jnp.nan), "known": jnp.asarray(known, float)}
    filled = np.asarray(jax.jit(method.views.reconstruct)(state, batch, hparams))
    np.testing.assert_array_equal(filled[known], X[known])
    expected = np.full(X.shape, expit(THETA[2]))
    np.testing.assert_allclose(filled[~known], expected[~known], rtol=1e-12)
    # where all is known there is nothing to fill
    np.testing.assert_array_equal(method.views.reconstruct(state, whole, hparams), X)


def test_refuses():
    generator, discriminator, batch = small()
    part = shown.holed(corruptions.centre)

    def init(given=batch, generator=generator, discriminator=discriminator, part=part):
        method = methods.context_encoder(generator, discriminator, part)
        jax.eval_shape(method.init, KEY, given, dict(method.hparams))

    with pytest.raises(InputError, match=r"images \[H, W, C\], got \[12\]"):
        init({"image": jnp.zeros((4, 12))})
    with pytest.raises(InputError, match=r"makes \[4, 3, 4, 1\] of a batch of \[4, 4, 4, 1\]"):
        init({"image": jnp.zeros((4, 4, 4, 1))})
    with pytest.raises(InputError, match=r"\[3, 4, 1\] images .* and not \[3, 4, 1\]: use shown"):
        init(part=shown.corrupted(corruptions.masking))
    with pytest.raises(InputError, match="and what is shown has none: use shown"):
        init(part=shown.entry())
    with pytest.raises(InputError, match="shown is the function holed: call it"):
        init(part=shown.holed)
    with pytest.raises(InputError, match=r"of 1 strided layers needs images of 6 pixels"):
        init(discriminator=nets.patch(2, 1))
    for overlap in (-1, 0.5):
        with pytest.raises(InputError, match=f"^overlap is {overlap}: use a whole number"):
            built(overlap=overlap)
