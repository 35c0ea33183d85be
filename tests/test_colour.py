"""Colour spaces: published values, inverses, another library, and gradients where roots end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import colour
from ae_jax.colour import delta_e, lab_to_rgb, rgb_to_lab
from ae_jax.core import InputError

#: sRGB and CIE Lab, to the two decimals that are published.
KNOWN = {
    "white": ((1, 1, 1), (100, 0, 0)),
    "red": ((1, 0, 0), (53.24, 80.09, 67.20)),
    "green": ((0, 1, 0), (87.73, -86.18, 83.18)),
    "blue": ((0, 0, 1), (32.30, 79.19, -107.86)),
}
#: scikit-image's white, another rounding of D65.
THEIRS = (0.95047, 1.0, 1.08883)


def colours(count=500, dtype=np.float32):
    """Random colours, and what lies about the ends of straight pieces."""
    drawn = np.random.default_rng(0).uniform(size=(count, 3))
    drawn[:10] *= 0.01
    drawn[10:20] = np.linspace(0.038, 0.043, 30).reshape(10, 3)
    return np.concatenate([drawn, np.eye(3), np.zeros((1, 3)), np.ones((1, 3))]).astype(dtype)


@pytest.mark.parametrize("name", KNOWN)
def test_known_colours(name):
    rgb, lab = (np.array(values, np.float32) for values in KNOWN[name])
    np.testing.assert_allclose(rgb_to_lab(rgb), lab, atol=6e-3)
    np.testing.assert_allclose(lab_to_rgb(lab), rgb, atol=2e-3)


def test_what_is_easily_got_wrong_is_far_from_the_known_colours():
    """A matrix of which rows and columns are exchanged; sRGB taken for linear light."""
    mixed = jnp.asarray(colour.XYZ_OF_RGB[1], jnp.float32)  # of green, it should be a column
    assert np.abs(colour.xyz_to_lab(mixed) - np.array(KNOWN["green"][1])).max() > 50
    half = np.full(3, 0.5, np.float32)
    np.testing.assert_allclose(rgb_to_lab(half)[0], 53.389, atol=1e-3)
    np.testing.assert_allclose(colour.xyz_to_lab(colour.linear_to_xyz(half))[0], 76.069, atol=1e-3)


@pytest.mark.parametrize(("dtype", "near"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_there_and_back(dtype, near, x64):
    rgb = colours(dtype=dtype)
    lab = jax.jit(rgb_to_lab)(rgb)
    back = jax.jit(lab_to_rgb)(lab)
    assert lab.dtype == back.dtype == dtype
    np.testing.assert_allclose(back, rgb, atol=near)
    image = rgb[:500].reshape(2, 25, 10, 3)
    np.testing.assert_array_equal(jax.jit(rgb_to_lab)(image).reshape(-1, 3), lab[:500])


def test_greys_have_no_hue(x64):
    grey = np.repeat(np.linspace(0, 1, 256)[:, None], 3, axis=1)
    lab = np.asarray(rgb_to_lab(grey))
    np.testing.assert_allclose(lab[:, 1:], 0, atol=1e-12)
    assert (np.diff(lab[:, 0]) > 0).all()
    np.testing.assert_allclose(rgb_to_lab(grey.astype(np.float32))[:, 1:], 0, atol=1e-4)


def test_the_straight_pieces_meet_the_curves(x64):
    for convert, end, near in (
        (colour.srgb_to_linear, 0.04045, 1e-7),
        (colour.linear_to_srgb, 0.0031308, 1e-7),
        (colour.xyz_to_lab, np.array(colour.D65) * (6 / 29) ** 3, 1e-12),
        (colour.lab_to_xyz, np.array([8.0, 0, 0]), 1e-12),
    ):
        low, high = (convert(np.full(3, end) * (1 + side)) for side in (-1e-15, 1e-15))
        np.testing.assert_allclose(low, high, atol=near)


@pytest.mark.parametrize("convert", [rgb_to_lab, lab_to_rgb])
@pytest.mark.parametrize("start", [0.0, 0.5, 1.0, -0.2, 1.3, 0.04045])
def test_gradients_are_finite_and_right(convert, start, x64):
    at = jnp.full(3, start) * (100 if convert is lab_to_rgb else 1)
    slope = jax.jacobian(convert)(at)
    assert np.isfinite(slope).all()
    assert np.isfinite(jax.jacobian(convert)(at.astype(jnp.float32))).all()
    if start != 0.04045:
        step = 1e-6 * np.eye(3)
        differences = np.stack([(convert(at + e) - convert(at - e)) / 2e-6 for e in step], axis=-1)
        np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-6)


def test_half_precision_is_computed_in_single():
    rgb = colours(20).astype(jnp.bfloat16)
    lab = rgb_to_lab(rgb)
    assert lab.dtype == jnp.float32
    np.testing.assert_array_equal(lab, rgb_to_lab(rgb.astype(jnp.float32)))


def test_beside_scikit_image(x64):
    theirs = pytest.importorskip("skimage.color")
    rgb = colours(dtype=np.float64)
    linear = colour.srgb_to_linear(rgb)
    xyz = colour.linear_to_xyz(linear)
    np.testing.assert_allclose(xyz, theirs.rgb2xyz(rgb), atol=1e-9)
    ours = colour.xyz_to_lab(xyz, THEIRS)  # they round the slope of the straight piece
    np.testing.assert_allclose(ours, theirs.rgb2lab(rgb), atol=2e-4)
    assert np.quantile(np.abs(ours - theirs.rgb2lab(rgb)), 0.99) < 1e-4
    np.testing.assert_allclose(rgb_to_lab(rgb), theirs.rgb2lab(rgb), atol=6e-3)
    lab = rgb_to_lab(rgb)
    np.testing.assert_allclose(
        colour.linear_to_srgb(colour.xyz_to_linear(colour.lab_to_xyz(lab, THEIRS))),
        theirs.lab2rgb(theirs.rgb2lab(rgb)),
        atol=1e-3,
    )
    np.testing.assert_allclose(
        delta_e(lab, lab[::-1]), theirs.deltaE_cie76(lab, lab[::-1]), atol=1e-9
    )


def test_delta_e():
    lab = jnp.array([[50.0, 3, -4], [50, 0, 0], [20, 20, 20]])
    other = jnp.array([[50.0, 0, 0], [38, 3, 4], [20, 20, 20]])
    np.testing.assert_allclose(delta_e(lab, other), [5, 13, 0], rtol=1e-6)
    slope = jax.grad(lambda x: delta_e(x, other).sum())(lab)
    np.testing.assert_allclose(slope, [[0, 0.6, -0.8], [12 / 13, -3 / 13, -4 / 13], [0] * 3], 1e-5)


@pytest.mark.parametrize("convert", [rgb_to_lab, lab_to_rgb, colour.linear_to_xyz])
def test_bytes_and_other_channels_are_refused(convert):
    with pytest.raises(InputError, match=r"floats, got uint8; scale images to \[0, 1\]"):
        convert(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"three numbers \[..., 3\], got shape \[4, 4, 1\]"):
        convert(np.zeros((4, 4, 1), np.float32))
    with pytest.raises(InputError, match="have no difference"):
        delta_e(np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32))


def test_an_image_is_its_lightness_and_its_chroma():
    images = np.random.default_rng(0).random((2, 3, 4, 3), np.float32)
    lab = np.asarray(colour.rgb_to_lab(images))
    np.testing.assert_allclose(colour.lightness(images), lab[..., :1] / 50 - 1, atol=1e-6)
    np.testing.assert_allclose(colour.chroma(images), lab[..., 1:] / 110, atol=1e-6)
    np.testing.assert_allclose(colour.coloured(images, colour.chroma(images)), images, atol=1e-5)
    grey = np.asarray(colour.coloured(images, np.zeros((2, 3, 4, 2), np.float32)))
    np.testing.assert_allclose(grey, np.repeat(grey[..., :1], 3, axis=-1), atol=1e-5)


def test_colours_of_another_size_and_no_white_are_refused():
    grey = np.full((2, 3, 3), 0.5, np.float32)
    for found in (np.zeros((1, 3, 2), np.float32), np.zeros((2, 3, 2), int), [0.0, 0.0]):
        with pytest.raises(InputError, match=r"floats \[2, 3, 2\]"):
            colour.coloured(grey, found)
    for white in ((1.0, 1.0), (0.0, 1.0, 1.0)):
        with pytest.raises(InputError, match="each more than 0"):
            colour.xyz_to_lab(grey, white)
