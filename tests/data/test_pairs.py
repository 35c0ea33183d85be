"""Pairs and domains: what stands beside what, and what cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import Dataset, InputError
from ae_jax.data.sources import colours, letters


def numbered(count, start=0, label=False):
    """Images [2, 2, 1] of which each pixel is the example's number."""
    images = np.broadcast_to((start + np.arange(count))[:, None, None], (count, 2, 2))
    return data.stored(images.astype(np.uint8), np.arange(count) if label else None)


def numbers(images):
    return np.round(255 * np.asarray(images)[:, 0, 0, 0]).astype(int)


def everything(dataset):
    return data.head(dataset, dataset.size)


def test_pairs_keep_their_order():
    pairs = data.paired(numbered(5, label=True), numbered(5, 100))
    batch = pairs.fetch(pairs.arrays, np.array([3, 0]))
    assert numbers(batch["image"]).tolist() == [3, 0]
    assert numbers(batch["target"]).tolist() == [103, 100]
    assert batch["label"].tolist() == [3, 0]
    assert {name: (x.shape, x.dtype) for name, x in pairs.spec.items()} == {
        name: (x.shape[1:], x.dtype) for name, x in batch.items()
    }
    some = data.subset(pairs, np.array([4, 1]))
    assert numbers(everything(some)["target"]).tolist() == [104, 101]
    other_way = everything(data.swapped(some))
    assert numbers(other_way["image"]).tolist() == [104, 101]
    assert numbers(other_way["target"]).tolist() == [4, 1]
    assert len({pairs.digest, some.digest, data.swapped(some).digest}) == 3


def test_a_domain_is_gone_through_again_until_the_other_is_at_its_end():
    domains = data.unpaired(numbered(3, label=True), numbered(7, 100, label=True))
    assert domains.size == 7
    batch = everything(domains)
    assert numbers(batch["image"]).tolist() == [0, 1, 2, 0, 1, 2, 0]
    others = numbers(batch["other"])
    assert sorted(others) == list(range(100, 107)) != others.tolist()
    np.testing.assert_array_equal(batch["other_label"], others - 100)
    np.testing.assert_array_equal(batch["label"], numbers(batch["image"]))
    # the same for good; and the other way round each of the few has its turn
    again = numbers(everything(data.unpaired(numbered(3), numbered(7, 100)))["other"])
    np.testing.assert_array_equal(again, others)
    few = numbers(everything(data.unpaired(numbered(6), numbered(2, 100)))["other"])
    assert np.bincount(few - 100).tolist() == [3, 3]


def test_rendered_data_are_paired_too():
    def fetch(arrays, indices):
        assert not arrays
        return {
            "image": jnp.broadcast_to(indices[:, None, None, None] / 255, (*indices.shape, 2, 2, 1))
        }

    spec = {"image": jax.ShapeDtypeStruct((2, 2, 1), jnp.float32)}
    rendered, kept = Dataset(spec, 6, {}, fetch), numbered(6, 100)
    for pairs in (data.paired(rendered, kept), data.unpaired(kept, rendered)):
        whole = everything(pairs)
        for name, found in everything(data.subset(pairs, np.array([5, 2]))).items():
            np.testing.assert_array_equal(found, whole[name][jnp.array([5, 2])])
        assert sorted(numbers(whole.get("other", whole["image"]))) == list(range(6))


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(InputError, match="as many targets as conditions, got 4 and 5: leave out"):
        data.paired(numbered(5), numbered(4))
    with pytest.raises(InputError, match="of images, not of sequence, length, label"):
        data.unpaired(numbered(5), data.load("tones"))
    with pytest.raises(InputError, match="only pairs can be swapped, and there are image"):
        data.swapped(numbered(5))
    with pytest.raises(InputError, match="three channels, got 1"):
        data.load("grey:digits")
    with pytest.raises(InputError, match="images 7 pixels wide have no equal halves"):
        data.pairs_of(data.stored(np.zeros((2, 4, 7), np.uint8)), data.PAIRINGS["halves"])
    with pytest.raises(InputError, match=r"turned pairs need square images, got \[4, 7\]"):
        data.pairs_of(data.stored(np.zeros((2, 4, 7), np.uint8)), data.PAIRINGS["turned"])
    for name in data.PAIRINGS:
        with pytest.raises(InputError, match=rf"{name} pairs are made of .* are points \[2\]"):
            data.load(f"{name}:ring")
    for one in (lambda image: image, lambda image: (image,)):
        with pytest.raises(InputError, match="a pairing returns two arrays"):
            data.pairs_of(numbered(3), one)
    with pytest.raises(InputError, match="unknown data set 'halves:'"):
        data.load("halves:")


def test_pairs_of_single_images():
    digits = data.head(data.load("digits"), 3)
    whole = np.asarray(digits["image"])
    batch = data.head(data.load("halves:digits"), 3)
    np.testing.assert_array_equal(np.concatenate([batch["image"], batch["target"]], 2), whole)
    np.testing.assert_array_equal(batch["label"], digits["label"])
    batch = data.head(data.load("turned:digits"), 3)
    np.testing.assert_array_equal(batch["image"], whole)
    np.testing.assert_array_equal(batch["target"], np.rot90(whole, axes=(1, 2)))
    pairings = [data.load(f"{name}:digits") for name in ("halves", "turned", "edges")]
    assert len({pairs.digest for pairs in pairings}) == 3
    own = [
        data.pairs_of(data.load("digits"), lambda image, level=level: (level * image, image))
        for level in (0.5, 0.25, 0.5)
    ]
    assert own[0].digest == own[2].digest != own[1].digest
    np.testing.assert_array_equal(data.head(own[0], 3)["image"], 0.5 * whole)
    assert data.load("halves:halves:digits").spec["target"].shape == (8, 2, 1)


def test_edges_are_of_the_inner_side_and_say_no_colour():
    block = np.zeros((1, 6, 6, 3), np.float32)
    block[0, 1:5, 1:6] = (1, 0.5, 0)  # up to the right side of the image, which is no edge less
    edges, target = data.PAIRINGS["edges"](jnp.asarray(block))
    assert target is not None
    expected = np.zeros((6, 6))
    expected[1:5, 1:6] = 1
    expected[2:4, 2:5] = 0
    np.testing.assert_array_equal(edges[0, ..., 0], expected)
    np.testing.assert_array_equal(data.PAIRINGS["edges"](jnp.asarray(block[..., ::-1]))[0], edges)


def test_grey_is_luma():
    colour = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)
    found, _ = data.PAIRINGS["grey"](jnp.asarray(colour))
    np.testing.assert_allclose(found[0, 0, :, 0], [0.299, 0.587, 0.114])


def test_letters_are_the_same_in_two_typefaces_and_splits_share_none():
    splits = {name: data.load("letters", name) for name in ("train", "validation", "test")}
    assert [split.size for split in splits.values()] == [1040, 260, 260]
    batches = {name: everything(split) for name, split in splits.items()}
    seen = [image.tobytes() for b in batches.values() for image in np.asarray(b["image"])]
    assert len(set(seen)) > len(seen) - 5  # thin letters may come out alike
    for batch in batches.values():
        assert np.bincount(batch["label"], minlength=26).min() >= 10
        sans, bold = (np.asarray(batch[name])[..., 0] for name in ("image", "target"))
        assert bold.mean() > 1.5 * sans.mean()

        def centre(images):
            places = np.arange(16)
            weights = images.sum(axis=(1, 2))
            return np.stack([images.sum(axis=i) @ places / weights for i in (1, 2)], 1)

        # in the same place, but for what typefaces differ in
        assert np.abs(centre(sans) - centre(bold)).mean() < 0.6
        assert np.abs(sans - bold).mean() > 0.06
    assert letters.drawn("DejaVuSans") is letters.drawn("DejaVuSans")


def test_coloured_sprites():
    dataset = data.load("coloured_shapes", "test")
    batch = jax.jit(dataset.fetch)(dataset.arrays, np.arange(600))
    images = np.asarray(batch["image"]).reshape(600, -1, 3)
    strongest = images[np.arange(600), images.max(axis=2).argmax(axis=1)]
    np.testing.assert_array_equal(strongest, colours.COLOURS[batch["factors"][:, -1]])
    # so that the best guess of each channel is 1/2, at a mean absolute error of 1/3; the error of
    # another colour at random is 4/9
    guess = np.abs(colours.COLOURS - 0.5).mean()
    other = np.abs(colours.COLOURS[:, None] - colours.COLOURS[None]).mean()
    np.testing.assert_allclose([guess, other], [1 / 3, 4 / 9], rtol=1e-6)
    # nothing is cut off, and the largest fill the middle
    sprites = [[0, 3, 0, x, y, 0] for x in (0, 13) for y in (0, 13)]
    masks = np.asarray(jax.jit(colours.render)(jnp.asarray(sprites)))[..., 0]
    rim = np.ones((16, 16), bool)
    rim[1:-1, 1:-1] = False
    assert not masks[:, rim].any()
    np.testing.assert_allclose(masks.sum(axis=(1, 2)), 2 * (0.2 * 48 / 2) ** 2, rtol=0.1)
