import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_jax.core import InputError
from ae_jax.data.splits import held_out, labelled, part, shuffled, stratified


def test_held_out():
    assert [held_out(n) for n in (1, 19, 60_000, 737_280)] == [1, 1, 6_000, 10_000]


def test_the_shuffle_never_changes():
    assert shuffled(8).tolist() == [6, 2, 1, 7, 3, 0, 5, 4]


@given(label=st.lists(st.integers(0, 4), min_size=1, max_size=60), data=st.data())
def test_every_stretch_is_stratified(label, data):
    label = np.array(label)
    order = stratified(label)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(label)))
    count = data.draw(st.integers(1, len(label)))
    for value in np.unique(label):
        expected = (label == value).mean() * count
        classes = len(np.unique(label))
        assert abs((label[order[:count]] == value).sum() - expected) <= classes


def test_labelled_examples_are_stratified_and_each_seeds_own():
    label = np.repeat([0, 1, 2], [30, 20, 10])
    drawn = labelled(label, 12, 3)
    assert drawn.shape == (3, 12)
    for order in drawn:
        assert len(set(order)) == 12
        np.testing.assert_array_equal(np.bincount(label[order]), [6, 4, 2])
    assert len({tuple(sorted(order)) for order in drawn}) == 3
    np.testing.assert_array_equal(labelled(label, 5, 3), drawn[:, :5])
    with pytest.raises(InputError, match="60 labels"):
        labelled(label, 61, 1)


def test_parts_are_disjoint_and_complete():
    order = shuffled(20)
    parts = [part(order, split, (3, 4), "here") for split in ("train", "validation", "test")]
    assert [len(indices) for indices in parts] == [13, 3, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(20))
    np.testing.assert_array_equal(part(order, "all", (3, 4), "here"), np.arange(20))


def test_too_few_to_split():
    with pytest.raises(InputError, match="here: 2 examples are too few"):
        part(shuffled(2), "train", (1, 1), "here")
    np.testing.assert_array_equal(part(shuffled(2), "all", (1, 1), "here"), [0, 1])
