import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.data import load
from ae_jax.data.sources import shapes
from ae_jax.data.sources.shapes import FACTOR_SIZES, render

SQUARE, ELLIPSE, HEART = range(3)
LARGEST = 5
draw = jax.jit(render, static_argnums=1)


def grid(**chosen):
    """Every combination of the chosen values of the factors, the others at 0: int [N, 5]."""
    axes = [np.atleast_1d(chosen.get(name, 0)) for name in FACTOR_SIZES]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)


def centre(image):
    """Mean (x, y) of the white pixels, in pixels from the top left corner."""
    rows, columns = np.nonzero(np.asarray(image)[..., 0])
    return np.array([columns.mean(), rows.mean()]) + 0.5


def test_areas_are_those_of_the_figures():
    resolution = 256
    radius = 0.2 * resolution * np.linspace(0.5, 1, 6)
    areas = {SQUARE: 2 * radius**2, ELLIPSE: np.pi * radius**2 / 2}
    for shape, expected in areas.items():
        images = draw(grid(shape=shape, scale=range(6), orientation=3, x=9, y=20), resolution)
        np.testing.assert_allclose(images.sum(axis=(1, 2, 3)), expected, rtol=0.02)
    # (4u)^2 + (5v - 4|u|)^2 < r^2 shears an ellipse of area pi r^2 / 20.
    images = draw(grid(shape=HEART, scale=range(6), orientation=3, x=9, y=20), resolution)
    expected = np.pi * (1773 / 512 * radius) ** 2 / 20
    np.testing.assert_allclose(images.sum(axis=(1, 2, 3)), expected, rtol=0.02)


def test_x_moves_right_and_y_moves_down_in_even_steps():
    for shape in (SQUARE, ELLIPSE):
        images = draw(grid(shape=shape, scale=LARGEST, x=range(32), y=4), 64)
        centres = np.stack([centre(image) for image in images])
        np.testing.assert_allclose(centres[:, 0], np.linspace(0.22, 0.78, 32) * 64, atol=0.5)
        assert np.ptp(centres[:, 1]) < 0.1
        images = draw(grid(shape=shape, scale=LARGEST, x=4, y=range(32)), 64)
        centres = np.stack([centre(image) for image in images])
        np.testing.assert_allclose(centres[:, 1], np.linspace(0.22, 0.78, 32) * 64, atol=0.5)


@pytest.mark.parametrize("resolution", [32, 64])
def test_sprites_stay_inside_the_image(resolution):
    """Nothing touches the border at the extreme positions of the largest sprites."""
    factors = grid(shape=range(3), scale=LARGEST, orientation=range(40), x=(0, 31), y=(0, 31))
    images = np.asarray(draw(factors, resolution))
    border = np.ones((resolution, resolution, 1), bool)
    border[1:-1, 1:-1] = False
    assert not images[:, border].any()
    assert images.any(axis=(1, 2, 3)).all()


def test_the_heart_stands_upright_and_is_symmetric():
    image = np.asarray(draw(grid(shape=HEART, scale=LARGEST, x=15, y=15), 256))[0, ..., 0]
    widths = image.sum(axis=1)
    rows = np.nonzero(widths)[0]
    assert widths[rows[2]] > 4 * widths[rows[-3]]  # two lobes above, a point below
    columns = np.nonzero(image.sum(axis=0))[0]
    middle = (columns[0] + columns[-1]) // 2
    assert image[rows[0], middle] == 0  # the dent between the lobes
    assert abs(middle + 0.5 - 256 * np.linspace(0.22, 0.78, 32)[15]) <= 1


def test_orientation_turns_counter_clockwise():
    """Ten steps are a quarter turn, of the image and of the centre's position."""
    orientation = np.arange(0, 30, 7)
    for shape in range(3):
        before = draw(grid(shape=shape, scale=3, orientation=orientation, x=5, y=20), 64)
        after = draw(grid(shape=shape, scale=3, orientation=orientation + 10, x=20, y=26), 64)
        np.testing.assert_array_equal(np.rot90(before, axes=(1, 2)), after)


def test_images_are_the_same_in_any_program_and_precision():
    factors = np.random.default_rng(0).integers(0, list(FACTOR_SIZES.values()), (300, 5))
    factors = jnp.asarray(factors, jnp.int32)
    expected = np.asarray(draw(factors, 32))
    assert set(np.unique(expected)) == {0, 1}
    np.testing.assert_array_equal(render(factors, 32), expected)
    np.testing.assert_array_equal(
        jax.lax.map(functools.partial(render, resolution=32), factors), expected
    )
    np.testing.assert_array_equal(
        draw(factors.reshape(3, 100, 5), 32).reshape(expected.shape), expected
    )
    with jax.enable_x64(True):
        wide = render(factors, 32)
        assert wide.dtype == jnp.float64
        np.testing.assert_array_equal(wide, expected)


def test_pixels_are_those_of_float64_geometry():
    """But for the pixels whose centres lie within 1/100 of a radius of the outline."""
    factors = np.random.default_rng(1).integers(0, list(FACTOR_SIZES.values()), (200, 5))
    drawn = np.asarray(draw(jnp.asarray(factors), 64))[..., 0]
    shape, scale, orientation, x, y = factors.T[:, :, None, None]
    radius = 0.2 * 64 * np.linspace(0.5, 1, 6)[scale]
    position = 64 * np.linspace(0.22, 0.78, 32)
    pixel = np.arange(64) + 0.5
    turned = (pixel[None, None, :] - position[x]) + 1j * (position[y] - pixel[None, :, None])
    turned = turned * np.exp(-2j * np.pi * orientation / 40) / radius
    u, v = turned.real, turned.imag
    heart = 3.463 - np.hypot(4 * u, 5 * (v + 0.3066) - 4 * np.abs(u))
    inner = np.choose(
        shape,
        [0.5**0.5 - np.maximum(abs(u), abs(v)), 1 - np.hypot(u, 2 * v), heart],
    )
    sure = np.abs(inner) > 0.03
    np.testing.assert_array_equal(drawn[sure], (inner > 0)[sure])
    assert sure.mean() > 0.99


def test_the_grid_is_in_the_order_of_dsprites():
    data = shapes.load("all", 16)
    assert data.size == 737_280 == shapes.SIZE
    assert data.factor_sizes == {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
    index = np.array([0, 1, 32, 32 * 32, 40 * 32 * 32, 6 * 40 * 32 * 32, 737_279])
    batch = jax.jit(data.fetch)(data.arrays, index)
    np.testing.assert_array_equal(
        batch["factors"],
        [[0] * 5, [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0],
         [1, 0, 0, 0, 0], [2, 5, 39, 31, 31]],
    )  # fmt: skip
    np.testing.assert_array_equal(batch["image"], draw(batch["factors"], 16))


@pytest.mark.parametrize(("name", "resolution"), [("shapes", 64), ("shapes32", 32)])
def test_the_spec_describes_a_batch(name, resolution):
    data = load(name)
    batch = jax.eval_shape(data.fetch, data.arrays, jnp.arange(3))
    assert {k: (v.shape[1:], v.dtype) for k, v in batch.items()} == {
        k: (v.shape, v.dtype) for k, v in data.spec.items()
    }
    assert data.spec["image"].shape == (resolution, resolution, 1)
    assert data.arrays == {}


def test_splits_are_disjoint_and_complete():
    def indices(split):
        data = shapes.load(split, 1)  # one pixel: only the factors matter
        factors = jax.jit(lambda index: data.fetch(data.arrays, index)["factors"])(
            jnp.arange(data.size)
        )
        return np.ravel_multi_index(np.asarray(factors).T, tuple(FACTOR_SIZES.values()))

    validation, test = indices("validation"), indices("test")
    train = shapes.load("train", 1)
    assert len(validation) == len(test) == 10_000
    assert train.size == 717_280
    rest = np.concatenate([indices("train"), validation, test])
    assert (np.bincount(rest, minlength=737_280) == 1).all()
    # A random choice: each half of the grid holds about half of the split (5 sigma).
    assert abs((validation < 368_640).sum() - 5_000) < 250


def test_the_split_never_changes():
    data = shapes.load("validation", 1)
    np.testing.assert_array_equal(
        jax.jit(data.fetch)(data.arrays, np.arange(2))["factors"],
        [[1, 5, 13, 26, 9], [2, 0, 1, 14, 27]],
    )
