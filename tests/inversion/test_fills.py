"""Closed forms against SciPy's sparse solver and NumPy's dense ones."""

import jax
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from ae_jax import inversion, losses
from ae_jax.core import InputError
from ae_jax.inversion import fills

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 5, 6, 2))
MASK = RNG.uniform(size=(3, 5, 6, 1)) < 0.4
KNOWN = np.broadcast_to(MASK, IMAGES.shape)
EXAMPLES = RNG.normal(size=(7, 5, 6, 2))
SIZE = 60
ROOT = RNG.normal(size=(SIZE, SIZE))
COVARIANCE = np.eye(SIZE) + ROOT @ ROOT.T / SIZE
AVERAGE = RNG.normal(size=IMAGES.shape[1:])
ROWS = RNG.normal(size=(4, SIZE))
ONE = np.arange(30).reshape(5, 6, 1) == 7

EACH = {
    "mean": lambda images, mask: fills.mean(images, mask),
    "mean of others": lambda images, mask: fills.mean(images, mask, AVERAGE),
    "nearest": lambda images, mask: fills.nearest(images, mask, EXAMPLES),
    "harmonic": fills.harmonic,
    "poisson": lambda images, mask: fills.poisson(images, mask, EXAMPLES[: len(images)]),
    "conditional mean": lambda images, mask: fills.conditional_mean(
        images, mask, AVERAGE, COVARIANCE
    ),
    "principal": lambda images, mask: fills.principal(images, mask, AVERAGE, ROWS),
}


def laplacian(height, width):
    """Of the grid's graph, by its edges."""
    matrix = scipy.sparse.lil_matrix((height * width, height * width))
    for i, j in np.ndindex(height, width):
        for k, m in ((i + 1, j), (i, j + 1)):
            if k < height and m < width:
                a, b = i * width + j, k * width + m
                matrix[a, a] += 1
                matrix[b, b] += 1
                matrix[a, b] -= 1
                matrix[b, a] -= 1
    return matrix.tocsr()


def solved(image, known):
    """The harmonic fill of one channel, directly."""
    matrix, k, x = laplacian(*image.shape), known.ravel(), image.ravel().copy()
    x[~k] = scipy.sparse.linalg.spsolve(matrix[~k][:, ~k].tocsc(), -matrix[~k][:, k] @ x[k])
    return x.reshape(image.shape)


def test_the_harmonic_fill_is_that_of_a_direct_solve(x64):
    found = fills.harmonic(IMAGES, MASK)
    for b in range(3):
        for c in range(2):
            expected = solved(IMAGES[b, ..., c], MASK[b, ..., 0])
            np.testing.assert_allclose(found[b, ..., c], expected, atol=1e-9)
    moved = found + 1e-3 * np.where(KNOWN, 0, RNG.normal(size=IMAGES.shape))
    assert np.all(losses.total_variation(found, 2.0) < losses.total_variation(moved, 2.0))


def test_single_precision_solves_to_its_digits():
    images = IMAGES.astype(np.float32)
    found = fills.harmonic(images, MASK)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found[0, ..., 0], solved(IMAGES[0, ..., 0], MASK[0, ..., 0]), atol=1e-4
    )


def test_a_ramp_is_harmonic_and_blending_keeps_the_differences_of_its_source(x64):
    ramp = np.broadcast_to(np.arange(6.0)[None, None, :, None], (1, 5, 6, 1))
    columns = np.zeros((5, 6, 1), bool)
    columns[:, [0, -1]] = True
    np.testing.assert_allclose(fills.harmonic(ramp * columns[None], columns), ramp, atol=1e-9)
    # the source itself where it meets the image up to a constant
    source = RNG.normal(size=(1, 5, 6, 1))
    np.testing.assert_allclose(
        fills.poisson(source + 0.3, columns, source), source + 0.3, atol=1e-9
    )
    # of a constant source it is the harmonic fill
    np.testing.assert_allclose(
        fills.poisson(IMAGES, MASK, 0 * IMAGES + 0.7), fills.harmonic(IMAGES, MASK), atol=1e-9
    )


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_the_conditional_mean_is_the_formula(ridge, x64):
    expected, average = IMAGES.reshape(3, -1).copy(), AVERAGE.ravel()
    for row, k in zip(expected, KNOWN.reshape(3, -1), strict=True):
        within = COVARIANCE[np.ix_(k, k)] + ridge * np.eye(k.sum())
        gap = np.linalg.solve(within, row[k] - average[k])
        row[~k] = average[~k] + COVARIANCE[np.ix_(~k, k)] @ gap
    expected = expected.reshape(IMAGES.shape)
    found = fills.conditional_mean(IMAGES, MASK, AVERAGE, COVARIANCE, ridge)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    for mask in (MASK[0], MASK[:1]):  # one for all
        found = fills.conditional_mean(IMAGES, mask, AVERAGE, COVARIANCE, ridge)
        np.testing.assert_allclose(found[0], expected[0], atol=1e-10)


def test_a_ridge_makes_the_subspace_a_gaussian(x64):
    # probabilistic PCA: S = V' diag(l) V + s^2 I, of which the mean of the noiseless rest is told
    variances, noise = np.array([3.0, 2.0, 1.0, 0.5]), 0.1
    rows = np.linalg.qr(ROWS.T)[0].T
    signal = rows.T @ np.diag(variances) @ rows
    np.testing.assert_allclose(
        fills.principal(IMAGES, MASK, AVERAGE, rows, noise / variances),
        fills.conditional_mean(IMAGES, MASK, AVERAGE, signal, noise),
        atol=1e-10,
    )


def test_the_nearest_example_is_that_of_the_known_pixels():
    images = np.where(KNOWN, EXAMPLES[[4, 0, 6]] + 0.01, 1e6).astype(np.float32)
    examples = EXAMPLES.astype(np.float32)
    found = np.asarray(fills.nearest(images, MASK, examples))
    np.testing.assert_array_equal(found[~KNOWN], examples[[4, 0, 6]][~KNOWN])


def test_means_are_the_images_own_by_channel_or_those_of_others():
    found = np.asarray(fills.mean(IMAGES, MASK))
    for b, c in np.ndindex(3, 2):
        own = IMAGES[b, ..., c][MASK[b, ..., 0]].mean()
        np.testing.assert_allclose(found[b, ..., c][~MASK[b, ..., 0]], own, rtol=1e-5)
    found = np.asarray(fills.mean(IMAGES, MASK, AVERAGE))
    np.testing.assert_allclose(found, np.where(KNOWN, IMAGES, AVERAGE), rtol=1e-6)


@pytest.mark.parametrize("name", EACH)
def test_known_pixels_are_kept_and_nothing_is_learned_from_the_others(name):
    images = IMAGES.astype(np.float32)
    found = np.asarray(EACH[name](images, MASK))
    np.testing.assert_array_equal(found[KNOWN], images[KNOWN])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(EACH[name](np.where(KNOWN, images, 1e3), MASK), found)
    np.testing.assert_allclose(EACH[name](images[:1], MASK[:1]), found[:1], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(EACH[name](images, np.ones((5, 6, 1), bool)), images)
    with pytest.raises(InputError, match="without a known pixel"):
        EACH[name](images, np.zeros((5, 6, 1), bool))
    with pytest.raises(InputError, match="a mask of images"):
        EACH[name](images, np.ones((5, 5, 1), bool))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fills.mean(IMAGES, MASK, AVERAGE[:2]), "the mean of images"),
        (lambda: fills.nearest(IMAGES, MASK, EXAMPLES[:, :2]), "of their size, got"),
        (lambda: fills.nearest(IMAGES, MASK, EXAMPLES[:0]), "of their size, got"),
        (lambda: fills.poisson(IMAGES, MASK, EXAMPLES), "and their source"),
        (
            lambda: fills.conditional_mean(IMAGES, MASK, AVERAGE, COVARIANCE[:2]),
            "moments of images",
        ),
        (
            lambda: fills.conditional_mean(IMAGES, MASK, AVERAGE, COVARIANCE, -1.0),
            "use 0 or more",
        ),
        (lambda: fills.principal(IMAGES, MASK, AVERAGE, ROWS[:, :9]), "a subspace of images"),
        (lambda: fills.principal(IMAGES, MASK, AVERAGE, ROWS, [1, 1, -1, 1]), "use 0 or more"),
        (
            lambda: fills.principal(IMAGES, ONE, AVERAGE, ROWS),
            "2 known numbers say too little of 4 components",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_the_ridge_is_traced():
    fill = jax.jit(lambda ridge: fills.conditional_mean(IMAGES, MASK, AVERAGE, COVARIANCE, ridge))
    assert np.any(fill(0.1) != fill(1.0))
    assert inversion.fills is fills


def test_numbers_that_fill_nothing_are_refused():
    image = np.full((1, 2, 2, 1), 0.5, np.float32)
    mask = np.array([[True, True], [True, False]])[..., None]
    fills, examples = inversion.fills, np.stack([image[0] * np.nan, image[0]])
    np.testing.assert_array_equal(fills.nearest(image, mask, examples), image)
    for use in (
        lambda: fills.nearest(image, mask, np.full((1, 2, 2, 1), 200, np.uint8)),
        lambda: fills.poisson(image, mask, np.full((1, 2, 2, 1), 200, np.uint8)),
    ):
        with pytest.raises(InputError, match="floats"):
            use()
    with pytest.raises(InputError, match="use a ridge"):
        fills.conditional_mean(image, mask, image[0], np.zeros((4, 4)))
    with pytest.raises(InputError, match="use a ridge"):
        fills.principal(image, mask, image[0], np.ones((2, 4)))
    with pytest.raises(InputError, match="mask it as unknown"):
        fills.mean(image * np.nan, mask)
