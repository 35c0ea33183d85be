"""Each part against the loss that it is made of, with and without padding."""

import jax
import numpy as np
import pytest

from ae_jax import losses
from ae_jax.core import InputError
from ae_jax.methods import discrepancies

pytestmark = pytest.mark.usefixtures("x64")

X, Y = np.random.default_rng(0).standard_normal((2, 5, 3))
KEY = jax.random.key(3)


def sliced(x, y):
    return losses.sliced_wasserstein(x, y, losses.random_directions(KEY, 7, 3))


@pytest.mark.parametrize(
    ("part", "hparams", "loss"),
    [
        (
            discrepancies.mmd((0.5, 2.0)),
            {"kernel_scale": 3.0},
            lambda x, y: losses.mmd(x, y, losses.gaussian_mixture_kernel([1.5, 6.0])),
        ),
        (
            discrepancies.mmd([0.5], root=False),
            {"kernel_scale": 1.0},
            lambda x, y: losses.mmd2(x, y, losses.gaussian_kernel(0.5**0.5), unbiased=False),
        ),
        (
            discrepancies.mmd([0.5], root=False, unbiased=True),
            {"kernel_scale": 2.0},
            lambda x, y: losses.mmd2(x, y, losses.gaussian_kernel(1.0)),
        ),
        (
            # in units of 2 Z = 6
            discrepancies.inverse_multiquadric((0.5, 2.0)),
            {"kernel_scale": 3.0},
            lambda x, y: losses.mmd2(x, y, losses.inverse_multiquadric_mixture_kernel([9, 36])),
        ),
        (discrepancies.sliced_wasserstein(7), {}, sliced),
        (discrepancies.moments(), {}, losses.moment_distance),
        (
            discrepancies.sinkhorn(iterations=9),
            {"sinkhorn_epsilon": 0.7},
            lambda x, y: losses.sinkhorn_divergence(x, y, 0.7, 9),
        ),
    ],
)
def test_values_are_those_of_the_losses(part, hparams, loss):
    between = jax.jit(part.between)
    expected = loss(X, Y)
    np.testing.assert_allclose(between(KEY, X, Y, hparams), expected, rtol=1e-12)
    padded = [np.concatenate([np.full((2, 3), np.nan), sample]) for sample in (X, Y)]
    found = between(KEY, *padded, hparams, np.arange(7) > 1)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


#: Six and five points in three dimensions.
ROWS, COLUMNS = np.arange(6)[:, None], np.arange(3)[None]
SIX = np.sin(1.0 + 0.8 * ROWS + 1.9 * COLUMNS)
FIVE = 1.5 * np.cos(0.3 + 1.1 * ROWS[:5] * (1 + 0.2 * COLUMNS))


@pytest.mark.parametrize(
    ("make", "biased", "unbiased"),
    [
        (
            lambda unbiased: discrepancies.mmd([1.0], 1.0, False, unbiased),
            0.313290816267,
            0.0137504121137,
        ),
        (
            lambda unbiased: discrepancies.mmd([1.0], 3.0, False, unbiased),
            0.193981323939,
            -0.00346384319351,
        ),
        (
            lambda unbiased: discrepancies.inverse_multiquadric((1.0,), 1.0, unbiased),
            0.147467606143,
            -0.0121135127222,
        ),
        (
            lambda unbiased: discrepancies.inverse_multiquadric(unbiased=unbiased),
            1.08782357635,
            -0.0713296557892,
        ),
    ],
)
def test_fixed_samples_differ_by_fixed_amounts(make, biased, unbiased):
    for part, value in ((make(False), biased), (make(True), unbiased)):
        np.testing.assert_allclose(part.between(KEY, SIX, FIVE, part.hparams), value, atol=1e-11)
    # of one sample the biased square is 0, the unbiased one below
    part = discrepancies.mmd([1.0], root=False, unbiased=True)
    same = part.between(KEY, SIX, SIX, part.hparams)
    np.testing.assert_allclose(same, -0.23478769857, atol=1e-11)


def test_the_unbiased_squares_mean_is_that_of_the_distributions():
    # of N(m, I) and N(0, I): 2 (s^2 / (s^2 + 2))^(D/2) (1 - exp(-m^2 / (2 (s^2 + 2))))
    part = discrepancies.mmd([1.0], root=False, unbiased=True)
    x, y = np.random.default_rng(0).standard_normal((2, 400, 20, 3))
    shift = np.array([1.0, 0.0, 0.0])
    between = jax.jit(jax.vmap(lambda x, y, h: part.between(KEY, x, y, h), (0, 0, None)))
    found = between(x + shift, y, part.hparams)
    error = np.std(found) / np.sqrt(400)
    assert abs(np.mean(found) - 0.05908921164) < 4 * error
    # of one dimension, with a kernel of variance s^2 = 4
    found = between(x[..., :1] + 0.5, y[..., :1], {"kernel_scale": 4.0})
    error = np.std(found) / np.sqrt(400)
    assert abs(np.mean(found) - 0.0336687568985) < 4 * error


def test_directions_are_others_with_another_key():
    between = jax.jit(discrepancies.sliced_wasserstein(4).between)
    assert between(KEY, X, Y, {}) != between(jax.random.key(4), X, Y, {})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: discrepancies.mmd(()), r"positive numbers, got \(\)"),
        (lambda: discrepancies.mmd((1.0, 0.0)), "positive numbers"),
        (lambda: discrepancies.mmd((-1.0,)), "positive numbers"),
        (lambda: discrepancies.mmd(unbiased=True), "has no root: use root=False"),
        (lambda: discrepancies.inverse_multiquadric(()), r"scales must be one or more"),
        (lambda: discrepancies.inverse_multiquadric((0.0,)), "positive numbers"),
        (lambda: discrepancies.sliced_wasserstein(0), "directions is 0: use"),
        (lambda: discrepancies.sinkhorn(iterations=0), "iterations is 0: use"),
    ],
)
def test_static_numbers_are_refused_at_once(call, message):
    with pytest.raises(InputError, match=message):
        call()
