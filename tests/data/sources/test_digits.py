import sys

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from ae_jax.core import InputError
from ae_jax.data import load


@pytest.mark.parametrize(
    ("split", "size"), [("train", 1197), ("validation", 300), ("test", 300), ("all", 1797)]
)
def test_splits_hold_each_digit_in_its_proportion(split, size):
    data = load("digits", split)
    counts = np.bincount(data.arrays["label"], minlength=10)
    assert data.size == counts.sum() == size
    np.testing.assert_allclose(counts, np.bincount(load_digits().target) * size / 1797, atol=1.01)


def test_splits_are_disjoint_and_complete():
    images = np.concatenate(
        [load("digits", split).arrays["image"] for split in ("train", "validation", "test")]
    )
    whole = load("digits", "all").arrays["image"]
    np.testing.assert_array_equal(*(np.sort(x.reshape(-1, 64), axis=0) for x in (images, whole)))


def test_pixels_and_labels_are_those_of_scikit_learn():
    data, digits = load("digits", "all"), load_digits()
    batch = data.fetch(data.arrays, jnp.arange(1797))
    np.testing.assert_array_equal(batch["image"][..., 0], digits.images / 16)
    np.testing.assert_array_equal(batch["label"], digits.target)
    assert batch["image"].max() == 1


def test_the_split_never_changes():
    assert load("digits", "test").arrays["label"][:12].tolist() == [
        1,
        3,
        4,
        5,
        8,
        5,
        5,
        0,
        4,
        2,
        6,
        0,
    ]


def test_scikit_learn_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        load("digits")
