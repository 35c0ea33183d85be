"""Data with values that a method does not take are refused, before anything is trained."""

import numpy as np
import pytest

from ae_jax import data, training
from ae_jax.core import Dataset, Domain, InputError, check_ranges

DIGIT = {"label": Domain(0, 9, whole=True)}
SPLITS = ("training", "validation", "test")


def labelled(*label):
    images = np.zeros((len(label), 2, 3, 1), np.uint8)
    return data.stored(images, np.asarray(label), value_range=(0, 255))


@pytest.fixture
def refusing(toy, tmp_path):
    """Trains on three splits; nothing is left where they are refused."""

    def run(splits, **options):
        train, validation, test = (splits[name] for name in SPLITS)
        method, options = toy._replace(ranges=DIGIT), {"batch_size": 2, "dry": True} | options
        try:
            return training.run(
                method, train, training.grid(), 1, tmp_path / "run", validation=validation,
                test=test, **options,
            )  # fmt: skip
        finally:
            assert not (tmp_path / "run").exists()

    return run


@pytest.mark.parametrize("which", SPLITS)
@pytest.mark.parametrize("dry", [False, True])
def test_each_split_is_looked_at_before_anything_is_written(refusing, which, dry):
    splits = dict.fromkeys(SPLITS, labelled(0, 9, 4)) | {which: labelled(3, 10, 4)}
    expected = (
        f"the {which} data have label 10, and the method takes a whole number, from 0 to 9: "
        "change the data, or what the method was made for"
    )
    with pytest.raises(InputError) as caught:
        refusing(splits, dry=dry)
    assert str(caught.value) == expected


def test_both_ends_of_a_range_are_in_it_and_nothing_is_trained_dry(refusing):
    result = refusing(dict.fromkeys(SPLITS, labelled(9, 0)) | {"validation": None})
    assert result.rows == result.groups == result.missing == []


def test_dry_a_directory_of_another_run_is_refused(toy, images, tmp_path):
    training.run(toy, images(4), training.grid(), 1, tmp_path, batch_size=2)
    again = {"batch_size": 2, "dry": True}
    assert training.run(toy, images(4), training.grid(), 1, tmp_path, **again).rows == []
    with pytest.raises(InputError, match="holds a run with another configuration"):
        training.run(toy, images(4), training.grid(), 2, tmp_path, **again)


def test_what_is_below_is_found_and_where_it_is_allowed_it_is_not(toy):
    wrong = labelled(0, 5)
    wrong.arrays["label"][1] = -1
    with pytest.raises(InputError, match="data have label -1"):
        check_ranges(DIGIT, wrong, "pool's")
    check_ranges({"label": Domain(high=9, whole=True)}, wrong, "pool's")


def test_entries_are_those_of_a_batch_wherever_they_are_stored():
    both = data.unpaired(labelled(0, 1), labelled(2, 3, 11))
    check_ranges(DIGIT, both, "training")
    with pytest.raises(InputError, match="the training data have other_label 11"):
        check_ranges({"other_label": DIGIT["label"]}, both, "training")
    check_ranges({"tokens": Domain(0, 1)}, both, "training")  # there are none: others say so


def test_no_number_is_out_of_every_range():
    points = data.stored(np.array([[0.5], [1.0]]))
    check_ranges({"image": Domain(0.5, 1)}, points, "test")
    points.arrays["image"][0] = np.nan
    with pytest.raises(InputError, match="the test data have image nan"):
        check_ranges({"image": Domain()}, points, "test")


def test_other_entries_are_not_read_and_what_is_rendered_is_not_drawn():
    few = labelled(0, 9)
    terabytes = np.broadcast_to(few.arrays["image"][:1], (2**42, 2, 3, 1))
    check_ranges(DIGIT, few._replace(arrays={**few.arrays, "image": terabytes}), "training")
    check_ranges(DIGIT, Dataset(few.spec, 10, {}, fetch=None), "training")
