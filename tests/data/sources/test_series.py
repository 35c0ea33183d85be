import warnings

import jax
import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.sources import series

VALUES = np.random.RandomState(0).normal(size=(103, 3)) * [1, 50, 0] + [0, 7, 3]


def whole(dataset):
    return {
        name: np.asarray(entry)
        for name, entry in dataset.fetch(dataset.arrays, np.arange(dataset.size)).items()
    }


def standardised(values):
    first = values[:63]  # 103 less two fifths of 20
    deviation = first.std(axis=0)
    return (values - first.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


@pytest.mark.parametrize(
    ("split", "start", "end"),
    [("train", 0, 63), ("validation", 63, 83), ("test", 83, 103), ("all", 0, 103)],
)
def test_windows_of_each_part_of_the_time(split, start, end):
    dataset = data.windows(VALUES, split, 8)
    batch = whole(dataset)
    expected = [standardised(VALUES)[k : k + 8] for k in range(start, end - 7)]
    np.testing.assert_allclose(batch["sequence"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(batch["length"], [8] * len(expected))
    spec = {name: (entry.shape, entry.dtype) for name, entry in dataset.spec.items()}
    assert spec == {name: (entry.shape[1:], entry.dtype) for name, entry in batch.items()}


def test_long_recordings_are_thinned(monkeypatch):
    monkeypatch.setattr(series, "MOST_WINDOWS", 10)
    found = whole(data.windows(VALUES, "all", 8))["sequence"]  # of 96, each tenth
    expected = [standardised(VALUES)[k : k + 8] for k in range(0, 96, 10)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_neither_units_nor_what_is_always_the_same_matter():
    plain = whole(data.windows(VALUES, "test", 8))["sequence"]
    units = np.exp2([1000, -1000, 0])
    np.testing.assert_array_equal(whole(data.windows(VALUES * units, "test", 8))["sequence"], plain)
    tenths = VALUES * [1, 1, 0] + [0, 0, 0.1]  # whose mean is rounded
    np.testing.assert_allclose(whole(data.windows(tenths, "test", 8))["sequence"], plain, atol=1e-6)
    with pytest.raises(InputError, match=r"series: nothing changes in the first three fifths"):
        data.windows(np.arange(103)[:, None] // 63 + 0.1, "test", 8)


def test_content_names_it_and_one_function_fetches_all():
    parts = [data.windows(VALUES, split, 8) for split in ("train", "test")]
    assert parts[0].fetch is parts[1].fetch
    assert parts[0].digest != parts[1].digest
    assert parts[0].digest == data.windows(VALUES.copy(), "train", 8).digest


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "own.csv"
    rows = [f"2020-01-{k % 28 + 1:02d},{a!r},{b!r}" for k, (a, b, _) in enumerate(VALUES.tolist())]
    path.write_text("\n".join(["day,first,second", *rows]))
    with pytest.warns(UserWarning, match="of text, and left out: day"):
        found = data.load(f"series8:{path}", "test")
    expected = data.windows(VALUES[:, :2], "test", 8)
    np.testing.assert_array_equal(whole(found)["sequence"], whole(expected)["sequence"])
    assert found.digest == expected.digest
    np.savez(tmp_path / "own.npz", x=VALUES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.load(f"series20:{tmp_path / 'own.npz'}").spec["sequence"].shape == (20, 3)


def test_the_eeg():
    parts = [data.load("eeg", split) for split in ("train", "validation", "test")]
    assert [part.size for part in parts] == [449, 129, 129]
    train = whole(parts[0])["sequence"]
    assert train.shape == (449, 32, 4)
    steps = np.concatenate([train[:, 0], train[-1, 1:]])
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(steps.std(axis=0), 1, rtol=1e-5)
    before, after = steps[:-1], steps[1:]
    assert min(np.corrcoef(before[:, k], after[:, k])[0, 1] for k in range(4)) > 0.8
    with jax.enable_x64(True):
        wide = data.load("eeg", "test")
        assert wide.fetch(wide.arrays, np.arange(2))["sequence"].dtype == np.float64


def test_a_matplotlib_without_it(monkeypatch):
    from matplotlib import cbook

    def absent(name, asfileobj):
        raise FileNotFoundError(name)

    monkeypatch.setattr(cbook, "get_sample_data", absent)
    with pytest.raises(InputError, match="that this one lacks: use series:<path>"):
        data.load("eeg")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("series", "a\n" + "1\n" * 319, "319 steps are too few for windows of 64.* as series63:"),
        ("series8", "a,b\n" + "1,2\n" * 50 + "1,\n" * 3, "row 52 has a missing value"),
        ("series0", "a\n1\n", "unknown data set 'series0:"),
        ("series8", "x\ny\n", "no column of numbers"),
        ("series8", "", "is empty"),
    ],
)
def test_refuses(name, text, words, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        data.load(f"{name}:{path}")
    with pytest.raises(InputError, match="there is no file"):
        data.load(f"series:{tmp_path / 'none.csv'}")
    with pytest.raises(InputError, match="series are standardised: leave out value_range"):
        data.load(f"series:{path}", value_range=(0, 1))
