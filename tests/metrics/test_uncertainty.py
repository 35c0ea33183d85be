import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import metrics
from ae_jax.core import InputError

DRAWN = np.random.default_rng(0).normal(size=(7, 5, 3))


def entropy(p):
    return -np.sum(p * np.log(p), axis=-1)


def test_the_uncertainty_of_draws_is_that_of_their_mean_and_of_what_they_disagree_in(x64):
    p = np.exp(DRAWN) / np.exp(DRAWN).sum(axis=-1, keepdims=True)
    found = metrics.predictive(jnp.asarray(DRAWN))
    np.testing.assert_allclose(found.probabilities, p.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, p.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.entropy, entropy(p.mean(axis=0)), rtol=1e-12)
    # H(E p) - E H(p)
    information = entropy(p.mean(axis=0)) - entropy(p).mean(axis=0)
    np.testing.assert_allclose(found.mutual_information, information, rtol=1e-11)
    # the mean of logits is no mean of predictions
    of_logits = metrics.predictive(jnp.asarray(DRAWN.mean(axis=0, keepdims=True)))
    assert np.max(np.abs(of_logits.probabilities - found.probabilities)) > 0.01


def test_draws_that_are_sure_and_differ_and_draws_that_are_alike_and_unsure():
    sure = jnp.array([[[200.0, -200, -200]], [[-200, 200, -200]]])
    found = metrics.predictive(sure)
    np.testing.assert_allclose(found.probabilities, [[0.5, 0.5, 0]], atol=1e-7)
    np.testing.assert_allclose(found.variance, [[0.25, 0.25, 0]], atol=1e-7)
    np.testing.assert_allclose([found.entropy, found.mutual_information], np.log(2), rtol=1e-6)
    unsure = metrics.predictive(jnp.zeros((2, 1, 3)))
    np.testing.assert_allclose(unsure.entropy, np.log(3), rtol=1e-6)
    assert unsure.mutual_information == 0


def test_equal_draws_disagree_in_nothing_to_the_last_bit():
    one = jnp.asarray(30 * DRAWN[:1], jnp.float32)
    found = jax.jit(metrics.predictive)(jnp.tile(one, (7, 1, 1)))
    np.testing.assert_array_equal(found.probabilities, jax.jit(jax.nn.softmax)(one)[0])
    assert not np.any(found.variance)
    assert not np.any(found.mutual_information)
    # a plain mean of seven is another number
    p = np.asarray(jax.nn.softmax(one))
    assert np.any(np.tile(p, (7, 1, 1)).mean(axis=0) != p[0])


def test_samples_are_draws_of_keys_of_their_own():
    def draw(key):
        return jax.random.normal(key, (4, 2))

    keys = jax.random.split(jax.random.key(3), 6)
    expected = metrics.predictive(jnp.stack([draw(key) for key in keys]))
    found = metrics.monte_carlo(draw, jax.random.key(3), 6)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_one_prediction_has_no_further_axes():
    whole, one = (
        metrics.predictive(jnp.asarray(DRAWN)),
        metrics.predictive(jnp.asarray(DRAWN[:, 2])),
    )
    np.testing.assert_allclose(one.entropy, whole.entropy[2], rtol=1e-6)


def test_what_cannot_be_used():
    with pytest.raises(InputError, match="samples is 0"):
        metrics.monte_carlo(lambda key: jnp.zeros(2), jax.random.key(0), 0)
    for wrong in (jnp.zeros(3), jnp.zeros((0, 2, 3))):
        with pytest.raises(InputError, match=r"must be \[K, ..., C\] of one draw or more, got"):
            metrics.predictive(wrong)
