import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.metrics import pca, pca_encode, pca_reconstruct, principal_angles

RNG = np.random.default_rng(0)


def data(count=40, size=6):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, size)) * np.arange(1, size + 1) @ rng.normal(size=(size, size))


def test_pca_by_hand():
    # mean (1, 1); about it (+-2, 0) and (0, +-1): variances 8/4 and 2/4
    found = pca(np.array([[3.0, 1], [-1, 1], [1, 2], [1, 0]]), 1)
    np.testing.assert_allclose(found.mean, [1, 1])
    np.testing.assert_allclose(np.abs(found.components), [[1, 0]], atol=1e-15)
    np.testing.assert_allclose(found.variances, [2, 0.5])
    np.testing.assert_allclose(found.discarded, 0.5)


@pytest.mark.parametrize("shape", [(40, 6), (100, 6), (4, 6)])
def test_pca_is_the_eigendecomposition_of_the_covariance(shape):
    x = data(*shape)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    found = pca(x, 3)
    np.testing.assert_allclose(found.variances, values[::-1][: min(shape)], atol=1e-9)
    np.testing.assert_allclose(
        found.components.T @ found.components, vectors[:, -3:] @ vectors[:, -3:].T, atol=1e-9
    )
    np.testing.assert_allclose(found.discarded, values[:-3].sum(), atol=1e-9)


@pytest.mark.parametrize("size", [1, 4, 6])
def test_the_discarded_eigenvalues_are_the_error_of_reconstruction(size):
    x = jnp.asarray(data().reshape(40, 2, 3, 1))
    found = pca(x, size)
    x_hat = pca_reconstruct(found, x)
    assert x_hat.shape == x.shape
    np.testing.assert_allclose(
        np.sum((x_hat - np.asarray(x)) ** 2) / 40, found.discarded, rtol=1e-9, atol=1e-12
    )
    latents = pca_encode(found, x)
    assert latents.shape == (40, size)
    np.testing.assert_allclose(np.var(latents, axis=0), found.variances[:size], rtol=1e-9)


def test_more_components_than_500_numbers_are_still_exact():
    # scikit-learn's default solver for a few components of so many is random
    x = np.random.default_rng(2).normal(size=(520, 510)).astype(np.float32)
    found = pca(x, 2)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T.astype(np.float64), bias=True))
    np.testing.assert_allclose(found.discarded, eigenvalues[:-2].sum(), rtol=1e-9)


def test_variances_keep_their_digits_far_from_the_origin():
    # from second moments, whose difference scikit-learn takes for so many examples, none is left
    x = np.round(data(100) * 8) / 8
    near, moved = pca(x, 2), pca(x + 1e8, 2)
    np.testing.assert_allclose(moved.variances, near.variances, rtol=1e-9)
    np.testing.assert_allclose(moved.discarded, near.discarded, rtol=1e-9)
    np.testing.assert_allclose(moved.mean, near.mean + 1e8, rtol=1e-15)
    constant = pca(np.tile([0.1, 0.7], (30, 1)), 1)
    np.testing.assert_array_equal(constant.variances, 0)


def test_pca_refuses_one_example_and_what_is_not_finite():
    with pytest.raises(InputError, match="a single example"):
        pca(np.ones((1, 3)), 1)
    with pytest.raises(InputError, match="not finite"):
        pca(np.array([[1.0, np.nan], [0.0, 1.0]]), 1)
    with pytest.raises(InputError, match="a contains values that are not finite"):
        principal_angles([[np.inf], [1.0]], [[1.0], [1.0]])


def test_the_lengths_of_columns_do_not_matter():
    plane = np.eye(3)[:, :2]
    short = plane * [1, 1e-20]
    np.testing.assert_allclose(principal_angles(short, [[0.0], [1], [1]]), [np.pi / 4])
    np.testing.assert_allclose(principal_angles([[0.0], [1e-20], [1e-20]], short), [np.pi / 4])


@pytest.mark.parametrize("size", [0, 7])
def test_pca_refuses_sizes(size):
    with pytest.raises(InputError, match=f"{size} components of 40 examples of 6 numbers"):
        pca(data(), size)


def planes(angles):
    """Two subspaces of R^(2n) with these principal angles."""
    count = len(angles)
    a = np.eye(2 * count)[:, :count]
    return a, np.concatenate([np.diag(np.cos(angles)), np.diag(np.sin(angles))])


@pytest.mark.parametrize(
    "angles", [[0.0, 0.3, 1.2], [1e-12, 1e-8, 1e-4], [1e-9, np.pi / 4, np.pi / 2], [0.7]]
)
def test_principal_angles_are_exact_down_to_tiny_ones(angles):
    a, b = planes(np.array(angles))
    rotation = np.linalg.qr(RNG.normal(size=(len(a), len(a))))[0]
    # any basis spans the same subspace
    mix = [RNG.normal(size=(len(angles), len(angles))) for _ in range(2)]
    found = principal_angles(rotation @ a @ mix[0], rotation @ b @ mix[1])
    np.testing.assert_allclose(found, angles, rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(principal_angles(b, a), angles, rtol=1e-9, atol=1e-15)


def test_principal_angles_of_a_line_and_a_plane():
    plane = np.eye(3)[:, :2]
    np.testing.assert_allclose(principal_angles(plane, [[0.0], [1], [1]]), [np.pi / 4])
    np.testing.assert_allclose(principal_angles([[3.0], [1], [0]], plane), [0], atol=1e-15)


def test_principal_angles_take_single_precision():
    found = principal_angles(jnp.eye(3)[:, :2], jnp.eye(3)[:, 1:])
    np.testing.assert_allclose(found, [0, np.pi / 2], atol=1e-15)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.eye(3), np.eye(4), r"\[D, p\] and \[D, q\]"),
        (np.eye(3), np.ones(3), r"\[D, p\] and \[D, q\]"),
        (np.eye(3), np.ones((3, 2)), "the 2 columns of b span 1 dimensions"),
        (np.zeros((3, 1)), np.eye(3), "the 1 columns of a span 0 dimensions"),
    ],
)
def test_principal_angles_refuse(a, b, message):
    with pytest.raises(InputError, match=message):
        principal_angles(a, b)
