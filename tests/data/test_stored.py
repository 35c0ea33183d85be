import gc
import tracemalloc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.corruptions import CORRUPTIONS
from ae_jax.data import (
    binarized,
    contaminate,
    row_sequences,
    shapes,
    side_by_side,
    stored,
    subset,
)

BYTES = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3) * 8
UNIT = np.full((2, 2, 2), 0.5)
LABEL = np.array([3, 1, 4, 1, 5], np.uint8)
FACTORS = np.array([[0, 1], [1, 0], [2, 1], [0, 0], [1, 1]], np.int64)


def check_one_line(error):
    assert "\n" not in str(error.value)


def test_points_are_taken_as_they_are():
    points = np.array([[-3.0, 2.5], [1e4, 0.0], [7.0, -1.0]])
    data = stored(points, np.array([0, 2, 1]))
    batch = jax.jit(data.fetch)(data.arrays, jnp.array([1, 0]))
    np.testing.assert_array_equal(batch["image"], points[[1, 0]])
    np.testing.assert_array_equal(batch["label"], [2, 0])
    assert data.spec["image"].shape == (2,)
    assert data.size == 3
    assert data.digest != stored(points).digest


def test_scales_bytes_to_the_unit_interval():
    data = stored(BYTES, LABEL, FACTORS)
    batch = jax.jit(data.fetch)(data.arrays, jnp.array([4, 0]))
    np.testing.assert_allclose(batch["image"], BYTES[[4, 0], ..., None] / 255, rtol=1e-7)
    np.testing.assert_array_equal(batch["label"], [5, 3])
    np.testing.assert_array_equal(batch["factors"], [[1, 1], [0, 1]])
    assert data.factor_sizes == {"factor_0": 3, "factor_1": 2}


def test_masks_tell_classes_and_what_is_not_known():
    mask = np.array(BYTES // 8 % 4, np.int64)
    mask[1, 0] = -7
    data = stored(BYTES, mask=mask)
    batch = jax.jit(data.fetch)(data.arrays, jnp.array([1, 4]))
    np.testing.assert_array_equal(batch["mask"], np.maximum(mask[[1, 4]], -1))
    assert batch["mask"].dtype == data.spec["mask"].dtype
    with pytest.raises(InputError, match=r"masks have shape \(5, 3, 2\), images \(5, 2, 3, 1\)"):
        stored(BYTES, mask=mask.swapaxes(1, 2))
    with pytest.raises(InputError, match="use a number for each pixel"):
        stored(np.ones((5, 2)), mask=mask)


def test_the_spec_describes_a_batch():
    data = stored(BYTES, LABEL, FACTORS)
    batch = jax.eval_shape(data.fetch, data.arrays, jnp.arange(4))
    assert {k: (v.shape[1:], v.dtype) for k, v in batch.items()} == {
        k: (v.shape, v.dtype) for k, v in data.spec.items()
    }
    assert data.size == 5
    assert all(isinstance(array, np.ndarray) for array in data.arrays.values())


def test_scales_by_the_given_range_and_reaches_1_exactly():
    data = stored(np.array([0, 4, 16], np.uint8).reshape(3, 1, 1), value_range=(0, 16))
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
    data, places = stored(BYTES, LABEL, FACTORS), np.array([3, 3, 0])
    gathered = jax.tree.map(lambda array: array[places], data.arrays)
    jax.tree.map(
        np.testing.assert_array_equal,
        data.fetch(gathered, jnp.arange(3)),
        data.fetch(data.arrays, places),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((2, 4), np.uint8)}, r"shape \(2, 4\); expected \[N, H, W\]"),
        ({"images": np.zeros((1, 2, 2, 1, 1))}, "expected"),
        ({"images": np.zeros((0, 2))}, r"shape \(0, 2\); expected \[N, H, W\]"),
        ({"images": np.array([[np.nan, 1.0]])}, "points contain values that are not finite"),
        ({"images": np.zeros((2, 2)), "value_range": (0, 1)}, "leave out value_range and layout"),
        ({"images": np.zeros((0, 2, 2))}, "no images"),
        ({"images": np.zeros((3, 0, 2))}, "no images"),
        ({"images": np.array([[[None]]])}, "Python objects"),
        ({"images": UNIT.astype("m8[s]")}, "images are timedelta64"),
        ({"images": UNIT.astype(int) - 1}, "from -1 to -1, not 0 to 255; give .*--value-range LOW"),
        ({"images": UNIT.astype(np.uint16) + 256}, "from 256 to 256, not 0 to 255; give the val"),
        ({"images": np.full((1, 2, 2), 2, np.uint8).view(bool)}, "they are damaged"),
        ({"images": UNIT, "value_range": (1, 0)}, "from low to high, got 1 to 0"),
        ({"images": UNIT, "value_range": (0, np.nan)}, "from low to high"),
        ({"images": UNIT, "value_range": (0.6, 1)}, r"from 0\.5 to 0\.5, past the .* 0\.6 to 1"),
        ({"images": np.full((2, 2, 2), np.nan), "value_range": (0, 1)}, "not finite"),
        ({"images": np.zeros((2, 3, 4, 4))}, r"may be \[N, H, W, C\] or \[N, C, H, W\]; say"),
        ({"images": np.zeros((2, 1, 2, 2))}, "may be"),
        ({"images": UNIT, "layout": "CHWN"}, "the layout is 'CHWN'; use NHWC or NCHW"),
        ({"images": np.zeros((2, 2, 2), complex)}, "images are complex128"),
        ({"images": np.full((2, 2, 2), np.nan)}, "not finite"),
        ({"images": np.where(np.arange(8).reshape(2, 2, 2) == 7, np.inf, 0)}, "not finite"),
        ({"images": UNIT * 3}, r"from 1\.5 to 1\.5; scale them"),
        ({"images": -UNIT}, r"from -0\.5 to -0\.5; scale them"),
        (
            {"images": np.full((2, 2, 2), 17, np.uint8), "value_range": (0, 16)},
            "to 17, past the value range 0 to 16",
        ),
        ({"images": UNIT, "label": np.arange(3)}, "label has 3 rows for 2 images"),
        ({"images": UNIT, "label": np.array([0.0, 1.0])}, "label is float64; expected integers"),
        ({"images": UNIT, "label": np.array([0, None])}, "label is object"),
        ({"images": UNIT, "label": np.eye(2, dtype=int)}, r"label has shape \(2, 2\).*one-hot"),
        ({"images": UNIT, "label": np.array([0, 1], "m8[s]")}, "label is timedelta64"),
        ({"images": UNIT, "label": np.array([0, -1])}, "1; where some .*partly_labelled"),
        ({"images": UNIT, "label": np.array([0, 2**31])}, "label must lie in"),
        ({"images": UNIT, "factors": np.arange(2)}, r"factors has shape \(2,\)"),
        ({"images": UNIT, "factors": np.zeros((2, 0), int)}, "factors is empty"),
        ({"images": UNIT, "factors": np.zeros((1, 2), int)}, "factors has 1 rows"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        stored(**arguments, origin="here")
    assert str(error.value).startswith(("here: ", "a value range"))
    check_one_line(error)


def image_of(data):
    return np.asarray(data.fetch(data.arrays, np.arange(data.size))["image"])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, ">u2"])
def test_integers_that_are_0_and_1_are_taken_as_such_and_it_is_said(dtype):
    bits = np.arange(8).reshape(2, 2, 2) % 3 == 1
    with pytest.warns(UserWarning, match="all image values are 0 and 1, and are taken as that"):
        data = stored(bits.astype(dtype))
    np.testing.assert_array_equal(image_of(data)[..., 0], bits)
    assert data.arrays["image"].itemsize <= 2
    assert image_of(stored(bits.astype(dtype), value_range=(0, 255))).max() < 0.01
    assert image_of(stored(np.zeros((1, 2, 2), dtype))).max() == 0  # black, whatever white is


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, ">i4"])
def test_integers_up_to_255_are_bytes(dtype):
    data = stored((BYTES + 15).astype(dtype))
    np.testing.assert_allclose(image_of(data)[..., 0], (BYTES + 15) / 255, rtol=1e-6)
    assert data.arrays["image"].itemsize <= 2


RANGES = [
    (np.uint16, (0, 4095), np.uint16),
    (np.int32, (-1000, 3000), np.int16),
    (np.int64, (0, 65535), np.uint16),
    (np.int64, (0, 10**9), np.float32),
    (np.uint8, (-0.5, 255.5), np.float32),
    (np.float64, (-1000, 3000), np.float32),
    (np.float16, (-1, 3000), np.float32),
    (">f4", (-1, 3000), np.float32),
]


@pytest.mark.parametrize(("dtype", "value_range", "held"), RANGES)
def test_a_value_range_is_mapped_linearly(dtype, value_range, held):
    low, high = value_range
    values = np.array([0, 3, 100, 255]).reshape(1, 2, 2).astype(dtype)
    data = stored(values, value_range=value_range)
    assert data.arrays["image"].dtype == held
    expected = (values.astype(float)[..., None] - low) / (high - low)
    np.testing.assert_allclose(image_of(data), expected, rtol=1e-6)
    with jax.enable_x64(True):
        data = stored(values, value_range=value_range)
        np.testing.assert_allclose(image_of(data), expected, rtol=1e-14)


def test_the_ends_of_a_value_range_become_0_and_1_exactly():
    for value_range in [(0, 49), (-7, 42), (0, 65535), (0.1, 0.7)]:
        dtype = float if value_range[1] < 1 else int
        ends = np.array(value_range, dtype).reshape(2, 1, 1)
        image = image_of(stored(ends, value_range=value_range)).ravel()
        assert image[0] == 0
        assert 1 - 1e-6 < image[1] <= 1


def test_channels_that_come_first_are_moved_and_it_is_said():
    images = np.random.default_rng(0).uniform(size=(2, 3, 5, 6)).astype(np.float32)
    with pytest.warns(UserWarning, match=r"taken as \[N, C, H, W\]: 3 channels of 5x6"):
        data = stored(images)
    np.testing.assert_array_equal(image_of(data), images.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(image_of(stored(images, layout="NHWC")), images)
    small = images[:, :, :3, :2]
    np.testing.assert_array_equal(image_of(stored(small)), small)
    moved = stored(small, layout="NCHW")
    np.testing.assert_array_equal(image_of(moved), small.transpose(0, 2, 3, 1))


def test_labels_in_a_column_and_of_two_kinds():
    np.testing.assert_array_equal(stored(BYTES, LABEL[:, None]).arrays["label"], LABEL)
    np.testing.assert_array_equal(stored(BYTES, LABEL > 1).arrays["label"], LABEL > 1)


def test_large_bytes_are_neither_copied_nor_made_floats():
    images = np.random.default_rng(0).integers(0, 256, (100, 200, 200), np.uint8)
    bits = images > 127
    tracemalloc.start()
    try:
        held = [stored(images), stored(images.view(np.int8), value_range=(-128, 127)), stored(bits)]
        assert tracemalloc.get_traced_memory()[1] < images.nbytes / 4
    finally:
        tracemalloc.stop()
    assert np.shares_memory(held[0].arrays["image"], images)
    assert np.shares_memory(held[2].arrays["image"], bits)


def test_the_digest_names_content_and_order():
    base = stored(BYTES, LABEL, FACTORS)
    assert len(base.digest) == 64
    pixel, other = BYTES.copy(), LABEL.copy()
    pixel[3, 1, 2] += 1
    other[2] += 1
    changed = [
        stored(pixel, LABEL, FACTORS),
        stored(BYTES, other, FACTORS),
        stored(BYTES, LABEL, FACTORS[:, ::-1]),
        stored(BYTES, LABEL),
        stored(BYTES[::-1], LABEL[::-1], FACTORS[::-1]),
        stored(BYTES, LABEL, FACTORS, value_range=(0, 254)),
        stored(BYTES.reshape(5, 3, 2), LABEL, FACTORS),
        stored(BYTES / 255, LABEL, FACTORS),
        subset(base, slice(4)),
        subset(base, np.array([1, 0, 2, 3, 4])),
        subset(base, np.array([0, 0, 2, 3, 4])),
        binarized(base),
        binarized(base, 0.25),
        row_sequences(base),
        side_by_side([base, base]),
        side_by_side([base, binarized(base)]),
        contaminate(jax.random.key(0), base, CORRUPTIONS["masking"], 0.5),
        contaminate(jax.random.key(1), base, CORRUPTIONS["masking"], 0.5),
        contaminate(jax.random.key(0), base, CORRUPTIONS["dropout"], 0.5),
        contaminate(jax.random.key(0), base, CORRUPTIONS["masking"], 0.25),
        contaminate(jax.random.key(0), base, CORRUPTIONS["masking"], 0.5, 0.5),
        contaminate(jax.random.key(0), base, lambda key, x, level: x, 0.5),
        contaminate(jax.random.key(0), base, lambda key, x, level: x * 0, 0.5),
    ]
    assert len({data.digest for data in [base, *changed]}) == 1 + len(changed)


def test_equal_content_has_equal_digests():
    base = stored(BYTES, LABEL, FACTORS)
    for alike in (
        stored(BYTES.copy(), LABEL.astype(np.int64), FACTORS.astype(np.uint8)),
        stored(np.asfortranarray(BYTES).astype(np.int64), LABEL[:, None], FACTORS),
        stored(BYTES[..., None], LABEL, FACTORS, value_range=(0, 255)),
        subset(base, slice(None)),
        subset(base, np.arange(5)),
    ):
        assert alike.digest == base.digest
    assert subset(base, slice(1, 3)).digest == subset(base, np.array([1, 2])).digest
    unknown = base._replace(digest="")
    assert (
        binarized(unknown).digest
        == row_sequences(unknown).digest
        == subset(unknown, [1]).digest
        == ""
    )
    assert side_by_side([base, unknown]).digest == ""


def test_what_is_made_alike_is_fetched_by_the_same_function():
    first, second = stored(BYTES, LABEL), stored(BYTES[:2])
    pairs = [(first, second), (subset(first, [1, 2]), second), (stored(BYTES / 255), stored(UNIT))]
    grid = shapes.load("all", 16)
    pairs += [(subset(grid, [1]), subset(shapes.load("all", 16), slice(2, 4)))]
    pairs += [tuple(map(binarized, pair)) for pair in pairs]
    pairs += [tuple(map(row_sequences, pair)) for pair in pairs]
    spoiled = [contaminate(jax.random.key(0), one, CORRUPTIONS["masking"], 0.5) for one in pairs[0]]
    pairs += [spoiled, (side_by_side([first, first]), side_by_side([first]))]
    for one, other in pairs:
        assert one.fetch is other.fetch
    assert first.fetch is not stored(BYTES, value_range=(0, 254)).fetch
    assert binarized(first).fetch is not binarized(first, 0.25).fetch


def test_what_is_shared_keeps_nothing_alive():
    large = np.zeros(10)

    def fetch(arrays, indices, large=large):
        return {"image": large}

    data = binarized(stored(BYTES)._replace(fetch=fetch))
    assert binarized(stored(BYTES)._replace(fetch=fetch)).fetch is data.fetch
    seen = weakref.ref(fetch)
    del fetch, data
    gc.collect()
    assert seen() is None
