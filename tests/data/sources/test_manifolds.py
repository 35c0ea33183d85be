"""What is drawn lies on the surface that is said, and what it is a function of is handed over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import make_s_curve, make_swiss_roll

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.sources.manifolds import NAMES, disc, manifold

ROWS = 500


def points(name):
    dataset = data.load(name)
    batch = jax.jit(dataset.fetch)(dataset.arrays, jnp.arange(ROWS))
    assert {k: (v.shape[1:], v.dtype) for k, v in batch.items()} == {
        k: (v.shape, v.dtype) for k, v in dataset.spec.items()
    }
    return {entry: np.asarray(value) for entry, value in batch.items()}


@pytest.mark.parametrize(
    ("name", "make"), [("swiss_roll3d", make_swiss_roll), ("s_curve", make_s_curve)]
)
def test_rolls_are_those_of_scikit_learn(name, make):
    x, angle = make(200, random_state=0)
    found = jax.vmap(manifold(name).embed)(jnp.asarray(np.stack([angle, x[:, 1]], 1), jnp.float32))
    np.testing.assert_allclose(found, x, atol=1e-5)
    # and they are drawn from the same range
    drawn, theirs = points(name)["coordinates"], np.stack([angle, x[:, 1]], axis=1)
    np.testing.assert_allclose(drawn.min(axis=0), theirs.min(axis=0), atol=0.5)
    np.testing.assert_allclose(drawn.max(axis=0), theirs.max(axis=0), atol=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_coordinates_are_those_of_the_example(name):
    batch, own = points(name), manifold(name)
    assert batch["coordinates"].shape == (ROWS, len(own.coordinates)) == (ROWS, own.dimension)
    expected = jax.vmap(own.embed)(jnp.asarray(batch["coordinates"]))
    np.testing.assert_allclose(batch["image"], expected, atol=1e-5)


def test_discs_are_sigmoids_of_the_distance_to_the_edge():
    batch = points("discs3")
    centre = (np.arange(32) + 0.5) / 32
    for image, (x, y, radius) in zip(batch["image"][:3], batch["coordinates"][:3], strict=True):
        away = np.hypot(centre[None, :] - x, centre[:, None] - y)
        np.testing.assert_allclose(
            image[..., 0], 1 / (1 + np.exp(-32 * (radius - away))), atol=1e-5
        )
    # the centre itself is a pixel
    slope = jax.jacfwd(lambda c: disc(c, size=3))(jnp.full(2, 0.5))
    assert np.all(np.isfinite(slope))


def test_cubes_and_spheres_are_turned_and_no_more():
    cube, sphere = points("cube:3in7"), points("sphere:2in5")
    for batch, wide in ((cube, 7), (sphere, 5)):
        assert batch["image"].shape == (ROWS, wide)
        own, flat = (
            np.linalg.norm(batch[name][:, None] - batch[name][None], axis=-1)
            for name in ("image", "coordinates")
        )
        np.testing.assert_allclose(own, flat, atol=1e-5)
    assert 0 <= cube["coordinates"].min() < 0.01 < 0.99 < cube["coordinates"].max() <= 1
    np.testing.assert_allclose(np.linalg.norm(sphere["image"], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(sphere["image"].mean(axis=0), 0, atol=4 / np.sqrt(3 * ROWS))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cube:3in2", "cube:3in2: a cube of 3 takes a space of 3"),
        ("sphere:2in2", "a sphere of 2 takes a space of 3"),
        ("cube:0in3", "unknown manifold 'cube:0in3'; choose from swiss_roll3d, s_curve, discs1"),
        ("sphere:", "cube:5in20, sphere:2in10$"),
    ],
)
def test_what_does_not_fit_is_refused(name, words):
    with pytest.raises(InputError, match=words):
        data.load(name)


def test_a_value_range_is_refused():
    with pytest.raises(InputError, match="has a value range of its own"):
        data.load("cube:1in2", value_range=(0, 1))
