import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import inversion
from ae_jax.core import InputError

RNG = np.random.default_rng(0)
KEY = jax.random.key(3)
X = RNG.normal(size=(4, 2, 3, 1)).astype(np.float32)


def squares(x):
    return jnp.sum(x**2, axis=(1, 2, 3))


def test_a_sum_is_weighted_and_each_term_has_a_key_of_its_own():
    drawn = lambda key, x: jax.random.normal(key, x.shape[:1])  # noqa: E731
    plain = inversion.keyless(squares)
    total = inversion.weighted((drawn, 2.0), (plain, 0.5), (drawn, 1.0))(KEY, X)
    first, last = (drawn(jax.random.fold_in(KEY, i), X) for i in (0, 2))
    assert np.any(first != last)
    np.testing.assert_allclose(total, 2 * first + 0.5 * squares(X) + last, rtol=1e-5)
    with pytest.raises(InputError, match="needs one at least"):
        inversion.weighted()


def test_an_error_of_reconstructions_moves_both():
    halved = inversion.reconstruction_error(lambda x: x / 2)
    np.testing.assert_allclose(halved(KEY, X), squares(X) / 4, rtol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(halved(KEY, x)))(X)
    np.testing.assert_allclose(slope, X / 2, rtol=1e-6)


def test_improbability_is_minus_a_log_likelihood():
    np.testing.assert_array_equal(
        inversion.improbability(inversion.keyless(squares))(KEY, X), -squares(X)
    )


def test_activation_is_half_a_mean_square():
    features = lambda x: x[:, :, :2] * 3  # noqa: E731
    expected = -0.5 * np.mean((3 * X[:, :, :2]) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(inversion.activation(features)(KEY, X), expected, rtol=1e-6)


def test_a_unit_is_the_mean_of_a_channel_over_places():
    units = np.array([0, 4, 2, 3])
    found = inversion.of_unit(lambda x: x * np.arange(5, dtype=np.float32), units)(KEY, X)
    np.testing.assert_allclose(found, -units * X.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_a_class_is_as_improbable_as_its_softmax_says(x64):
    logits = RNG.normal(size=(4, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([0, 4, 2, 2])
    found = inversion.of_class(lambda x: logits, labels)(KEY, X)
    np.testing.assert_allclose(found, -np.log(probabilities[np.arange(4), labels]), rtol=1e-12)
    np.testing.assert_allclose(
        inversion.of_class(lambda x: logits, 3)(KEY, X), -np.log(probabilities[:, 3]), rtol=1e-12
    )


def test_the_slope_of_noisy_data_is_that_of_the_reconstruction():
    # r(x) = x / 4: minus the score is 3 x / (4 s^2), and the value |3 x / 4|^2 / (2 s^2)
    objective = inversion.denoising_score(lambda x: x / 4, 0.5)
    value = jax.value_and_grad(lambda x: jnp.sum(objective(KEY, x)))
    total, slope = value(X)
    np.testing.assert_allclose(total, np.sum((0.75 * X) ** 2) * 2, rtol=1e-5)
    np.testing.assert_allclose(slope, 3 * X, rtol=1e-5)


def test_a_deviation_of_0_is_refused():
    with pytest.raises(InputError, match="use more than 0"):
        inversion.denoising_score(lambda x: x, 0.0)


def test_a_class_that_there_is_not():
    objective = inversion.of_class(lambda x: x, np.array([0, -1]))
    with pytest.raises(InputError, match="use a whole number, from 0 to 2"):
        objective(jax.random.key(0), jnp.zeros((2, 3)))
