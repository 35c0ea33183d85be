"""Sprites in two renderings, against the drawings that they are made of."""

import functools

import jax
import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.sources import shapes

ROWS = 6


def everything(dataset):
    batch = dataset.fetch(dataset.arrays, np.arange(dataset.size))
    return {name: np.asarray(entry) for name, entry in batch.items()}


@functools.cache
def drawn():
    """The first sprites of the test split, [N, 32, 32, 1], and their shapes."""
    whole = shapes.load("test", 32)
    some = jax.jit(whole.fetch)(whole.arrays, np.arange(2 * ROWS))
    return np.asarray(some["image"]), np.asarray(some["factors"])[:, 0]


def expected(first):
    """Filled, outlined and dark sprites [ROWS, 16, 16, 1], and their shapes."""
    large, shape = (entry[first : first + ROWS] for entry in drawn())
    filled = large.reshape(ROWS, 16, 2, 16, 2, 1).mean(axis=(2, 4))
    around = np.pad(filled, ((0, 0), (1, 1), (1, 1), (0, 0)))
    near = [
        around[:, 1 + a : 17 + a, 1 + b : 17 + b] for a, b in ((0, 1), (0, -1), (1, 0), (-1, 0))
    ]
    outline = filled - np.minimum(filled, np.min(near, axis=0))
    return {"filled": filled, "outline": outline, "dark": 1 - filled}, shape


def test_pairs_are_of_one_sprite():
    batch = everything(data.sprite_pairs(ROWS, ("dark", "outline"), split="test", skip=3))
    made, shape = expected(3)
    assert set(batch) == {"image", "target", "label"}
    np.testing.assert_allclose(batch["image"], made["dark"], atol=1e-6)
    np.testing.assert_allclose(batch["target"], made["outline"], atol=1e-6)
    np.testing.assert_array_equal(batch["label"], shape)


def test_domains_share_no_sprite():
    batch = everything(data.sprite_domains(ROWS, ("filled", "outline"), split="test"))
    (first, shape), (second, other) = expected(0), expected(ROWS)
    np.testing.assert_allclose(batch["image"], first["filled"], atol=1e-6)
    np.testing.assert_array_equal(batch["label"], shape)
    # without an order that pairs them
    order = [
        int(np.argmin(np.sum((second["outline"] - image) ** 2, axis=(1, 2, 3))))
        for image in batch["other"]
    ]
    assert sorted(order) == list(range(ROWS))
    np.testing.assert_allclose(batch["other"], second["outline"][order], atol=1e-6)
    np.testing.assert_array_equal(batch["other_label"], other[order])


@pytest.mark.parametrize("build", [data.sprite_pairs, data.sprite_domains])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"renderings": ("dark", "dark")}, "two renderings of filled, outline, dark are compared"),
        ({"renderings": ("dark", "grey")}, "got dark, grey"),
        ({"size": 12}, "cannot be cut into 12 blocks"),
        ({"count": 10_001}, "has 10,000 sprites, fewer than .*: take fewer"),
        ({"skip": 9_999}, "fewer than 10,00[13]"),
        ({"count": 0}, "count"),
    ],
)
def test_what_is_not_there_is_refused(build, options, message):
    with pytest.raises(InputError, match=message):
        build(**{"count": 2, "split": "test", **options})
