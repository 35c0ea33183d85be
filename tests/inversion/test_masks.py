import jax
import numpy as np
import pytest

from ae_jax import inversion
from ae_jax.core import InputError

IMAGES = np.random.default_rng(0).uniform(size=(3, 4, 5, 2)).astype(np.float32)
ONE = np.zeros((4, 5, 1), bool)
ONE[1, 2] = True


@pytest.mark.parametrize("shape", [(4, 5, 1), (1, 4, 5, 1), (3, 4, 5, 1), (4, 5, 2), (3, 4, 5, 2)])
def test_a_mask_is_of_all_images_or_of_each(shape):
    mask = np.random.default_rng(1).uniform(size=shape) < 0.5
    known = inversion.known_pixels(IMAGES, mask)
    np.testing.assert_array_equal(known, np.broadcast_to(mask, IMAGES.shape))


def test_known_pixels_are_kept_bit_for_bit():
    images, x = IMAGES.copy(), np.full_like(IMAGES, np.nan)
    images[:, 1, 2] = np.float32(-0.0), np.nan  # m x + (1 - m) y would lose both
    found = np.asarray(inversion.composed(images, ONE, np.where(ONE, x, 0.5)))
    np.testing.assert_array_equal(found[:, 1, 2].view(np.int32), images[:, 1, 2].view(np.int32))
    assert np.all(found[np.broadcast_to(~ONE, found.shape)] == 0.5)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((4, 5, 1), bool), "leaves an image without a known pixel"),
        (np.arange(3)[:, None, None, None] * np.ones((1, 4, 5, 1)) > 0, "without a known pixel"),
        (np.ones((4, 4, 1), bool), r"a mask of images \[3, 4, 5, 2\] is .* got \[4, 4, 1\]"),
        (np.ones((1, 1, 1), bool), "of their size"),
        (np.ones((4, 5), bool), r"got \[4, 5\]"),
        (np.ones((2, 4, 5, 1), bool), r"got \[2, 4, 5, 1\]"),
        (np.ones((4, 5, 1), np.float32), "is bool, True where a pixel is known, and not float32"),
    ],
)
def test_masks_that_are_refused(mask, words):
    with pytest.raises(InputError, match=words):
        inversion.known_pixels(IMAGES, mask)


def test_images_that_are_refused():
    with pytest.raises(InputError, match="must be floats"):
        inversion.known_pixels((IMAGES * 255).astype(np.uint8), ONE)
    with pytest.raises(InputError, match="must be floats"):
        inversion.known_pixels(IMAGES[0], ONE)
    with pytest.raises(InputError, match="what is to fill them"):
        inversion.composed(IMAGES, ONE, IMAGES[:1])


def test_a_hole_is_in_the_middle():
    mask = inversion.hole((4, 5, 1), 2)
    assert mask.shape == (4, 5, 1)
    rows, columns = np.nonzero(~mask[..., 0])
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {
        (1, 1), (1, 2), (2, 1), (2, 2),
    }  # fmt: skip
    assert inversion.hole((4, 5, 1), 4).sum() == 4
    for shape, side in (((4, 5, 1), 5), ((4, 5, 1), 0), ((4, 4, 1), 4)):
        with pytest.raises(InputError, match=f"a hole of {side} pixels"):
            inversion.hole(shape, side)


def test_missing_pixels_have_their_share():
    images = np.zeros((4, 50, 50, 3), np.float32)
    mask = np.asarray(inversion.missing(jax.random.key(0), images, 0.3))
    assert mask.shape == (4, 50, 50, 1)
    assert abs(1 - mask.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 1e4)
    with pytest.raises(InputError, match=r"is 1\.5: use from 0 to 1"):
        inversion.missing(jax.random.key(0), images, 1.5)
