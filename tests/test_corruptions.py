from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from ae_jax import corruptions
from ae_jax.core import InputError
from ae_jax.corruptions import CORRUPTIONS, LEVELS

each = pytest.mark.parametrize("name", CORRUPTIONS)
KEY = jax.random.key(0)
#: Values that no corruption writes.
GREY = np.linspace(0.2, 0.8, 3 * 6 * 5 * 2, dtype=np.float32).reshape(3, 6, 5, 2)
MANY = 40_000


def corrupted(name, key, x, level):
    return np.asarray(jax.jit(CORRUPTIONS[name])(key, x, level))


def numbers():
    return np.linspace(0.2, 0.8, MANY, dtype=np.float32).reshape(4, -1)


def check_rate(found, rate, count=MANY):
    # five standard deviations of a binomial proportion
    assert abs(np.mean(found) - rate) < 5 * np.sqrt(rate * (1 - rate) / count)


@each
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_level_0_is_the_identity_and_else_the_key_decides(name, dtype, x64):
    corrupt = partial(corrupted, name)
    x = np.full((3, 16, 16, 1), 0.5, dtype)
    x[0, 0], x[1, 1], x[2, 2] = 0, 1, -3
    same, changed = corrupt(KEY, x, 0.0), corrupt(KEY, x, 0.3)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(changed, corrupt(KEY, x, 0.3))
    assert same.dtype == changed.dtype == dtype
    assert same.shape == changed.shape == x.shape
    assert np.any(changed != corrupt(jax.random.key(1), x, 0.3))
    difference = changed - x
    assert np.any(difference[0, 3:] != difference[1, 3:])


@each
def test_the_level_is_traced_and_can_be_mapped_over(name):
    traces = []

    def corrupt(level):
        traces.append(level)
        return CORRUPTIONS[name](KEY, GREY, level)

    levels = np.array([0.0, 0.25, 0.5, 1.0], np.float32)
    one_by_one, together = jax.jit(corrupt), jax.jit(jax.vmap(corrupt))
    apart = np.stack([one_by_one(level) for level in levels])
    np.testing.assert_allclose(together(levels), apart, rtol=1e-5, atol=1e-6)
    assert len(traces) == 2


@each
def test_levels_that_make_no_sense_are_known_as_such(name):
    levels = LEVELS[CORRUPTIONS[name]]
    assert (0 in levels, -0.1 in levels, np.nan in levels) == (True, False, False)
    assert (1.5 in levels) == ("noise" in name or name == "heavy_tailed")
    assert (1 in levels) == (name != "dropout")


@each
def test_a_key_is_used_once(name):
    with jax.debug_key_reuse(True):
        jax.jit(CORRUPTIONS[name])(jax.random.key(2), GREY, 0.5)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_masking_rate(level):
    x = numbers()
    masked = corrupted("masking", KEY, x, level)
    assert np.all((masked == 0) | (masked == x))
    check_rate(masked == 0, level)


@pytest.mark.parametrize("name", ["masking", "dropout"])
def test_everything_is_masked_at_level_1(name):
    @jax.jit
    @jax.value_and_grad
    def total(x, level):
        return CORRUPTIONS[name](KEY, x, level).sum()

    value, gradient = total(GREY, 1.0)
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, 0)


def test_dropout_is_masking_scaled_to_the_same_mean():
    x = numbers()
    dropped = corrupted("dropout", KEY, x, 0.3)
    left = dropped != 0
    np.testing.assert_array_equal(left, corrupted("masking", KEY, x, 0.3) != 0)
    np.testing.assert_allclose(dropped[left], x[left] / 0.7, rtol=1e-6)
    # per number a variance of x^2 0.3 / 0.7
    tolerance = 5 * np.sqrt(np.mean(x**2) * 0.3 / 0.7 / MANY)
    assert abs(np.mean(dropped) - np.mean(x)) < tolerance


def test_salt_and_pepper_rates():
    x = numbers()
    spoiled = corrupted("salt_and_pepper", KEY, x, 0.4)
    assert np.all((spoiled == 0) | (spoiled == 1) | (spoiled == x))
    check_rate(spoiled == 0, 0.2)
    check_rate(spoiled == 1, 0.2)
    everything = corrupted("salt_and_pepper", KEY, x, 1.0)
    assert np.all((everything == 0) | (everything == 1))


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("gaussian_noise", scipy.stats.norm(scale=0.3)),
        ("heavy_tailed", scipy.stats.t(1.5, scale=0.3)),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_noise_has_its_distribution(name, distribution, dtype, x64):
    noise = corrupted(name, KEY, np.zeros((4, MANY // 4), dtype), 0.3).ravel()
    assert np.all(np.isfinite(noise))
    assert scipy.stats.kstest(noise, distribution.cdf).pvalue > 0.01
    half = np.mean(np.abs(noise) < distribution.ppf(0.75))
    check_rate(half, 0.5)


def test_heavy_tails_are_heavy():
    noise = np.abs(corrupted("heavy_tailed", KEY, np.zeros((1, MANY), np.float32), 1.0))
    check_rate(noise > 50, 2 * scipy.stats.t(1.5).sf(50))
    check_rate(noise < 0.8726, 0.5)  # as the docstring says


def test_noise_is_proportional_to_the_level():
    for name in ("gaussian_noise", "heavy_tailed"):
        x = np.zeros((1, MANY), np.float32)
        once, twice = (corrupted(name, KEY, x, level) for level in (1.0, 2.0))
        np.testing.assert_array_equal(2 * once, twice)


@pytest.mark.parametrize("shape", [(6, 10, 10, 1), (6, 8, 5, 3), (6, 4, 9)])
def test_occlusion_covers_one_square_of_exact_area(shape):
    x = np.full(shape, 0.5, np.float32)
    shorter = min(shape[1:3])
    for side in range(shorter + 1):
        covered = corrupted("occlusion", KEY, x, side / shorter) == 0
        covered = covered.reshape(*shape[:3], -1)
        assert np.all(covered == covered[..., :1])  # all channels alike
        for image in covered[..., 0]:
            rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
            assert len(rows) == len(columns) == side
            assert image.sum() == side**2
            assert side == 0 or np.ptp(rows) == np.ptp(columns) == side - 1


def test_occlusion_is_placed_uniformly():
    count = 4000
    x = np.ones((count, 4, 5, 1), np.float32)
    covered = (corrupted("occlusion", KEY, x, 0.5) == 0)[..., 0]
    tops, lefts = covered.any(2).argmax(1), covered.any(1).argmax(1)
    places, times = np.unique(np.stack([tops, lefts]), axis=1, return_counts=True)
    assert places.shape[1] == 3 * 4
    assert scipy.stats.chisquare(times).pvalue > 0.01


def test_occlusion_rounds_the_side():
    x = np.ones((6, 10, 10, 1), np.float32)
    for level, side in ((0.04, 0), (0.06, 1), (0.34, 3), (0.36, 4), (7.0, 10)):
        covered = corrupted("occlusion", KEY, x, level) == 0
        np.testing.assert_array_equal(covered.sum(axis=(1, 2, 3)), side**2)


@each
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_kept_and_drawn_for_in_single_precision(name, dtype):
    x = np.full((1, 1000, 100), 0.5, dtype)
    same, changed = corrupted(name, KEY, x, 0.0), corrupted(name, KEY, x, 0.001)
    assert same.dtype == changed.dtype == dtype
    np.testing.assert_array_equal(same, x)
    if name in ("masking", "dropout", "salt_and_pepper"):
        # uniform numbers in bfloat16 are multiples of 1 / 128: none but 0 is below 0.001
        assert abs(np.mean((changed == 0) | (changed == 1)) - 0.001) < 0.0005
    elif name == "occlusion":
        assert np.sum(corrupted(name, KEY, x, 0.53) == 0) == 53**2


@each
def test_levels_out_of_range_are_refused_where_they_are_known(name):
    bounded = name not in ("gaussian_noise", "heavy_tailed")
    above = [1.01, 30] if bounded else [np.inf]
    for level in (-0.1, np.nan, jnp.float32(-1.0), *above, *([1.0] if name == "dropout" else [])):
        with pytest.raises(InputError, match="the level of this corruption is"):
            CORRUPTIONS[name](KEY, GREY, level)
    jax.jit(lambda x: CORRUPTIONS[name](KEY, x, jnp.float32(0.5)))(GREY)


def test_corruptions_refuse_bytes_and_occlusion_vectors():
    with pytest.raises(InputError, match="got uint8; scale"):
        corruptions.masking(KEY, np.zeros((2, 3), np.uint8), 0.5)
    with pytest.raises(InputError, match=r"got \[2, 9\]"):
        corruptions.occlusion(KEY, np.zeros((2, 9), np.float32), 0.5)


@pytest.mark.parametrize("name", corruptions.HOLES)
def test_holes_are_of_the_level_and_the_key(name):
    hole = jax.jit(corruptions.HOLES[name])
    none, some, every = (np.asarray(hole(KEY, GREY, level)) for level in (0.0, 0.5, 1.0))
    assert (none.shape, none.dtype, none.any()) == ((3, 6, 5), bool, False)
    assert every.all() == (name == "scattered")  # a square leaves a row of a taller image
    assert every.sum() == (90 if name == "scattered" else 75)
    assert np.any(some != np.asarray(hole(jax.random.key(1), GREY, 0.5))) == (name != "centre")
    if name == "block":
        covered = np.asarray(corrupted("occlusion", KEY, GREY, 0.5)) == 0
        np.testing.assert_array_equal(covered, np.repeat(some[..., None], 2, axis=-1))
    elif name == "scattered":
        many = np.zeros((4, 100, 100, 3), np.float32)
        check_rate(np.asarray(hole(KEY, many, 0.3)), 0.3, 40_000)
    with pytest.raises(InputError, match="images"):
        corruptions.HOLES[name](KEY, GREY[:, 0, 0], 0.5)


def affine_by_scipy(image, drawn):
    """What an affine map of an image [H, W] shows, of rows (A, b), by another implementation."""
    middle = (np.array(image.shape) - 1) / 2
    # p + A p + b, in pixels: p = (i - middle) / middle
    matrix = np.eye(2) + middle[:, None] * drawn[:, :2] / middle
    offset = middle + middle * drawn[:, 2] - matrix @ middle
    return scipy.ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest")


def test_warping_is_an_affine_map_about_the_middle(x64):
    x = np.random.default_rng(0).uniform(size=(4, 7, 5, 2))
    drawn = 0.4 * np.asarray(jax.random.uniform(KEY, (4, 2, 3), minval=-1))
    found = corrupted("warped", KEY, x, 0.4)
    for image, own, made in zip(x, drawn, found, strict=True):
        for channel in range(2):  # both are moved alike
            expected = affine_by_scipy(image[..., channel], own)
            np.testing.assert_allclose(made[..., channel], expected, atol=1e-12)


def test_warping_invents_nothing_and_leaves_what_is_even():
    made = corrupted("warped", KEY, np.full((3, 6, 4), 0.3, np.float32), 1.0)
    np.testing.assert_allclose(made, 0.3, rtol=1e-6)
    made = corrupted("warped", KEY, GREY, 1.0)
    assert GREY.min() - 1e-6 <= made.min() <= made.max() <= GREY.max() + 1e-6
    one = np.full((2, 1, 1, 3), 0.7, np.float32)
    np.testing.assert_allclose(corrupted("warped", KEY, one, 0.5), one, rtol=1e-6)
    with pytest.raises(InputError, match=r"takes images \[B, H, W, ...\], got \[2, 9\]"):
        corruptions.warped(KEY, np.zeros((2, 9), np.float32), 0.5)


def test_whole_examples_are_inverted_at_half_the_level():
    x = np.random.default_rng(0).uniform(size=(4000, 2, 1, 1)).astype(np.float32)
    np.testing.assert_array_equal(corruptions.inverted(KEY, x, 0.0), x)
    for level in (0.4, 1.0):
        found = np.asarray(corruptions.inverted(KEY, x, level))
        turned = np.any(found != x, axis=(1, 2, 3))
        np.testing.assert_array_equal(found, np.where(turned[:, None, None, None], 1 - x, x))
        check_rate(turned, level / 2, len(x))
    with pytest.raises(InputError, match="the level of this corruption is"):
        corruptions.inverted(KEY, x, 1.5)


@pytest.mark.parametrize(("level", "side"), [(0.4, 2), (0.5, 2), (0.6, 3), (1.0, 5)])
def test_a_hole_in_the_middle_is_there_or_a_pixel_before_it(level, side):
    expected = np.zeros((3, 6, 5), bool)
    top, left = (6 - side) // 2, (5 - side) // 2
    expected[:, top : top + side, left : left + side] = True
    np.testing.assert_array_equal(corruptions.centre(KEY, GREY, level), expected)
    # 12 of 28 pixels, with 8 on each side
    mnist = np.asarray(corruptions.centre(KEY, np.zeros((1, 28, 28, 1), np.float32), 3 / 7))[0]
    rows, columns = np.nonzero(mnist)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 19, 8, 19)
