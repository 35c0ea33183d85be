"""What is drawn has the density that is said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.drawn import SIZE
from ae_jax.data.sources.densities import NAMES, density
from ae_jax.data.splits import MOST_HELD_OUT as HELD_OUT

#: Half the width of a square around everything, and the step of a grid on it: integrals of
#: Gaussians are exact to rounding where the step is no more than their deviation.
EXTENT = {"ring": (1.6, 0.04), "grid": (3.0, 0.1), "checkerboard": (3.0, 0.25)}
ROWS = 4000


def points(name):
    dataset = data.load(name, "train")
    return jax.jit(dataset.fetch)(dataset.arrays, jnp.arange(ROWS))


@pytest.mark.parametrize("name", NAMES)
def test_points_are_of_the_density(name):
    """It sums to one; minus its mean logarithm at the points is its entropy."""
    extent, step = EXTENT.get(name, (4.5, 0.1))
    side = np.arange(-extent + step / 2, extent, step)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2).astype(np.float32)
    known = jax.jit(density(name).log_prob)
    logs = np.asarray(known(jnp.asarray(grid)), np.float64)
    mass = np.exp(logs) * step**2
    np.testing.assert_allclose(mass.sum(), 1, rtol=1e-4)
    batch = points(name)
    found = -np.asarray(known(batch["image"]), np.float64)
    entropy = -np.sum(mass * np.where(mass > 0, logs, 0))
    error = found.std() / np.sqrt(ROWS)
    assert abs(found.mean() - entropy) < 4 * error + 1e-5
    mean = (mass[:, None] * grid).sum(axis=0)
    error = np.asarray(batch["image"]).std(axis=0) / np.sqrt(ROWS)
    assert np.all(np.abs(np.asarray(batch["image"]).mean(axis=0) - mean) < 4 * error)


@pytest.mark.parametrize("name", NAMES)
def test_classes_are_as_frequent_and_known(name):
    shape = density(name)
    label = np.asarray(points(name)["label"])
    counts = np.bincount(label, minlength=shape.classes)
    assert len(counts) == shape.classes
    expected = ROWS / shape.classes
    # chi-squared, and its mean plus five deviations
    squares = np.sum((counts - expected) ** 2 / expected)
    assert squares <= shape.classes - 1 + 5 * np.sqrt(2 * shape.classes)


@pytest.mark.parametrize(("name", "count", "apart"), [("ring", 8, 0.7654), ("grid", 25, 1.0)])
def test_modes_are_where_they_are_said(name, count, apart):
    shape = density(name)
    away = np.linalg.norm(shape.centres[:, None] - shape.centres[None], axis=-1)
    np.testing.assert_allclose(np.min(away + 9 * np.eye(count), axis=1), apart, atol=1e-4)
    batch = points(name)
    noise = np.asarray(batch["image"]) - shape.centres[np.asarray(batch["label"])]
    np.testing.assert_allclose(noise.std(axis=0), shape.deviation, rtol=5 / np.sqrt(2 * ROWS))
    assert density("two_moons").centres is None


def test_squares_are_every_other_one_and_named():
    batch = points("checkerboard")
    corner = np.floor(batch["image"]).astype(int)
    assert np.all(corner.sum(axis=1) % 2 == 0)
    squares = np.column_stack([corner, batch["label"]])
    assert len(np.unique(squares, axis=0)) == len(np.unique(corner, axis=0)) == 8
    outside = jnp.array([[0.5, 1.5], [-2.5, 0.5], [2.5, 2.5]])
    assert np.all(density("checkerboard").log_prob(outside) == -np.inf)


def test_splits_are_parts_of_the_same_points():
    parts = {split: data.load("ring", split) for split in ("all", "validation", "test", "train")}
    assert [part.size for part in parts.values()] == [SIZE, HELD_OUT, HELD_OUT, SIZE - 2 * HELD_OUT]
    firsts = {
        split: part.fetch(part.arrays, jnp.arange(3))["image"] for split, part in parts.items()
    }
    whole = parts["all"].fetch(parts["all"].arrays, jnp.arange(3) + HELD_OUT)["image"]
    np.testing.assert_array_equal(firsts["validation"], firsts["all"])
    np.testing.assert_array_equal(firsts["test"], whole)
    assert not np.isin(firsts["train"], np.concatenate([firsts["all"], whole])).any()
    assert len({part.digest for part in parts.values()}) == 4


def test_points_do_not_depend_on_the_precision(x64):
    wide = points("spirals")
    assert wide["image"].dtype == np.float64
    with jax.enable_x64(False):
        narrow = points("spirals")
    np.testing.assert_allclose(wide["image"], narrow["image"], atol=1e-6)


def test_an_unknown_one_is_refused():
    with pytest.raises(InputError, match="unknown density 'circle'; choose from ring, grid"):
        density("circle")
