"""Quantisers: which code, what reaches the decoder, what is learned from it, and how fast."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.core import InputError
from ae_jax.methods import quantisers

KEY = jax.random.key(0)
#: Six latents, and four entries of which the last is nobody's nearest.
Z = np.array(
    [
        [0.841470984808, 0.239249329214],
        [0.991664810452, -0.442520443295],
        [0.675463180551, -0.916165936749],
        [0.0415806624333, -0.958924274663],
        [-0.611857890943, -0.550685542598],
        [-0.977530117665, 0.11654920485],
    ]
)
BOOK = np.array(
    [
        [0.552636596402, -0.514133252021],
        [-0.0773066965773, -0.43555938252],
        [-0.59399549796, 0.28111000278],
        [-0.240479503248, 0.585952575437],
    ]
)
CODES = [0, 0, 0, 1, 1, 2]
ERRORS = np.sum((Z - BOOK[CODES]) ** 2, axis=1)


def params(books=BOOK[None], counts=True):
    books = jnp.asarray(books)
    return {"codebook": books} | ({"counts": jnp.ones(books.shape[:2])} if counts else {})


def hparams(quantiser, **others):
    return {**quantiser.hparams, **others}


def test_the_nearest_entry_and_what_it_costs(x64):
    quantiser = quantisers.codebook(4)
    found = quantiser.apply(params(), jnp.asarray(Z), hparams(quantiser))
    np.testing.assert_array_equal(found.codes, np.array(CODES)[:, None])
    np.testing.assert_array_equal(found.latent, BOOK[CODES])
    np.testing.assert_allclose(found.loss, 0.25 * ERRORS, rtol=1e-12)
    np.testing.assert_allclose(ERRORS[:2], [0.651010617635, 0.197874167106], rtol=1e-9)
    np.testing.assert_array_equal(quantiser.decode(params(), found.codes), BOOK[CODES])
    used = quantisers.usage(found.codes, 4)
    np.testing.assert_allclose(used["perplexity"], 2.749459274, rtol=1e-9)
    assert used["codes_used"] == 3


@pytest.mark.parametrize("ema", [True, False])
def test_gradients_pass_to_the_encoder_and_to_entries_that_they_move(x64, ema):
    quantiser = quantisers.codebook(4, ema=ema)
    numbers, above = hparams(quantiser), np.array([[0.3 * (i + 1), -0.2 * i] for i in range(6)])

    def loss(z, given):
        found = quantiser.apply(given, z, numbers)
        return jnp.sum(found.latent * above) + jnp.sum(found.loss)

    of_latents, of_params = jax.jit(jax.grad(loss, (0, 1)))(jnp.asarray(Z), params(counts=ema))
    # the decoder's own, and 2 beta (z - e)
    np.testing.assert_allclose(of_latents, above + 0.5 * (Z - BOOK[CODES]), rtol=1e-12)
    table = [
        *([0.444417194203, 0.376691290618], [0.819514107025, -0.164193595637]),
        *([0.961413292075, -0.601016342364], [1.25944367951, -0.861682446072]),
        *([1.23272440282, -0.857563080039], [1.60823269015, -1.08228039896]),
    ]
    np.testing.assert_allclose(of_latents, table, rtol=1e-9)
    expected = np.zeros_like(BOOK)
    if not ema:
        np.add.at(expected, CODES, 2 * (BOOK[CODES] - Z))
        table = [
            *([-1.70137837321, -0.845925410468], [0.83132767071, 1.27698210444]),
            *([0.76706923941, 0.329121595859], [0.0, 0.0]),
        ]
        np.testing.assert_allclose(expected, table, rtol=1e-9)
    np.testing.assert_allclose(of_params["codebook"][0], expected, rtol=1e-12)


def test_a_step_of_the_averages(x64):
    quantiser = quantisers.codebook(4)
    given, numbers = params(), hparams(quantiser)
    found, moved = quantiser.train(KEY, given, jnp.asarray(Z), numbers)
    # what is decoded was chosen before entries were moved
    np.testing.assert_array_equal(found.latent, BOOK[CODES])
    counts, book = moved["counts"][0], moved["codebook"][0]
    np.testing.assert_allclose(counts, [1.02, 1.01, 1.0, 0.99], rtol=1e-12)
    expected = [
        [0.560976686466, -0.509986558833],
        [-0.0814221800957, -0.441881076106],
        [-0.597830844157, 0.279464394801],
        BOOK[3],
    ]
    np.testing.assert_allclose(book, expected, rtol=1e-9)
    np.testing.assert_array_equal(book[3], BOOK[3])  # nobody's stays, to the bit
    # with Laplace smoothing of 1e-5 in the quotient, as the authors have it
    total = np.sum(counts)
    smoothed = (counts + 1e-5) / (total + 4e-5) * total
    laplace = np.asarray(book) * np.asarray(counts / smoothed)[:, None]
    np.testing.assert_allclose(laplace[0], [0.560976768552, -0.509986633457], rtol=1e-9)
    np.testing.assert_allclose(laplace, book, rtol=1e-6)

    # popular code has counts begin at 0, and keeps the smoothed ones: nobody's is gone for good
    kept = (np.array([0.03, 0.02, 0.01, 0]) + 1e-5) / (0.06 + 4e-5) * 0.06
    assert np.abs(0.99 * BOOK[3] / kept[3]).max() > 1e4

    # nor does an entry move that has long been nobody's, and whose count is nothing any more
    for count in (1e-30, 0.0):
        old = given | {"counts": jnp.full((1, 4), count)}
        _, later = quantiser.train(KEY, old, jnp.asarray(Z), numbers)
        np.testing.assert_array_equal(later["codebook"][0, 3], BOOK[3])
        # and one that is chosen again is where it is chosen at once
        np.testing.assert_allclose(later["codebook"][0, 2], Z[5], rtol=1e-9)


def residuals(z, books):
    """By the definition: codes [N, L], what each level was shown, and what is left."""
    left, codes, seen = z, [], []
    for book in books:
        code = np.argmin(np.sum((left[:, None] - book[None]) ** 2, axis=2), axis=1)
        codes.append(code)
        seen.append(left)
        left = left - book[code]
    return np.stack(codes, 1), seen, left


def test_levels_quantise_what_is_left_over(x64):
    draw = np.random.default_rng(0).normal
    z, books = (
        draw(size=(3, 2, 2, 2)),
        draw(size=(3, 4, 2)) * np.array([1, 0.5, 0.25])[:, None, None],
    )
    quantiser = quantisers.codebook(4, 3)
    numbers = hparams(quantiser, commitment=0.7, codebook_decay=0.9)
    found, moved = quantiser.train(KEY, params(books), jnp.asarray(z), numbers)
    codes, seen, left = residuals(z.reshape(-1, 2), books)
    np.testing.assert_array_equal(found.codes, codes.reshape(3, 2, 2, 3))
    np.testing.assert_allclose(found.latent, z - left.reshape(z.shape), atol=1e-12)
    np.testing.assert_allclose(quantiser.decode(params(books), found.codes), found.latent)
    errors = sum(np.sum(x**2, axis=1) for x in [*seen[1:], left])
    np.testing.assert_allclose(found.loss, 0.7 * errors.reshape(3, -1).sum(axis=1), rtol=1e-12)
    for level, book in enumerate(books):
        chosen = np.eye(4)[codes[:, level]]
        counts = 0.9 + 0.1 * chosen.sum(axis=0)
        sums = 0.9 * book + 0.1 * chosen.T @ seen[level]
        np.testing.assert_allclose(moved["counts"][level], counts, rtol=1e-12)
        np.testing.assert_allclose(moved["codebook"][level], sums / counts[:, None], rtol=1e-10)

    # one level is the first of several, number for number
    one = quantisers.codebook(4)
    alone, moved_alone = one.train(KEY, params(books[:1]), jnp.asarray(z), numbers)
    np.testing.assert_array_equal(alone.codes[..., 0], found.codes[..., 0])
    np.testing.assert_array_equal(moved_alone["codebook"][0], moved["codebook"][0])


def test_entries_that_are_not_used_are_put_at_latents():
    quantiser = quantisers.codebook(4, decay=0.5, restart=0.75)
    _, moved = quantiser.train(KEY, params(), jnp.asarray(Z), hparams(quantiser))
    # counts 2, 1.5, 1 and 0.5: the last falls below, and begins again
    np.testing.assert_allclose(moved["counts"][0], [2, 1.5, 1, 1])
    distances = np.abs(np.asarray(moved["codebook"])[0, 3] - Z).max(axis=1)
    assert distances.min() < 1e-7
    never = hparams(quantiser, codebook_restart=0.0)
    _, moved = quantiser.train(KEY, params(), jnp.asarray(Z), never)
    np.testing.assert_allclose(moved["counts"][0, 3], 0.5)


def test_entries_begin_where_the_first_latents_are(x64):
    z = 3 + np.random.default_rng(0).normal(size=(500, 2)) * np.array([0.1, 2.0])
    given = quantisers.codebook(400, 2).init(KEY, jnp.asarray(z))
    first, second = np.asarray(given["codebook"])
    np.testing.assert_allclose(first.mean(axis=0), z.mean(axis=0), atol=0.3)
    np.testing.assert_allclose(first.std(axis=0), z.std(axis=0), rtol=0.1)
    left = z - first[np.argmin(np.sum((z[:, None] - first[None]) ** 2, axis=2), axis=1)]
    np.testing.assert_allclose(second.std(axis=0), left.std(axis=0), rtol=0.1)
    np.testing.assert_array_equal(given["counts"], np.ones((2, 400)))


def test_finite_scalars_are_the_nearest_of_equally_spaced_values(x64):
    quantiser = quantisers.finite_scalar((3, 4, 5))
    assert (quantiser.size, quantiser.levels, quantiser.init(KEY, jnp.asarray(Z))) == (60, 1, {})
    scales = [np.linspace(-1, 1, count) for count in (3, 4, 5)]
    z = np.random.default_rng(0).normal(size=(7, 2, 3)) * 2
    found = quantiser.apply({}, jnp.asarray(z), {})
    places = [
        np.argmin(np.abs(np.tanh(z[..., [i]]) - scale), axis=-1) for i, scale in enumerate(scales)
    ]
    expected = np.stack([scale[place] for scale, place in zip(scales, places, strict=True)], -1)
    np.testing.assert_allclose(found.latent, expected, atol=1e-12)
    # the paper's, where all numbers of values are odd: round(floor(L / 2) tanh z)
    np.testing.assert_allclose(found.latent[..., 2], np.round(2 * np.tanh(z[..., 2])) / 2)
    np.testing.assert_array_equal(found.codes[..., 0], places[0] + 3 * places[1] + 12 * places[2])
    np.testing.assert_array_equal(found.loss, np.zeros(7))
    slope = jax.grad(lambda z: jnp.sum(quantiser.apply({}, z, {}).latent))(jnp.asarray(z))
    np.testing.assert_allclose(slope, 1 - np.tanh(z) ** 2, rtol=1e-10)
    every = np.asarray(quantiser.decode({}, jnp.arange(60)[:, None]))
    assert {tuple(row.round(6)) for row in every} == {
        tuple(np.round(row, 6)) for row in itertools.product(*scales)
    }
    again = quantiser.apply({}, jnp.arctanh(0.999 * jnp.asarray(every)), {})
    np.testing.assert_array_equal(again.codes[:, 0], np.arange(60))
    # saturated, and still a code
    np.testing.assert_array_equal(quantiser.apply({}, jnp.full((1, 3), 1e3), {}).codes, [[59]])


def test_usage_counts_what_is_there_and_averages_levels(x64):
    codes = jnp.asarray([[[0, 1], [1, 1]], [[2, 1], [3, 1]], [[4, 0], [4, 0]]])
    found = quantisers.usage(codes, 5, jnp.asarray([True, True, False]))
    # four values alike in the first level, one in the second
    np.testing.assert_allclose(found["perplexity"], np.sqrt(4 * 1), rtol=1e-12)
    assert found["codes_used"] == 2.5
    whole = quantisers.usage(codes[..., :1], 5)
    shares = np.array([1, 1, 1, 1, 2]) / 6
    np.testing.assert_allclose(whole["perplexity"], np.exp(-np.sum(shares * np.log(shares))))


def test_half_precision_is_counted_in_single_precision():
    # of 300 latents bfloat16 counts 256, and of averages it keeps no hundredth
    part = quantisers.codebook(2)
    z = jnp.ones((300, 1), jnp.bfloat16)
    params = {"codebook": jnp.array([[[1.0], [9.0]]]), "counts": jnp.array([[290.0, 1.0]])}
    assert {x.dtype for x in part.init(KEY, z).values()} == {jnp.dtype(jnp.float32)}
    found, changes = part.train(KEY, params, z, part.hparams)
    np.testing.assert_allclose(changes["counts"], [[290.1, 0.99]], rtol=1e-6)
    for quantiser, own in ((part, params), (quantisers.finite_scalar((5,)), {})):
        found = quantiser.apply(own, z, quantiser.hparams)
        assert (found.latent.dtype, found.loss.dtype) == (jnp.bfloat16, jnp.float32)


def test_refuses():
    with pytest.raises(InputError, match=r"^size is 1: use a whole number, 2 or more$"):
        quantisers.codebook(1)
    with pytest.raises(InputError, match=r"^levels is 0: use a whole number, 1 or more$"):
        quantisers.codebook(4, 0)
    with pytest.raises(InputError, match="restart is for entries that averages move"):
        quantisers.codebook(4, ema=False, restart=0.1)
    with pytest.raises(InputError, match=r"levels\[1\] is 1: use a whole number, 2 or more"):
        quantisers.finite_scalar((4, 1))
    for levels in ((), 8):
        with pytest.raises(InputError, match="use how many values each dimension has"):
            quantisers.finite_scalar(levels)
    with pytest.raises(InputError, match="levels are of 8,589,934,592 values: use less than"):
        quantisers.finite_scalar((8,) * 11)
    with pytest.raises(InputError, match=r"latent_shape\[1\] is 0: use a whole number, 1 or more"):
        quantisers.coding(nets.mlp(2, ()), nets.mlp(3, ()), quantisers.codebook(4), (2, 0))
    with pytest.raises(InputError, match=r"levels are of 2 dimensions, .* gives \[1, 3\]"):
        quantisers.finite_scalar((4, 4)).apply({}, jnp.zeros((1, 3)), {})
