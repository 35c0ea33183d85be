import sys

import jax
import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.sources import tones, words

SPLITS = ("train", "validation", "test")


def whole(dataset, count=None):
    return dataset.fetch(dataset.arrays, np.arange(count or dataset.size))


def check_spec(dataset):
    batch = jax.eval_shape(dataset.fetch, dataset.arrays, np.arange(3))
    assert {k: (v.shape[1:], v.dtype) for k, v in batch.items()} == {
        k: (v.shape, v.dtype) for k, v in dataset.spec.items()
    }


@pytest.mark.parametrize("name", ["tones", "words", "contexts"])
def test_the_spec_describes_a_batch(name):
    check_spec(data.load(name))
    with jax.enable_x64(True):
        check_spec(data.load(name))


def test_tones_have_as_many_peaks_in_their_spectrum_as_the_label_says():
    dataset = data.load("tones")
    series = jax.jit(dataset.fetch)(dataset.arrays, np.arange(300))
    label, sequence = np.asarray(series["label"]), np.asarray(series["sequence"])[..., 0]
    np.testing.assert_array_equal(np.bincount(label) > 60, [True] * 3)
    np.testing.assert_array_equal(series["length"], 64)
    # The best sinusoid of 1 to 6 periods leaves the noise of single tones, and more of others.
    t = np.arange(64) / 64
    residual = np.full(300, np.inf)
    for periods in np.linspace(1, 6, 201):
        basis = np.stack([np.sin(2 * np.pi * periods * t), np.cos(2 * np.pi * periods * t)], 1)
        fit = basis @ (np.linalg.pinv(basis) @ sequence.T)
        residual = np.minimum(residual, ((sequence.T - fit) ** 2).mean(axis=0))
    assert residual[label == 0].max() < 2 * tones.NOISE**2
    assert residual[label == 0].mean() == pytest.approx(tones.NOISE**2, rel=0.2)
    assert np.mean(residual[label > 0] > 4 * tones.NOISE**2) > 0.95


def test_tones_depend_on_their_index_alone():
    train, everything = data.load("tones"), data.load("tones", "all")
    first = np.asarray(whole(train, 5)["sequence"])
    at_once = jax.jit(everything.fetch)({}, np.arange(2000, 2005))["sequence"]
    np.testing.assert_allclose(at_once, first, atol=1e-5)
    with jax.enable_x64(True):
        wide = jax.jit(data.load("tones").fetch)({}, np.arange(5))["sequence"]
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, first, atol=1e-5)
    assert sum(data.load("tones", split).size for split in SPLITS) == everything.size
    assert len(np.unique(first, axis=0)) == 5
    np.testing.assert_allclose(first[0, :3, 0], FIRST_TONE, atol=1e-5)


FIRST_TONE = [1.033260, 1.083986, 0.903710]


def test_words_are_spelled_with_their_end():
    batch = whole(data.load("words", "all"))
    spelled = words.decode(batch["tokens"])
    assert spelled == sorted(set(spelled))
    assert len(spelled) > 5000
    assert {"object", "class", "function", "iterator", "the"} <= set(spelled)
    lengths = np.array([len(word) for word in spelled])
    assert (lengths.min(), lengths.max()) == (3, 12)
    np.testing.assert_array_equal(batch["length"], lengths + 1)
    np.testing.assert_array_equal(np.sum(np.asarray(batch["tokens"]) > 0, axis=1), lengths)
    np.testing.assert_array_equal(words.encode(spelled), batch["tokens"])
    count = dict(zip(spelled, np.asarray(batch["count"]), strict=True))
    assert max(count, key=count.get) == "the"
    probabilities = np.eye(27)[np.asarray(batch["tokens"])[:3]]
    assert words.decode(probabilities) == spelled[:3]


def test_splits_of_words_are_disjoint_and_complete():
    parts = [set(words.decode(whole(data.load("words", split))["tokens"])) for split in SPLITS]
    everything = words.decode(whole(data.load("words", "all"))["tokens"])
    assert sum(map(len, parts)) == len(everything)
    assert set.union(*parts) == set(everything)
    share = [len(part) / len(everything) for part in parts]
    np.testing.assert_allclose(share, [0.8, 0.1, 0.1], atol=0.02)
    assert {"class", "function"} <= parts[0]  # where a word is, it is in every Python


def test_identifiers_and_capitals():
    assert words._words("The __init__ of a KeyError isn't foo_bar; See x1, (Then) end.") == [
        "the", "of", "a", "isn", "t", "see", "then", "end",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["abcdefghijklm", "Word", "naïve"])
def test_what_cannot_be_spelled_is_refused(text):
    with pytest.raises(InputError, match="is not a word of at most 12 lower-case letters"):
        words.encode([text])


def test_contexts_are_pairs_of_near_words(monkeypatch):
    text = {"one": ["alpha", "beta", "gamma", "delta"], "two": ["beta"]}
    monkeypatch.setattr(words, "_documents", lambda: text)
    monkeypatch.setattr(words, "FREQUENT", 1.0)  # every occurrence counts
    monkeypatch.setattr(words, "VOCABULARY_SIZE", 3)
    names = words.vocabulary()
    assert names == ["beta", "alpha", "delta"]  # gamma is passed over
    batch = whole(words.contexts("all"))
    found = {
        (names[a], names[b])
        for a, b in zip(batch["centre"].tolist(), batch["context"].tolist(), strict=True)
    }
    near = {("alpha", "beta"), ("beta", "delta"), ("alpha", "delta")}
    assert found == near | {(b, a) for a, b in near}
    assert words.contexts("all").size == 6


def test_contexts_are_split_by_article_and_thin_out_frequent_words():
    sizes = {split: data.load("contexts", split).size for split in (*SPLITS, "all")}
    assert sum(sizes[split] for split in SPLITS) == sizes["all"]
    assert sizes["train"] > 0.75 * sizes["all"]
    assert min(sizes["validation"], sizes["test"]) > 1000
    centre = np.asarray(data.load("contexts", "all").arrays["centre"])
    names = words.vocabulary()
    assert len(names) == 1000
    assert np.mean(centre == names.index("the")) < 0.03  # it is one word in fifteen


def test_without_the_language_reference(monkeypatch):
    words._documents.cache_clear()
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(InputError, match="pydoc_data, which this Python lacks"):
        data.load("words")
    words._documents.cache_clear()


def test_rows():
    digits = data.load("digits", "test")
    dataset = data.row_sequences(digits)
    check_spec(dataset)
    batch = whole(dataset, 4)
    np.testing.assert_array_equal(batch["sequence"], batch["image"][..., 0])
    np.testing.assert_array_equal(batch["length"], [8] * 4)
    np.testing.assert_array_equal(batch["label"], whole(digits, 4)["label"])
    images = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2).astype(np.uint8)
    colours = data.row_sequences(data.stored(images))
    np.testing.assert_allclose(whole(colours)["sequence"], images.reshape(2, 3, 8) / 255, rtol=1e-6)
    with pytest.raises(InputError, match="row_sequences needs images"):
        data.row_sequences(data.load("tones"))
