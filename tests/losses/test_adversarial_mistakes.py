"""What popular code lowers in the place of an adversarial objective has other values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from ae_jax.losses import adversarial

pytestmark = pytest.mark.usefixtures("x64")

# two distributions on five points, the best discriminator, and what the generator is told by it
P, Q = np.arange(1, 6) / 15, np.array([4, 1, 3, 1, 1]) / 10
LOGITS = np.log(P / Q)
KL, JSD = 0.591094907144727, 0.12505896645204323


def test_least_squares_are_of_logits():
    """Of their sigmoids neither of the targets -1 and 1 can be reached."""
    real, fake = 2 * np.sin(np.arange(6.0) + 1), np.cos(2 * np.arange(6.0) + 1) - 0.3
    lost = adversarial.least_squares(-1, 1, 0).discriminator
    np.testing.assert_allclose(np.mean(lost(real, fake)), 2.0131959177935648, rtol=1e-12)
    squashed = np.mean(lost(expit(real), expit(fake)))
    assert abs(squashed - 2.0131959177935648) > 0.1
    best = np.ones(2)
    assert np.mean(lost(best, -best)) == 0
    assert np.mean(lost(expit(800 * best), expit(-800 * best))) == 0.5


def test_what_a_non_saturating_generator_follows():
    """The slope of KL(q | p) - 2 JSD where the discriminator is best, not that of the JSD."""

    def distribution(score):
        return jax.nn.softmax(score)

    def generator(name, score):
        lost = getattr(adversarial, name)().generator(None, jnp.asarray(LOGITS))
        return jnp.sum(distribution(score) * lost)

    def kl(score):
        q = distribution(score)
        return jnp.sum(q * jnp.log(q / P))

    def jsd(score):
        q = distribution(score)
        mean = (P + q) / 2
        return jnp.sum(P * jnp.log(P / mean) + q * jnp.log(q / mean)) / 2

    score = jnp.log(Q)
    np.testing.assert_allclose([kl(score), jsd(score)], [KL, JSD], rtol=1e-12)
    np.testing.assert_allclose(generator("non_saturating", score), 1.1672946575365168, rtol=1e-12)

    @jax.jit
    def slopes(score):
        return [
            jax.grad(function)(score)
            for function in (
                lambda score: generator("non_saturating", score),
                lambda score: kl(score) - 2 * jsd(score),
                lambda score: generator("minimax", score),
                lambda score: 2 * jsd(score),
            )
        ]

    non_saturating, mixed, minimax, divergence = slopes(score)
    np.testing.assert_allclose(non_saturating, mixed, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(minimax, divergence, rtol=1e-12, atol=1e-15)
    assert np.max(np.abs(non_saturating - minimax)) > 0.1
