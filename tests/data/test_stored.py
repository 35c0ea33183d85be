import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.data import shapes, stored, subset

BYTES = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3) * 8
LABEL = np.array([3, 1, 4, 1, 5], np.uint8)
FACTORS = np.array([[0, 1], [1, 0], [2, 1], [0, 0], [1, 1]], np.int64)


def check_one_line(error):
    assert "\n" not in str(error.value)


def test_scales_bytes_to_the_unit_interval():
    data = stored(BYTES, LABEL, FACTORS)
    batch = jax.jit(data.fetch)(data.arrays, jnp.array([4, 0]))
    np.testing.assert_allclose(batch["image"], BYTES[[4, 0], ..., None] / 255, rtol=1e-7)
    np.testing.assert_array_equal(batch["label"], [5, 3])
    np.testing.assert_array_equal(batch["factors"], [[1, 1], [0, 1]])
    assert data.factor_sizes == {"factor_0": 3, "factor_1": 2}


def test_the_spec_describes_a_batch():
    data = stored(BYTES, LABEL, FACTORS)
    batch = jax.eval_shape(data.fetch, data.arrays, jnp.arange(4))
    assert {k: (v.shape[1:], v.dtype) for k, v in batch.items()} == {
        k: (v.shape, v.dtype) for k, v in data.spec.items()
    }
    assert data.size == 5
    assert all(isinstance(array, np.ndarray) for array in data.arrays.values())


def test_scales_by_the_given_white_and_reaches_1_exactly():
    data = stored(np.array([0, 4, 16], np.uint8).reshape(3, 1, 1), white=16)
    np.testing.assert_array_equal(
        data.fetch(data.arrays, jnp.arange(3))["image"].ravel(), [0, 0.25, 1]
    )
    for x64 in (False, True):
        with jax.enable_x64(x64):
            data = stored(np.full((1, 1, 1), 255, np.uint8))
            assert data.fetch(data.arrays, jnp.arange(1))["image"] == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, bool])
def test_accepts_floats_in_the_unit_interval_and_bools(dtype):
    data = stored(np.eye(2, dtype=dtype)[None])
    image = data.fetch(data.arrays, jnp.arange(1))["image"]
    np.testing.assert_array_equal(image, np.eye(2)[None, ..., None])
    assert image.dtype == jnp.result_type(float)


def test_x64(x64):
    data = stored(BYTES)
    image = data.fetch(data.arrays, jnp.arange(5))["image"]
    assert image.dtype == data.spec["image"].dtype == np.float64
    np.testing.assert_allclose(image, BYTES[..., None] / 255, rtol=1e-15)
    assert stored(np.eye(2)[None]).arrays["image"].dtype == np.float64


def test_fetch_works_on_rows_gathered_beforehand():
    data, rows = stored(BYTES, LABEL, FACTORS), np.array([3, 3, 0])
    gathered = jax.tree.map(lambda array: array[rows], data.arrays)
    jax.tree.map(
        np.testing.assert_array_equal,
        data.fetch(gathered, jnp.arange(3)),
        data.fetch(data.arrays, rows),
    )


@pytest.mark.parametrize("indices", [np.array([4, 1, 1]), slice(1, 4)])
def test_subset_of_stored_data(indices):
    data = stored(BYTES, LABEL, FACTORS)
    part = subset(data, indices)
    rows = np.arange(5)[indices]
    assert part.size == 3
    jax.tree.map(
        np.testing.assert_array_equal,
        part.fetch(part.arrays, jnp.arange(3)),
        data.fetch(data.arrays, rows),
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


UNIT = np.full((2, 2, 2), 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((2, 4), np.uint8)}, r"shape \(2, 4\); expected \[N, H, W\]"),
        ({"images": np.zeros((1, 2, 2, 1, 1))}, "expected"),
        ({"images": np.zeros((0, 2, 2))}, "no images"),
        ({"images": np.zeros((3, 0, 2))}, "no images"),
        ({"images": np.array([[[None]]])}, "Python objects"),
        ({"images": np.zeros((2, 2, 2), np.int32)}, "images are int32"),
        ({"images": np.zeros((2, 2, 2), complex)}, "images are complex128"),
        ({"images": np.full((2, 2, 2), np.nan)}, "not finite"),
        ({"images": np.where(np.arange(8).reshape(2, 2, 2) == 7, np.inf, 0)}, "not finite"),
        ({"images": UNIT * 3}, r"from 1\.5 to 1\.5; scale them"),
        ({"images": -UNIT}, r"from -0\.5 to -0\.5; scale them"),
        ({"images": np.full((2, 2, 2), 17, np.uint8), "white": 16}, "go to 17, past 16"),
        ({"images": UNIT, "label": np.arange(3)}, "label has 3 rows for 2 images"),
        ({"images": UNIT, "label": np.array([0.0, 1.0])}, "label is float64; expected integers"),
        ({"images": UNIT, "label": np.array([0, None])}, "label is object"),
        ({"images": UNIT, "label": np.array([[0], [1]])}, r"label has shape \(2, 1\)"),
        ({"images": UNIT, "label": np.array([0, -1])}, "label must lie in"),
        ({"images": UNIT, "label": np.array([0, 2**31])}, "label must lie in"),
        ({"images": UNIT, "factors": np.arange(2)}, r"factors has shape \(2,\)"),
        ({"images": UNIT, "factors": np.zeros((2, 0), int)}, "factors is empty"),
        ({"images": UNIT, "factors": np.zeros((1, 2), int)}, "factors has 1 rows"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        stored(**arguments, origin="here")
    assert str(error.value).startswith("here: ")
    check_one_line(error)
