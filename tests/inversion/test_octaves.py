"""Ascents whose end is known, and scales that lose nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import inversion, losses, nets
from ae_jax.core import InputError

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
IMAGES = RNG.uniform(size=(2, 10, 7, 1)).astype(np.float32)


def flat(x):
    return x.reshape(len(x), -1)


def length(x):
    return np.linalg.norm(flat(np.asarray(x)), axis=1)


def test_linear_units_on_a_ball_end_along_their_weights(x64):
    # at x0 + r w / |w|, r |w| higher than x0: every unit of a layer in one program
    weights, start = RNG.normal(size=(12, 3)), np.repeat(RNG.normal(size=(1, 3, 4, 1)), 3, 0)
    units = inversion.of_unit(lambda x: flat(x) @ weights, np.arange(3))
    ball = inversion.ball(0.7, start)
    climb = inversion.descent(units, 400, optimizer=inversion.normalised_gradient(), project=ball)
    scale = np.linalg.norm(weights, axis=0)
    elsewhere = start + ball(start + 0.3 * RNG.normal(size=start.shape)) - start
    for first in (start, elsewhere):
        found = climb(KEY, first, 0.05)
        expected = flat(start) + 0.7 * (weights / scale).T
        np.testing.assert_allclose(flat(np.asarray(found.x)), expected, atol=1e-7)
        gain = -(found.trace[-1] - units(KEY, start))
        np.testing.assert_allclose(gain, 0.7 * scale, rtol=1e-12)


def test_a_normalised_ascent_of_half_a_square_is_power_iteration(x64):
    matrix = RNG.normal(size=(12, 9))
    lengthened = inversion.keyless(lambda x: -jnp.sum((flat(x) @ matrix.T) ** 2, axis=1) / 2)
    climb = inversion.descent(
        lengthened,
        300,
        optimizer=inversion.normalised_gradient(),
        project=inversion.ball(1.0),
    )
    found = climb(KEY, RNG.normal(size=(2, 3, 3, 1)), 0.3)
    _, singular, rows = np.linalg.svd(matrix)
    cosine = np.abs(flat(np.asarray(found.x)) @ rows[0])
    assert np.all(cosine > 0.999999)
    assert np.all(np.abs(flat(np.asarray(found.x)) @ rows[1]) < 1e-3)  # the second is not it
    np.testing.assert_allclose(-found.trace[-1], singular[0] ** 2 / 2, rtol=1e-9)


def test_a_step_moves_each_image_by_the_rate_in_the_mean():
    slopes = np.array([1e-4, 30.0], np.float32)[:, None, None, None] * (IMAGES - 0.4)
    linear = inversion.keyless(lambda x: jnp.sum(slopes * x, axis=(1, 2, 3)))
    step = inversion.descent(linear, 1, optimizer=inversion.normalised_gradient())
    moved = np.asarray(step(KEY, IMAGES, 0.25).x) - IMAGES
    mean = np.abs(slopes).mean(axis=(1, 2, 3), keepdims=True)  # of each, not of the batch
    np.testing.assert_allclose(moved, -0.25 * slopes / mean, rtol=1e-4, atol=1e-6)
    still = inversion.descent(
        inversion.keyless(lambda x: 0 * jnp.sum(x, axis=(1, 2, 3))),
        1,
        optimizer=inversion.normalised_gradient(),
    )
    np.testing.assert_array_equal(still(KEY, IMAGES, 0.25).x, IMAGES)


def test_the_gradient_of_what_is_climbed_is_that_of_finite_differences(x64):
    network = nets.flax_network(nets.Conv(3, (3, 3), (2, 2)))
    images = RNG.uniform(size=(1, 6, 5, 1))
    params = network.init(KEY, images)
    seen = inversion.activation(lambda x: network.apply(params, x))
    smooth = inversion.keyless(losses.total_variation)
    whole = inversion.jittered(inversion.weighted((seen, 2.0), (smooth, 0.1)), 2)
    value = jax.jit(lambda x: jnp.sum(inversion.resized(whole, (7, 8))(KEY, x)))
    gradient = np.asarray(jax.grad(value)(images))
    for place in ((0, 0, 0, 0), (0, 3, 2, 0), (0, 5, 4, 0)):
        step = np.zeros_like(images)
        step[place] = 1e-5
        slope = (value(images + step) - value(images - step)) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-6)


def pull(key, x):
    return jnp.sum((x - 3.0) ** 2, axis=(1, 2, 3))


@pytest.mark.parametrize(("steps", "count"), [(0, 3), (4, 0)])
def test_without_steps_or_scales_images_come_back_bit_for_bit(steps, count):
    outside = IMAGES * 5 - 2  # nor are they clipped
    found = inversion.octaves(pull, steps, count=count)(KEY, outside, 0.1)
    np.testing.assert_array_equal(found.x, outside)
    assert found.x.dtype == np.float32
    assert found.trace.shape == (count, steps + 1, 2)
    lost = inversion.resize(inversion.resize(outside, (7, 5)), (10, 7))
    assert np.abs(lost - outside).max() > 0.1  # which no detail would be put back in


def test_scales_are_those_of_a_loop_in_which_lost_detail_is_added(x64):
    # the other way to say it: the enlarged result, and the image less its shrunk copy enlarged
    images, rate, sizes = RNG.uniform(size=(1, 10, 7, 1)), 0.01, [(5, 4), (7, 5), (10, 7)]
    slope = inversion.keyless(lambda x: -jnp.sum(x**3, axis=(1, 2, 3)))
    found = inversion.octaves(slope, 2, count=3, ratio=1.4, high=None)(KEY, images, rate)
    x, before, first = None, None, inversion.resize(images, sizes[0])
    for size in sizes:
        own = np.asarray(inversion.resize(images, size))
        detail = 0 if x is None else own - np.asarray(inversion.resize(before, size))
        x = own if x is None else np.asarray(inversion.resize(x, size)) + detail
        for _ in range(2):
            x = np.maximum(x + rate * x**2 / np.mean(x**2), 0)
        before = own
    np.testing.assert_allclose(found.x, x, atol=1e-12)
    np.testing.assert_allclose(found.trace[0, 0], [-np.sum(np.asarray(first) ** 3)])
    np.testing.assert_allclose(found.trace[2, 2], [-np.sum(x**3)])


def test_images_do_not_depend_on_each_other_and_stay_in_range():
    drawn = inversion.jittered(lambda key, x: -jnp.sum(x[:, ::2] ** 2, axis=(1, 2, 3)), 3)
    dream = inversion.octaves(drawn, 3, count=1)
    together = dream(KEY, IMAGES, 0.2)
    other = np.stack([IMAGES[0], 3 * IMAGES[0]])
    np.testing.assert_array_equal(dream(KEY, other, 0.2).x[0], together.x[0])
    assert np.all((together.x >= 0) & (together.x <= 1))
    assert np.any(together.x == 1)


def test_rolled_back_an_image_is_what_it_was():
    shift = np.array([-13, 4])
    there = inversion.rolled(IMAGES, shift)
    np.testing.assert_array_equal(there, np.roll(IMAGES, shift, (1, 2)))
    np.testing.assert_array_equal(inversion.rolled(there, -shift), IMAGES)


def test_a_jittered_step_is_one_of_rolled_images_rolled_back():
    weights = RNG.normal(size=IMAGES.shape[1:]).astype(np.float32)
    linear = inversion.keyless(lambda x: jnp.sum(weights[None] * x, axis=(1, 2, 3)))
    climb = inversion.descent(inversion.jittered(linear, 2), 1, optimizer=optax.identity())
    moved = {}
    for seed in range(60):
        step = np.asarray(climb(jax.random.key(seed), IMAGES, 1.0).x) - IMAGES
        errors = {
            (i, j): np.abs(step[0] + np.roll(weights, (-i, -j), (0, 1))).max()
            for i in range(-2, 3)
            for j in range(-2, 3)
        }
        found = min(errors, key=errors.get)
        assert errors[found] < 1e-5
        np.testing.assert_allclose(step[0], step[1], atol=1e-6)  # all roll alike
        moved[found] = True
    rows, columns = zip(*moved, strict=True)
    assert set(rows) == set(columns) == {-2, -1, 0, 1, 2}
    same = inversion.jittered(linear, 0)(KEY, IMAGES)
    np.testing.assert_array_equal(same, linear(KEY, IMAGES))


def test_of_several_objectives_each_example_has_its_own():
    first = inversion.keyless(lambda x: jnp.sum(x, axis=(1, 2, 3)))
    which = np.array([1, 0])
    chosen = inversion.one_of([first, pull], which)
    expected = [pull(KEY, IMAGES)[0], first(KEY, IMAGES)[1]]
    np.testing.assert_allclose(chosen(KEY, IMAGES), expected, rtol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(chosen(KEY, x)))(IMAGES)
    np.testing.assert_allclose(slope[0], 2 * (IMAGES[0] - 3), rtol=1e-6)
    np.testing.assert_array_equal(slope[1], 1)


def test_a_unit_is_a_channels_mean_over_places():
    whole = inversion.of_unit(lambda x: jnp.concatenate([x, 2 * x], axis=3), np.array([0, 1]))
    means = IMAGES.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(whole(KEY, IMAGES), [-means[0], -2 * means[1]], rtol=1e-5)


def test_what_makes_no_ascent_is_refused():
    dense = nets.mlp(2, ())
    params = dense.init(KEY, IMAGES)
    wide = inversion.of_class(lambda x: dense.apply(params, x), 0)
    with pytest.raises(InputError, match=r"images of 5x4, a scale of images 10x7: use a layer"):
        inversion.octaves(wide, 1, count=3)(KEY, IMAGES, 0.1)
    fitting = inversion.octaves(inversion.resized(wide, (10, 7)), 1, count=3)
    assert fitting(KEY, IMAGES, 0.1).x.shape == IMAGES.shape
    layer = nets.intermediate(dense.apply, "Conv_0")
    with pytest.raises(InputError, match="there is no layer 'Conv_0'; use one of: Dense_0"):
        inversion.octaves(inversion.activation(lambda x: layer(params, x)), 1, count=1)(
            KEY, IMAGES, 0.1
        )
    for wrong, said in (
        ({"steps": -1}, "steps of a descent"),
        ({"count": -1}, "count is -1"),
        ({"ratio": 1.0}, "ratio is 1"),
        ({"low": 1.0}, "pixels are from 1"),
    ):
        with pytest.raises(InputError, match=said):
            inversion.octaves(pull, **{"steps": 1, **wrong})
    with pytest.raises(InputError, match="no images of 5x0"):
        inversion.octaves(pull, 1, count=2, ratio=3.0)(KEY, np.ones((1, 14, 1, 1)), 0.1)
    with pytest.raises(InputError, match="must be floats"):
        inversion.octaves(pull, 1)(KEY, np.ones((1, 8, 8, 1), int), 0.1)
    with pytest.raises(InputError, match="rate"):
        inversion.octaves(pull, 1)(KEY, IMAGES, -0.1)
    with pytest.raises(InputError, match=r"reach is 1\.5"):
        inversion.jittered(pull, 1.5)
    with pytest.raises(InputError, match="a unit is 1: use a whole number"):
        inversion.of_unit(lambda x: x, 1)(KEY, IMAGES)
    with pytest.raises(InputError, match=r"place of an objective is \[ 0 -1\]: use a whole"):
        inversion.one_of([pull], np.array([0, -1]))
    with pytest.raises(InputError, match="no objective to take"):
        inversion.one_of([], 0)
    with pytest.raises(InputError, match="height is 0"):
        inversion.resized(pull, (0, 3))
