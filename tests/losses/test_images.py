import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.losses import total_variation

RNG = np.random.default_rng(0)


def by_loops(x, beta):
    total = np.zeros(len(x))
    for b, i, j, c in np.ndindex(x.shape):
        down = x[b, i + 1, j, c] - x[b, i, j, c] if i + 1 < x.shape[1] else 0
        right = x[b, i, j + 1, c] - x[b, i, j, c] if j + 1 < x.shape[2] else 0
        total[b] += (down**2 + right**2) ** (beta / 2)
    return total


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_total_variation_is_the_sum_over_pixels(beta, x64):
    x = RNG.normal(size=(3, 4, 5, 2))
    found = jax.jit(total_variation)(x, beta)
    np.testing.assert_allclose(found, by_loops(x, beta), rtol=1e-12)


def test_an_edge_has_the_length_that_it_has():
    # a square of 3 x 3 ones in the middle: 2 sides of 3 to its right and below, each a step of 1,
    # and 2 of 3 to its left and above; in its last corner both differences are, of length root 2
    x = np.zeros((1, 7, 7, 1), np.float32)
    x[0, 2:5, 2:5] = 1
    np.testing.assert_allclose(total_variation(x), [10 + np.sqrt(2)], rtol=1e-6)
    np.testing.assert_array_equal(total_variation(x, 2.0), [12])


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0, 3.0])
def test_the_gradient_is_that_of_finite_differences(beta, x64):
    x = RNG.normal(size=(1, 3, 4, 1))
    slope = jax.grad(lambda x: total_variation(x, beta)[0])(x)
    step = 1e-6
    for place in np.ndindex(x.shape):
        change = np.zeros(x.shape)
        change[place] = step
        expected = (by_loops(x + change, beta) - by_loops(x - change, beta))[0] / (2 * step)
        np.testing.assert_allclose(slope[place], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0])
def test_the_gradient_of_a_flat_image_is_0(beta):
    flat = np.full((1, 3, 3, 1), 0.3, np.float32)
    slope = jax.grad(lambda x: total_variation(x, beta)[0])(flat)
    np.testing.assert_array_equal(slope, 0)
    # as it is not where the power is differentiated as it stands
    naive = jax.grad(lambda x: jnp.sum(jnp.sqrt((x[:, 1:] - x[:, :-1]) ** 2)))(flat)
    assert np.isnan(naive).all()


@pytest.mark.parametrize(
    ("x", "beta", "words"),
    [
        (np.zeros((3, 4, 4)), 1.0, "is of images"),
        (np.zeros((1, 4, 4, 1)), 0.0, "beta of total variation is 0.0: use more than 0"),
    ],
)
def test_what_is_refused(x, beta, words):
    with pytest.raises(InputError, match=words):
        total_variation(x, beta)
