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
        (discrepancies.sliced_wasserstein(7), {}, sliced),
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


def test_directions_are_others_with_another_key():
    between = jax.jit(discrepancies.sliced_wasserstein(4).between)
    assert between(KEY, X, Y, {}) != between(jax.random.key(4), X, Y, {})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: discrepancies.mmd(()), r"positive numbers, got \(\)"),
        (lambda: discrepancies.mmd((1.0, 0.0)), "positive numbers"),
        (lambda: discrepancies.mmd((-1.0,)), "positive numbers"),
        (lambda: discrepancies.sliced_wasserstein(0), "directions is 0: use"),
        (lambda: discrepancies.sinkhorn(iterations=0), "iterations is 0: use"),
    ],
)
def test_static_numbers_are_refused_at_once(call, message):
    with pytest.raises(InputError, match=message):
        call()
