"""Some values of factors, and pairs that differ in some factors."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.rendered import rendered
from ae_jax.data.sources import shapes

SIZES = {"a": 2, "b": 3, "c": 4}
CELLS = math.prod(SIZES.values())


def draw(factors):
    """Images [2, 2, 1] of which each pixel is 100 a + 10 b + c."""
    number = jnp.sum(factors * jnp.array([[100, 10, 1]]), axis=-1)
    return jnp.broadcast_to(number[:, None, None, None] / 1000, (*number.shape, 2, 2, 1))


def draw_many(factors):
    return jnp.sum(factors, axis=-1)[:, None, None, None] / 8


def grid():
    return rendered("all", "numbers", draw, SIZES, (2, 2, 1))


def kept():
    """The same examples, stored in another order."""
    batch = everything(grid())
    order = np.random.default_rng(0).permutation(CELLS)
    images, factors = np.asarray(batch["image"])[order], np.asarray(batch["factors"])[order]
    return data.stored(images, factors=factors, factor_sizes=SIZES)


def everything(dataset):
    return jax.jit(dataset.fetch)(dataset.arrays, np.arange(dataset.size))


def drawn(factors):
    return np.asarray(draw(jnp.asarray(factors)))


def agrees_with_its_spec(dataset):
    batch = jax.eval_shape(dataset.fetch, dataset.arrays, jnp.arange(3))
    assert {k: (v.shape[1:], v.dtype) for k, v in batch.items()} == {
        k: (v.shape, v.dtype) for k, v in dataset.spec.items()
    }
    assert all(len(leaf) == dataset.size for leaf in jax.tree.leaves(dataset.arrays))


@pytest.mark.parametrize("make", [grid, kept])
def test_only_what_varies_is_listed_and_is_numbered_anew(make):
    part = data.restricted(make(), {"a": 1, "c": (3, 0)})
    agrees_with_its_spec(part)
    assert part.factor_sizes == {"b": 3, "c": 2}
    batch = everything(part)
    b, c = np.asarray(batch["factors"]).T
    assert sorted(zip(b, c, strict=True)) == list(itertools.product(range(3), range(2)))
    original = np.stack([np.ones(6, int), b, np.array([3, 0])[c]], axis=1)
    np.testing.assert_array_equal(batch["image"], drawn(original))
    again = everything(data.restricted(part, {"b": [2, 1]}))
    np.testing.assert_array_equal(
        np.unique(again["factors"], axis=0), [[0, 0], [0, 1], [1, 0], [1, 1]]
    )
    first = np.asarray(again["factors"])[:, 0] == 0
    np.testing.assert_array_equal(np.floor(100 * np.asarray(again["image"])[first, 0, 0, 0]), 12)


def test_rows_keep_their_order_and_digests_tell_choices_apart():
    part = data.restricted(grid(), {"b": (2, 0)})
    whole, batch = everything(grid()), everything(part)
    rows = np.flatnonzero(np.asarray(whole["factors"])[:, 1] != 1)
    np.testing.assert_array_equal(batch["image"], np.asarray(whole["image"])[rows])
    choices = [{}, {"b": (2, 0)}, {"b": (0, 2)}, {"a": 0}, {"a": 1}]
    digests = [data.restricted(grid(), choice).digest for choice in choices]
    assert len(set(digests)) == len(choices)
    assert digests == [data.restricted(grid(), choice).digest for choice in choices]
    assert part.fetch is data.restricted(grid(), {"b": (2, 0)}).fetch
    assert data.restricted(grid(), {}).size == CELLS


def test_splits_that_are_restricted_stay_apart():
    seen = []
    for split in ("train", "validation", "test"):
        part = data.restricted(data.load("shapes32", split), {"orientation": 0})
        assert part.factor_sizes == {"shape": 3, "scale": 6, "x": 32, "y": 32}
        seen += map(tuple, data.factors.all_factors(part).tolist())
    assert len(seen) == 3 * 6 * 32 * 32 == len(set(seen))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hue": (0, 1)}, "there is no factor 'hue': choose from a, b, c"),
        ({"b": (0, 3)}, r"values of b go from 0 to 2, got \[0, 3\]"),
        ({"b": -1}, r"values of b go from 0 to 2, got \[-1\]"),
        ({"b": ()}, "no value of b is chosen: name some, or leave b out"),
        ({"b": (0.5,)}, "values of b are whole numbers from 0 to 2"),
        ({"b": (True, False)}, "values of b are whole numbers from 0 to 2"),
        ({"b": [[0, 1]]}, "values of b are whole numbers from 0 to 2"),
        ({"b": (1, 1)}, r"a value of b is chosen twice: \[1, 1\]"),
        ({"a": 0, "b": 0, "c": 0}, "no factor varies: choose several of at least one"),
    ],
)
def test_values_that_cannot_be_chosen_are_refused(values, message):
    with pytest.raises(InputError, match=message) as error:
        data.restricted(grid(), values)
    assert "\n" not in str(error.value)


def test_what_has_no_factors_or_not_all_of_them_is_refused():
    digits = data.load("digits")
    with pytest.raises(InputError, match="values are chosen by factors, and these data have none"):
        data.restricted(digits, {"a": 0})
    with pytest.raises(
        InputError, match="pairs are made by factors, and these data have none, but"
    ):
        data.load("changed:digits")
    with pytest.raises(InputError, match="none of the 1 examples has these values"):
        data.restricted(data.subset(grid(), np.array([0])), {"a": 1})
    lacking = data.subset(grid(), np.arange(1, CELLS))
    with pytest.raises(
        InputError, match="every combination of the factors, and 1 of 24 are missing"
    ):
        data.changed(lacking)
    for count in (0, 4, -1, 1.5, "1", True):
        said = f"factors that change is {count!r}: use a whole number, from 1 to 3"
        with pytest.raises(InputError, match=said):
            data.changed(grid(), count)
    with pytest.raises(InputError, match="only where there are two or more"):
        data.changed(data.restricted(grid(), {"a": 0, "b": 0}))
    still = data.stored(np.zeros((3, 2, 2)), factors=np.zeros((3, 2), int))
    with pytest.raises(InputError, match="differ in factors that vary, and of these data's none"):
        data.changed(still)
    for size in (0, 2**31, 2.5, "many"):
        with pytest.raises(InputError, match=f"size is {size!r}: use a whole number, from 1 to"):
            data.changed(grid(), size=size)
    for values in (None, 3, [("a", 0)]):
        with pytest.raises(InputError, match=r"values is .*: name factors and values"):
            data.restricted(grid(), values)
    for make in (data.changed, lambda dataset: data.restricted(dataset, {"a": 0})):
        with pytest.raises(InputError, match=r"dataset is 'sprites16': use .* data.load\("):
            make("sprites16")
    pairs = data.changed(grid(), size=5)
    with pytest.raises(InputError, match="these are pairs"):
        data.changed(pairs)
    with pytest.raises(InputError, match="values first, and make pairs of what is left"):
        data.restricted(pairs, {"a": 0})
    with pytest.raises(InputError, match="unknown data set 'changed0:sprites16'"):
        data.load("changed0:sprites16")


@pytest.mark.parametrize("make", [grid, kept])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_pairs_differ_in_exactly_so_many_factors(make, count):
    pairs = data.changed(make(), count, size=500)
    agrees_with_its_spec(pairs)
    assert pairs.size == 500
    assert pairs.factor_sizes == SIZES
    batch = everything(pairs)
    first, second = np.asarray(batch["factors"]), np.asarray(batch["other_factors"])
    assert ((first != second).sum(axis=1) == count).all()
    np.testing.assert_array_equal(batch["image"], drawn(first))
    np.testing.assert_array_equal(batch["other"], drawn(second))
    mapped = jax.vmap(lambda i: pairs.fetch(pairs.arrays, i[None]))(np.arange(500))
    for name, value in batch.items():
        np.testing.assert_array_equal(mapped[name][:, 0], value)


def test_pairs_and_copies_can_be_streamed():
    """Rows that were gathered on the host are fetched as the whole is."""
    index = np.array([40, 3, 17])
    for dataset in (
        data.changed(kept(), 1, size=50),
        data.changed(grid(), size=50),
        data.with_nuisance(kept(), data.NUISANCES["coloured"], 2),
    ):
        rows = jax.tree.map(lambda array: array[index], dataset.arrays)
        fetch = jax.jit(dataset.fetch)
        whole = fetch(dataset.arrays, index)
        for name, value in fetch(rows, np.arange(3)).items():
            np.testing.assert_array_equal(value, whole[name])


def expected(count):
    """The probability of every pair (cell, cell) of the grid."""
    cells = list(itertools.product(*map(range, SIZES.values())))
    counts = [count] if count else [1, 2]
    table = np.zeros((CELLS, CELLS))
    for (i, first), (j, second) in itertools.product(enumerate(cells), enumerate(cells)):
        differ = [k for k in range(3) if first[k] != second[k]]
        if len(differ) in counts:
            choices = math.comb(3, len(differ)) * math.prod(
                [*SIZES.values()][k] - 1 for k in differ
            )
            table[i, j] = 1 / (CELLS * len(counts) * choices)
    return table


def counted(pairs):
    batch = everything(pairs)
    sizes = tuple(SIZES.values())
    first, second = (
        np.ravel_multi_index(np.asarray(batch[name]).T, sizes)
        for name in ("factors", "other_factors")
    )
    return np.bincount(first * CELLS + second, minlength=CELLS**2).reshape(CELLS, CELLS)


@pytest.mark.parametrize("count", [None, 1, 2])
def test_all_pairs_are_as_likely_as_they_should_be(count):
    table, size = expected(count), 100_000
    np.testing.assert_allclose(table.sum(), 1)
    found = counted(data.changed(grid(), count, size))
    assert found[table == 0].sum() == 0
    assert chisquare(found[table > 0], size * table[table > 0]).pvalue > 1e-3


def test_the_number_of_factors_that_change_is_uniform():
    """Unlike that of disentanglement_lib's pairs, of which some do not differ at all."""
    sizes = {"a": 3, "b": 3, "c": 3, "d": 3}
    pairs = data.changed(rendered("all", "many", draw_many, sizes, (1, 1, 1)), size=3000)
    batch = everything(pairs)
    found = np.asarray(batch["factors"] != batch["other_factors"]).sum(axis=1)
    assert chisquare(np.bincount(found, minlength=5)[1:4]).pvalue > 1e-3
    assert set(found) == {1, 2, 3}

    random = np.random.RandomState(0)
    popular = np.zeros(3000, int)
    for i in range(3000):
        first = random.randint(0, 3, 4)
        second = first.copy()
        for index in random.choice(4, random.choice([1, random.randint(1, 4)]), replace=False):
            second[index] = random.choice(3)
        popular[i] = (first != second).sum()
    counts = np.bincount(popular, minlength=5)
    assert counts[0] > 600
    assert chisquare(counts[1:4]).pvalue < 1e-9


def test_a_factor_that_never_varies_never_changes():
    constant = everything(data.restricted(grid(), {"b": 2}))["factors"]
    factors = np.insert(np.asarray(constant), 1, 0, axis=1)
    images = np.arange(len(factors))[:, None, None] * np.ones((1, 2, 2)) / len(factors)
    single = data.stored(images, factors=factors)
    assert list(single.factor_sizes.values()) == [2, 1, 4]
    pairs = data.changed(single, size=40)  # of two that vary, one
    assert pairs.factor_sizes == {"factor_0": 2, "factor_2": 4}
    batch = everything(pairs)
    differ = np.asarray(batch["factors"] != batch["other_factors"])
    assert (differ.sum(axis=1) == 1).all()
    assert differ.any(axis=0).all()


def test_stored_pairs_are_no_more_than_so_many(monkeypatch):
    monkeypatch.setattr(data.factors, "STORED_PAIRS", 10)
    assert data.changed(kept()).size == 10
    monkeypatch.setattr(data.factors, "PAIRS", 30)
    assert data.changed(grid()).size == 30
    assert data.changed(data.restricted(grid(), {"a": 0})).size == 30  # a table of indices


def test_of_several_examples_of_a_cell_each_is_taken():
    twice = data.stored(
        np.concatenate([np.zeros((CELLS, 2, 2)), np.ones((CELLS, 2, 2))]),
        np.repeat([4, 7], CELLS),
        np.tile(np.stack(np.unravel_index(np.arange(CELLS), tuple(SIZES.values())), 1), (2, 1)),
        factor_sizes=SIZES,
    )
    batch = everything(data.changed(twice, 1, size=4000))
    bright, other = (np.asarray(batch[name])[:, 0, 0, 0] for name in ("image", "other"))
    quarters = np.bincount((2 * bright + other).astype(int))
    assert chisquare(quarters).pvalue > 1e-3
    np.testing.assert_array_equal(batch["label"], np.where(bright, 7, 4))
    np.testing.assert_array_equal(batch["other_label"], np.where(other, 7, 4))
    assert data.changed(twice, 1).size == 2 * CELLS  # stored images are copied: no more of them


def test_sprites16_are_576_different_images_in_every_split():
    sprites = data.load("sprites16")
    assert sprites.factor_sizes == {"shape": 3, "scale": 3, "x": 8, "y": 8}
    batch = everything(sprites)
    images = np.asarray(batch["image"])
    assert images.shape == (576, 16, 16, 1)
    assert len(np.unique(images.reshape(576, -1), axis=0)) == 576
    cells = np.ravel_multi_index(np.asarray(batch["factors"]).T, (3, 3, 8, 8))
    np.testing.assert_array_equal(cells, np.arange(576))
    for split in ("validation", "test", "all"):
        same = data.load("sprites16", split)
        assert same.digest == sprites.digest
        assert same.fetch is sprites.fetch


def test_pairs_by_name_are_other_draws_in_each_split():
    splits = [data.load("changed1:sprites16", name) for name in ("train", "test")]
    assert [split.size for split in splits] == [980_000, 10_000]
    assert splits[0].digest != splits[1].digest
    assert splits[0].fetch is splits[1].fetch
    batch = jax.jit(splits[1].fetch)(splits[1].arrays, np.arange(4))
    differ = np.asarray(batch["factors"] != batch["other_factors"])
    assert (differ.sum(axis=1) == 1).all()
    whole = data.load("changed:sprites16", "all")
    assert whole.size == data.factors.PAIRS
    batch = jax.jit(whole.fetch)(whole.arrays, np.arange(3))
    # the same for good
    some = [[0, 1, 0, 3], [1, 1, 2, 4], [2, 0, 0, 4]]
    others = [[2, 2, 0, 3], [2, 1, 5, 4], [0, 1, 0, 7]]
    np.testing.assert_array_equal(batch["factors"], some)
    np.testing.assert_array_equal(batch["other_factors"], others)


def test_a_close_up_is_the_middle_of_a_larger_image_in_quarters():
    sprites = data.load("sprites16")
    batch = everything(sprites)
    shape, scale, x, y = np.asarray(batch["factors"]).T
    original = np.stack(
        [shape, np.array([0, 2, 5])[scale], 0 * shape, 8 + 2 * x, 8 + 2 * y], axis=1
    )
    whole = np.asarray(jax.jit(shapes.render, static_argnums=1)(original, 46))
    middle = whole[:, 7:39, 7:39].reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))
    np.testing.assert_array_equal(batch["image"][..., 0], middle)
    assert whole.sum() == middle.sum() * 4  # nothing is cut off
