"""Stamps against compositions written out, and what takes them off against what is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import corruptions, data, methods, watermarks
from ae_jax.core import InputError

RANDOM = np.random.default_rng(0)
KEY = jax.random.key(0)
#: A matte without symmetry.
MATTE = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4) ** 2
LEVELS = np.rint(255 * RANDOM.random((5, 8, 9, 3))).astype(np.float32)
IMAGES = LEVELS * np.float32(1 / 255)


@pytest.mark.parametrize("colour", [0.7, (1.0, 0.5, 0.0)])
def test_a_stamp_that_is_known_comes_off(colour, x64):
    x, alpha = RANDOM.random((5, 8, 9, 3)), 0.9 * RANDOM.random((5, 8, 9, 1))
    y = watermarks.blend(jnp.asarray(x), alpha, colour)
    np.testing.assert_allclose(y, x - alpha * x + alpha * np.array(colour), rtol=1e-12)
    np.testing.assert_allclose(watermarks.unblend(y, alpha, colour), x, atol=1e-6)
    assert np.abs(np.asarray(watermarks.unblend(y, alpha, 0.9)) - x).max() > 0.1


def test_single_precision_takes_it_off_to_a_millionth():
    alpha = np.float32(0.7) * RANDOM.random((5, 8, 9, 1), np.float32)
    y = watermarks.blend(IMAGES, alpha)
    np.testing.assert_allclose(watermarks.unblend(y, alpha), IMAGES, atol=1e-6)


def test_of_8_bits_half_a_level_over_what_is_left_is_lost(x64):
    x, alpha = RANDOM.random((50, 8, 9, 3)), np.linspace(0, 0.98, 72).reshape(1, 8, 9, 1)
    y = watermarks.in_bytes(watermarks.blend(jnp.asarray(x), alpha))
    np.testing.assert_allclose(255 * y, np.rint(255 * y), atol=1e-9)
    error = np.abs(np.asarray(watermarks.unblend(y, alpha)) - x) * (1 - alpha)
    assert 0.49 / 255 < error.max() <= 0.5 / 255 + 1e-12


@pytest.mark.parametrize("alpha", [1.0, -0.1, np.nan])
def test_what_hides_or_is_no_alpha_does_not_come_off(alpha):
    alphas = np.array([[[0.5], [alpha]]])
    with pytest.raises(InputError, match="alpha lies between"):
        watermarks.unblend(np.ones((1, 2, 3)), alphas)


@pytest.mark.parametrize(("told", "count"), [(False, 400), (True, 400), (True, 40_000)])
def test_many_images_tell_the_stamp_that_they_have_in_common(told, count, x64):
    """By the means and spreads of all pixels; of contents that are uniform, in three ranges."""
    alpha = np.zeros((4, 4, 1))
    alpha[1, :, 0] = 0.0, 0.3, 0.5, 0.7
    colour = np.array([1.0, 0.8, 0.1])
    low, high = np.array([0.0, 0.2, 0.5]), np.array([1.0, 0.8, 0.9])
    x = low + (high - low) * RANDOM.random((count, 4, 4, 3))
    known = ((low + high) / 2, (high - low) / np.sqrt(12)) if told else ()
    found, w = watermarks.fixed_stamp(np.asarray(watermarks.blend(x, alpha, colour)), *known)
    tolerance = 4 / np.sqrt(count)
    np.testing.assert_allclose(found, alpha, atol=tolerance)
    np.testing.assert_allclose(found * w, alpha * colour, atol=tolerance)
    restored = watermarks.unblend(watermarks.blend(x, alpha, colour), found, w)
    assert np.abs(np.asarray(restored) - x).max() < 4 * tolerance


def test_one_image_or_the_same_again_tells_no_stamp():
    for images, words in ((IMAGES[:1], "two or more"), (IMAGES[[0, 0]], "do not differ")):
        with pytest.raises(InputError, match=words):
            watermarks.fixed_stamp(images)


def test_mattes_are_placed_by_pixels_turned_and_scaled():
    jitted = jax.jit(watermarks.placed, static_argnums=1)

    def placed(matte, centre, scale, turn):
        return np.asarray(jitted(matte, (8, 9), np.float32(centre), scale, turn))

    expected = np.zeros((8, 9), np.float32)
    expected[2:5, 1:5] = MATTE
    np.testing.assert_allclose(placed(MATTE, (3.0, 2.5), 1.0, 0.0), expected, atol=1e-6)
    half = (expected + np.roll(expected, 1, axis=0)) / 2
    np.testing.assert_allclose(placed(MATTE, (3.5, 2.5), 1.0, 0.0), half, atol=1e-6)
    expected = np.zeros((8, 9), np.float32)
    expected[2:6, 3:6] = np.rot90(MATTE)  # counter-clockwise
    np.testing.assert_allclose(placed(MATTE, (3.5, 4.0), 1.0, 90.0), expected, atol=1e-6)
    # every second pixel of the double is half-way between none and one of the matte's
    double = placed(np.ones((1, 1), np.float32), (4.0, 4.0), 2.0, 0.0)
    np.testing.assert_allclose(double[4, 2:7], [0, 0.5, 1, 0.5, 0], atol=1e-6)


def test_stamping_is_the_composition_written_out():
    """A matte as large as the image has one place: the key chooses the opacity alone."""
    matte = RANDOM.random((1, 8, 9), np.float32)
    colour = np.array([0.9, 0.1, 0.4], np.float32)
    stamp = jax.jit(corruptions.stamping(matte, colour, scales=(1.0, 1.0), turn=0.0))
    m = matte[0][None, :, :, None]
    blended = (1 - 0.6 * m) * LEVELS + 0.6 * m * 255 * colour
    found = 255 * np.asarray(stamp(KEY, IMAGES, 0.6))
    assert np.abs(found - blended).max() < 0.5 + 1e-4
    np.testing.assert_allclose(found, np.rint(found), atol=1e-4)


def drawn(mattes, count=300, side=16, **how):
    """Alphas [N, side, side] of stamps at opacity 1/2, on black."""
    stamp = jax.vmap(watermarks.stamper(mattes, **how), (0, None, None))
    black = np.zeros((side, side, 1), np.float32)
    over, alpha = jax.jit(stamp)(jax.random.split(KEY, count), black, 0.5)
    np.testing.assert_allclose(over, alpha, atol=0.5 / 255 + 1e-6)
    return np.asarray(alpha)[..., 0]


def test_stamps_are_drawn_from_all_and_lie_in_the_image():
    mattes = np.ones((2, 2, 8), np.float32)
    mattes[1, :, 4:] = 0.5
    alpha = drawn(mattes, scales=(0.5, 1.0), turn=30.0, least=0.5)
    # bilinear interpolation keeps the area: no part is beyond the ends
    area = np.sum(alpha, axis=(1, 2))
    assert 0.25 * 0.25 * 12 * 0.9 < area.min() < 0.12 * 12
    assert 0.35 * 16 < area.max() < 0.5 * 16 * 1.05
    rows, columns = alpha.any(axis=2), alpha.any(axis=1)
    assert rows.any(axis=0).all()
    assert columns.any(axis=0).all()
    strength = alpha.max(axis=(1, 2))
    assert 0.1 < strength.min() < 0.3
    assert 0.45 < strength.max() <= 0.5


def test_a_stamp_that_is_too_long_when_turned_is_in_the_middle():
    alpha = drawn(np.ones((1, 16, 16), np.float32), scales=(1.0, 1.0), turn=45.0)
    at = np.arange(16) - 7.5
    middle = np.sum(alpha * at[None, None], axis=(1, 2)) / np.sum(alpha, axis=(1, 2))
    np.testing.assert_allclose(middle, 0, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32, jnp.float64])
def test_stamping_is_a_corruption(dtype, x64):
    stamp = jax.jit(corruptions.stamping(MATTE[None]))
    x = IMAGES.astype(dtype)
    x[0, 0, 0, 0] = -3  # no image: what is not stamped comes back as it was
    same, changed = stamp(KEY, x, 0.0), stamp(KEY, x, 0.9)
    np.testing.assert_array_equal(same, x)
    assert same.dtype == changed.dtype == dtype
    assert np.any(changed != x, axis=(1, 2, 3)).all()
    assert np.mean(changed != x) < 0.35
    np.testing.assert_array_equal(changed, stamp(KEY, x, 0.9))
    assert np.any(changed != stamp(jax.random.key(1), x, 0.9))
    with jax.debug_key_reuse(True):
        stamp(jax.random.key(2), x, 0.9)


def test_levels_of_a_stamp_are_opacities():
    stamp = corruptions.stamping(MATTE[None])
    assert (1.0 in corruptions.levels_of(stamp), 1.1 in corruptions.levels_of(stamp)) == (
        True,
        False,
    )
    assert methods.shown.corrupted(stamp, 0.5).domains == {
        "corruption_level": corruptions.levels_of(stamp)
    }
    with pytest.raises(InputError, match="the level of this corruption"):
        stamp(KEY, IMAGES, 1.5)


@pytest.mark.parametrize(
    ("mattes", "how", "words"),
    [
        (np.ones((0, 3, 4), np.float32), {}, "one or more"),
        (MATTE, {}, r"\[K, h, w\]"),
        (np.ones((1, 3, 4), np.uint8), {}, "got uint8"),
        (2 * np.ones((1, 3, 4)), {}, "a matte is between 0"),
        (MATTE[None], {"scales": (1.0, 0.5)}, "scales are"),
        (MATTE[None], {"turn": -1.0}, "turn is -1.0: use 0 or more"),
        (MATTE[None], {"least": 1.5}, "least is 1.5: use from 0 to 1"),
    ],
)
def test_what_is_no_stamp_is_refused(mattes, how, words):
    with pytest.raises(InputError, match=words):
        corruptions.stamping(mattes, **how)


def test_images_that_no_stamp_fits_are_refused():
    stamp = corruptions.stamping(np.ones((1, 8, 9), np.float32), scales=(0.5, 1.5))
    with pytest.raises(InputError, match="stamps of 12x14 pixels are larger than images of 8x9"):
        stamp(KEY, IMAGES, 0.5)
    with pytest.raises(InputError, match=r"got \[9, 3\]"):
        stamp(KEY, IMAGES[:, 0], 0.5)


def test_data_are_stamped_once_and_for_all():
    single = data.stored(LEVELS.astype(np.uint8))
    stamper = watermarks.stamper(MATTE[None])
    twice = data.stamped(single, stamper, 0.5, copies=2, first=7)
    batch = jax.jit(twice.fetch)(twice.arrays, np.arange(10))
    assert {name: x.shape for name, x in batch.items()} == {
        name: (10, *x.shape) for name, x in twice.spec.items()
    }
    np.testing.assert_array_equal(batch["image"][5:], batch["image"][:5])
    assert np.any(batch["alpha"][5:] != batch["alpha"][:5], axis=(1, 2, 3)).all()
    blended = watermarks.in_bytes(watermarks.blend(batch["image"], batch["alpha"]))
    np.testing.assert_allclose(batch["stamped"], blended, atol=1e-6)
    later = data.stamped(single, stamper, 0.5, first=12)
    np.testing.assert_allclose(data.head(later, 5)["alpha"], batch["alpha"][5:], atol=1e-6)
    assert later.fetch is twice.fetch
    alike = data.head(data.stamped(single, stamper, 0.5, first=7, alike=True), 5)["alpha"]
    np.testing.assert_allclose(alike, np.repeat(batch["alpha"][:1], 5, axis=0), atol=1e-6)
    fainter = data.stamped(single, stamper, 0.4, first=12)
    assert len({single.digest, twice.digest, later.digest, fainter.digest}) == 4
    for options, words in (({"opacity": 1.5}, "opacity is 1.5"), ({"copies": 0}, "got 0 and 0")):
        with pytest.raises(InputError, match=words):
            data.stamped(single, stamper, **options)
    with pytest.raises(InputError, match="images"):
        data.stamped(data.load("two_moons"), stamper)


def test_any_part_of_any_page_is_laid_over_in_any_of_the_colours():
    """Pages whose pixels all differ tell where they were cut."""
    pages = (np.arange(2 * 9 * 10, dtype=np.float32).reshape(2, 9, 10) + 1) / 255
    lay = jax.jit(jax.vmap(watermarks.overlay(pages), (0, None, None)))
    image = np.full((8, 8, 1), np.float32(100 / 255))
    over, alpha = lay(jax.random.split(KEY, 200), image, 1.0)
    first = np.rint(255 * np.asarray(alpha)[:, 0, 0, 0]).astype(int) - 1
    page, row, column = first // 90, first % 90 // 10, first % 10
    assert {*zip(page, row, column, strict=True)} == set(np.ndindex(2, 2, 3))
    cut = [pages[p, r : r + 8, c : c + 8, None] for p, r, c in zip(page, row, column, strict=True)]
    np.testing.assert_array_equal(alpha, np.stack(cut))
    black, white = ((1 - alpha) * 100 + alpha * 255 * colour for colour in (0.0, 1.0))
    is_black = np.all(np.abs(255 * over - black) < 0.5 + 1e-3, axis=(1, 2, 3))
    is_white = np.all(np.abs(255 * over - white) < 0.5 + 1e-3, axis=(1, 2, 3))
    assert np.all(is_black != is_white)
    assert 60 < is_black.sum() < 140
    np.testing.assert_array_equal(lay(jax.random.split(KEY, 200), image, 0.0)[0][0], image)
    _, alpha = watermarks.overlay(pages[:1, :8, :8])(KEY, image, 1.0)  # as large as the image
    np.testing.assert_array_equal(alpha[..., 0], pages[0, :8, :8])


def test_pages_that_are_no_such_or_too_small_are_refused():
    with pytest.raises(InputError, match="in one of some colours"):
        watermarks.overlay(MATTE[None], ())
    with pytest.raises(InputError, match="images of 8x9 pixels are larger than pages of 3x4"):
        watermarks.overlay(MATTE[None])(KEY, IMAGES[0], 1.0)
    with pytest.raises(InputError, match="a matte is between 0"):
        watermarks.overlay(2 + MATTE[None])


def test_bytes_and_what_does_not_fit_are_refused():
    """Of bytes alpha was rounded to 0, and nothing was stamped."""
    x = np.full((4, 5, 3), 200, np.uint8)
    stamp = watermarks.stamper(np.ones((1, 2, 2), np.float32))
    for use in (
        lambda: watermarks.blend(x, 0.5),
        lambda: watermarks.unblend(x, 0.5),
        lambda: watermarks.in_bytes(x),
        lambda: stamp(jax.random.key(0), x, 0.5),
    ):
        with pytest.raises(InputError, match=r"floats in \[0, 1\], got uint8"):
            use()
    x = x / np.float32(255)
    with pytest.raises(InputError, match="alpha is "):
        watermarks.blend(x, np.ones((4, 5)))
    with pytest.raises(InputError, match="the colour is "):
        watermarks.blend(x, 0.5, np.ones(2))
    with pytest.raises(InputError, match="opacity of a stamp is 2"):
        stamp(jax.random.key(0), x, 2)
