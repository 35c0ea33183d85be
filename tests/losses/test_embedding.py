"""Neighbours of a perplexity, and t-SNE's divergence, against scikit-learn's and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import _t_sne

from ae_jax import losses
from ae_jax.core import InputError

DRAWN = np.random.default_rng(0)
X, Y = DRAWN.normal(size=(40, 5)), DRAWN.normal(size=(40, 2))
X[3] *= 40  # far from everything
CONDITIONAL, JOINT = jax.jit(losses.conditional_neighbours), jax.jit(losses.joint_neighbours)
DIVERGENCE = jax.jit(losses.neighbour_divergence)


@pytest.mark.parametrize("perplexity", [1.5, 8.0, 38.0])
def test_rows_have_the_perplexity(perplexity, x64):
    p = np.asarray(CONDITIONAL(X, perplexity))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert np.all(np.diag(p) == 0)
    bits = -np.sum(p * np.log2(np.where(p > 0, p, 1)), axis=1)
    np.testing.assert_allclose(2**bits, perplexity, rtol=1e-5)
    # a Gaussian's: logarithms are linear in squared distances
    square = squareform(pdist(X, "sqeuclidean"))
    for i in (0, 3):
        seen = p[i] > 1e-9
        line = np.polyfit(square[i, seen], np.log(p[i, seen]), 1)
        np.testing.assert_allclose(np.polyval(line, square[i, seen]), np.log(p[i, seen]), atol=1e-6)


def test_single_precision_and_what_has_no_solution():
    p = np.asarray(CONDITIONAL(jnp.asarray(X, jnp.float32), 8.0), np.float64)
    bits = -np.sum(p * np.log2(np.where(p > 0, p, 1)), axis=1)
    np.testing.assert_allclose(2**bits, 8, rtol=1e-4)
    np.testing.assert_allclose(CONDITIONAL(jnp.asarray(X, jnp.float32), 100.0)[0, 1:], 1 / 39, 2e-3)
    alike = np.asarray(CONDITIONAL(jnp.ones((40, 5)), 8.0))
    np.testing.assert_allclose(alike, (1 - np.eye(40)) / 39, rtol=1e-5)


@pytest.mark.parametrize("degrees", [1.0, 3.0])
def test_it_is_scikit_learns(degrees, x64):
    square = pdist(X, "sqeuclidean")
    theirs = _t_sne._joint_probabilities(squareform(square), 8.0, 0)
    p = np.asarray(JOINT(X, 8.0))
    np.testing.assert_allclose(squareform(p), theirs, atol=1e-6)
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-12)
    value, slope = jax.value_and_grad(losses.neighbour_divergence, argnums=1)(p, Y, degrees)
    known = _t_sne._kl_divergence(Y.ravel(), squareform(p), degrees, 40, 2)
    # theirs have each pair once, and sum to one half: the sum over pairs is doubled
    np.testing.assert_allclose(value, known[0], rtol=1e-6)
    theirs = known[1].reshape(40, 2)
    if degrees == 1:  # elsewhere theirs has the power of Student's t in the place of its kernel
        np.testing.assert_allclose(slope, theirs, atol=1e-9)


@pytest.mark.parametrize("degrees", [1.0, 3.0])
def test_the_gradient_is_the_published_one(degrees, x64):
    p = np.asarray(JOINT(X, 8.0))
    kernel = 1 / (1 + squareform(pdist(Y, "sqeuclidean")) / degrees)
    np.fill_diagonal(kernel, 0)
    q, apart = kernel ** ((degrees + 1) / 2), Y[:, None] - Y[None]
    q /= q.sum()
    # 4 sum_j (p - q) (y_i - y_j) / (1 + |y_i - y_j|^2), of one degree of freedom
    factor = 2 * (degrees + 1) / degrees
    expected = factor * np.sum(((p - q) * kernel)[..., None] * apart, axis=1)
    slope = jax.grad(losses.neighbour_divergence, argnums=1)(p, Y, degrees)
    np.testing.assert_allclose(slope, expected, atol=1e-12)
    # stochastic neighbour embedding's, without the kernel, is another
    wrong = factor * np.sum((p - q)[..., None] * apart, axis=1)
    assert not np.allclose(slope, wrong, atol=1e-3)


def test_padding_counts_for_nothing(x64):
    present = np.arange(40) < 30
    spoiled = np.where(present[:, None], X, np.nan), np.where(present[:, None], Y, np.nan)
    p = JOINT(spoiled[0], 8.0, present)
    np.testing.assert_allclose(p[:30, :30], JOINT(X[:30], 8.0), rtol=1e-6, atol=1e-12)
    assert np.all(p[30:] == 0)
    found = DIVERGENCE(p, spoiled[1], 1.0, present)
    np.testing.assert_allclose(found, DIVERGENCE(p[:30, :30], Y[:30], 1.0), rtol=1e-12)
    few = np.arange(40) < 1
    assert DIVERGENCE(JOINT(X, 8.0, few), Y, 1.0, few) == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="at least 2 examples"):
        losses.conditional_neighbours(X[:1], 5.0)
    with pytest.raises(InputError, match=r"got \[40, 40\] and \[3, 2\]"):
        losses.neighbour_divergence(np.ones((40, 40)), Y[:3])
