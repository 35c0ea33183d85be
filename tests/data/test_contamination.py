import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import corruptions
from ae_jax.core import Dataset, InputError
from ae_jax.data import Condition, conditions, contaminate, contamination, stored, subset

KEY = jax.random.key(0)
BYTES = np.random.default_rng(0).integers(50, 200, (11, 3, 4), np.uint8)


def bytes_data():
    return stored(BYTES, np.arange(11) % 3, np.arange(22).reshape(11, 2) % 5)


def changed_rows(before, after):
    indices = np.arange(before.size)
    clean, spoiled = (jax.device_get(data.fetch(data.arrays, indices)) for data in (before, after))
    for name in clean.keys() - {"image"}:
        np.testing.assert_array_equal(clean[name], spoiled[name])
    assert clean["image"].dtype == spoiled["image"].dtype
    return np.any(clean["image"] != spoiled["image"], axis=(1, 2, 3))


@pytest.mark.parametrize("chunk", [3, 1000])
@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (0.3, 3), (1.0, 11)])
def test_contaminates_a_fraction_and_leaves_the_rest_untouched(monkeypatch, fraction, count, chunk):
    monkeypatch.setattr(contamination, "CHUNK", chunk)
    data = bytes_data()
    spoiled = contaminate(KEY, data, corruptions.gaussian_noise, 0.5, fraction)
    assert changed_rows(data, spoiled).sum() == count
    assert spoiled.spec == data.spec
    assert spoiled.factor_sizes == data.factor_sizes
    assert data.arrays["image"].dtype == np.uint8


def test_contaminated_data_are_not_named_after_the_clean_ones():
    data = bytes_data()._replace(digest="the clean ones")
    first, again, other = (
        contaminate(key, data, corruptions.masking, 0.5).digest
        for key in (KEY, KEY, jax.random.key(1))
    )
    assert first == again
    assert len({data.digest, first, other}) == 3


def test_contamination_differs_between_examples_and_chunks(monkeypatch):
    monkeypatch.setattr(contamination, "CHUNK", 2)
    data = stored(np.full((4, 2, 2), 0.5))
    image = contaminate(KEY, data, corruptions.gaussian_noise, 1.0).arrays["image"]
    assert len(np.unique(image)) == image.size


def test_contamination_is_fixed_by_its_key():
    arrays = [
        contaminate(jax.random.key(seed), bytes_data(), corruptions.masking, 0.5, 0.5).arrays
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(arrays[0]["image"], arrays[1]["image"])
    assert np.any(arrays[0]["image"] != arrays[2]["image"])


def test_contaminated_data_are_stored_data():
    data = contaminate(KEY, bytes_data(), corruptions.heavy_tailed, 1.0)
    image = data.arrays["image"]
    assert isinstance(image, np.ndarray)
    assert image.min() < 0
    assert image.max() > 1
    rows = np.array([7, 0, 7])
    batch = jax.jit(data.fetch)(data.arrays, rows)
    np.testing.assert_array_equal(batch["image"], image[rows])
    gathered = jax.tree.map(lambda array: array[rows], data.arrays)
    np.testing.assert_array_equal(data.fetch(gathered, jnp.arange(3))["image"], image[rows])
    part = subset(data, rows)
    np.testing.assert_array_equal(part.fetch(part.arrays, jnp.arange(3))["image"], image[rows])
    again = contaminate(KEY, data, corruptions.masking, 1.0)  # of what is outside [0, 1], too
    assert not again.arrays["image"].any()


def test_contaminates_rendered_data_and_fetches_double_precision(x64):
    def fetch(arrays, indices):
        grey = (1 + jnp.asarray(indices)).astype(float) / 8
        return {"image": jnp.broadcast_to(grey[:, None, None, None], (len(indices), 3, 3, 1))}

    data = Dataset({"image": jax.ShapeDtypeStruct((3, 3, 1), float)}, 3, {}, fetch)
    spoiled = contaminate(KEY, data, corruptions.salt_and_pepper, 0.9)
    assert changed_rows(data, spoiled).all()
    assert spoiled.arrays["image"].dtype == np.float64


def test_contaminate_refuses():
    with pytest.raises(InputError, match=r"is 1\.5; use 0 to 1"):
        contaminate(KEY, bytes_data(), corruptions.masking, 0.5, 1.5)
    for level in (-0.1, np.nan, 1.01):
        with pytest.raises(InputError, match="the level of this corruption is"):
            contaminate(KEY, bytes_data(), corruptions.masking, level)
    spec = {"tokens": jax.ShapeDtypeStruct((3,), jnp.int32)}
    words = Dataset(spec, 2, {"tokens": np.zeros((2, 3), int)}, lambda arrays, indices: arrays)
    with pytest.raises(InputError, match="has tokens"):
        contaminate(KEY, words, corruptions.masking, 0.5)


def test_conditions_are_a_product_with_the_same_keys():
    train, validation = bytes_data(), subset(bytes_data(), slice(0, 5))
    found = conditions(KEY, (train, validation), ("masking", "occlusion"), (0.0, 0.4), (1.0,))
    assert list(found) == [
        Condition("masking", 0.0, 1.0),
        Condition("masking", 0.4, 1.0),
        Condition("occlusion", 0.0, 1.0),
        Condition("occlusion", 0.4, 1.0),
    ]
    assert not any(changed_rows(train, part).any() for part in found["masking", 0.0, 1.0][:1])
    keys = jax.random.split(KEY)
    for place, (key, clean) in enumerate(zip(keys, (train, validation), strict=True)):
        expected = contaminate(key, clean, corruptions.occlusion, 0.4, 1.0)
        spoiled = found["occlusion", 0.4, 1.0][place]
        np.testing.assert_array_equal(spoiled.arrays["image"], expected.arrays["image"])
        assert spoiled.digest == expected.digest
    with pytest.raises(InputError, match="unknown corruption blur: use masking"):
        conditions(KEY, (train,), ("masking", "blur"), (0.4,))
