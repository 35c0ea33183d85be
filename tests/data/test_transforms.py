import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.data import (
    binarized,
    resized,
    shapes,
    stored,
    subset,
)

BYTES = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3) * 8
LABEL = np.array([3, 1, 4, 1, 5], np.uint8)
FACTORS = np.array([[0, 1], [1, 0], [2, 1], [0, 0], [1, 1]], np.int64)


def check_one_line(error):
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("indices", [np.array([4, 1, 1]), slice(1, 4)])
def test_subset_of_stored_data(indices):
    data = stored(BYTES, LABEL, FACTORS)
    part = subset(data, indices)
    places = np.arange(5)[indices]
    assert part.size == 3
    jax.tree.map(
        np.testing.assert_array_equal,
        part.fetch(part.arrays, jnp.arange(3)),
        data.fetch(data.arrays, places),
    )
    assert part.factor_sizes == data.factor_sizes


def test_a_slice_is_a_view():
    data = stored(BYTES)
    assert np.shares_memory(subset(data, slice(1, 3)).arrays["image"], BYTES)


def test_subset_of_rendered_data_and_of_a_subset():
    data = shapes.load("all", 16)
    part = subset(subset(data, np.array([700_000, 5, 70_000])), np.array([2, 0]))
    assert part.size == 2
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.jit(part.fetch)(part.arrays, jnp.arange(2)),
        data.fetch(data.arrays, jnp.array([70_000, 700_000])),
    )


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.array([0, 5]), r"must lie in 0\.\.4"),
        (np.array([-1]), r"must lie in 0\.\.4"),
        (np.array([0.5]), "array of integers"),
        (np.array([], int), "at least one"),
        (slice(3, 3), "at least one"),
    ],
)
def test_subset_refuses(indices, message):
    with pytest.raises(InputError, match=message) as error:
        subset(stored(BYTES), indices)
    check_one_line(error)


def test_images_are_made_smaller_by_the_means_of_blocks():
    images = np.random.RandomState(0).uniform(size=(5, 6, 6, 2))
    whole = stored(images, LABEL)
    data = resized(whole, 2)
    batch = jax.jit(data.fetch)(data.arrays, jnp.array([4, 0]))
    expected = [
        [images[n, i : i + 3, j : j + 3].mean((0, 1)) for j in (0, 3)]
        for n in (4, 0)
        for i in (0, 3)
    ]
    np.testing.assert_allclose(batch["image"], np.reshape(expected, (2, 2, 2, 2)), rtol=1e-6)
    np.testing.assert_array_equal(batch["label"], [5, 3])
    assert data.spec["image"].shape == batch["image"].shape[1:]
    assert data.spec["image"].dtype == batch["image"].dtype
    assert data.digest not in ("", whole.digest, resized(whole, 3).digest)
    assert resized(whole, 2).fetch is data.fetch
    assert resized(whole, 6) is whole


def test_images_that_cannot_be_made_smaller_are_refused():
    for side in (0, -1, 2.0, "2"):
        with pytest.raises(InputError, match=f"side is {side!r}: use a whole number, 1 or more"):
            resized(stored(np.zeros((1, 6, 6))), side)
    for make in (lambda x: resized(x, 2), lambda x: subset(x, np.arange(2)), binarized):
        with pytest.raises(InputError, match="dataset is 'digits': use"):
            make("digits")
    for side in (4, 12):
        with pytest.raises(InputError, match="6 pixels a side cannot be cut into") as error:
            resized(stored(np.zeros((1, 6, 6))), side)
        check_one_line(error)
    with pytest.raises(InputError, match="only square images"):
        resized(stored(BYTES), 1)
    with pytest.raises(InputError, match="images with masks are not resized"):
        resized(stored(np.zeros((1, 6, 6)), mask=np.zeros((1, 6, 6), int)), 3)
