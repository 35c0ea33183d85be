"""Categories and their relaxation against a table, quadrature and frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from ae_jax.core import InputError
from ae_jax.probability import categorical, concrete

KEY = jax.random.key(2)
LOGITS, X = np.array([0.5, -0.3, 0.1]), np.array([0.2, 0.5, 0.3])
#: By temperature.
LOG_DENSITY = {0.5: -0.86286429192, 2 / 3: -0.380628184461, 1.0: 0.218451973272}


@pytest.mark.usefixtures("x64")
def test_the_density_is_that_of_the_table_and_integrates_to_one():
    found = concrete.log_prob(
        np.tile(X, (3, 1)), np.tile(LOGITS, (3, 1)) + 4, np.array(list(LOG_DENSITY))
    )
    np.testing.assert_allclose(found, list(LOG_DENSITY.values()), rtol=1e-11)
    # two variables of an example add up
    both = concrete.log_prob(np.tile(X, (1, 2, 1)), np.tile(LOGITS, (1, 2, 1)), 0.5)
    np.testing.assert_allclose(both, [2 * LOG_DENSITY[0.5]], rtol=1e-11)
    share = np.linspace(0, 1, 20_001)[1:-1]
    logits = np.broadcast_to([0.4, -0.2], (len(share), 2))
    p = np.exp(concrete.log_prob(np.stack([share, 1 - share], 1), logits, 0.7))
    np.testing.assert_allclose(integrate.trapezoid(p, share), 1, rtol=2e-2)


@pytest.mark.usefixtures("x64")
def test_draws_have_the_density_and_their_largest_are_the_categories():
    logits = np.broadcast_to([0.4, -0.2], (20_000, 2))
    drawn = concrete.sample(KEY, logits, 0.7)
    # log(x / (1 - x)) t is logistic about the difference of the logits
    score = 0.7 * np.log(drawn[:, 0] / drawn[:, 1])
    assert stats.kstest(np.asarray(score), stats.logistic(0.6).cdf).pvalue > 0.01
    wide = np.broadcast_to(LOGITS, (20_000, 3))
    hard = categorical.sample(KEY, wide, 0.3)
    np.testing.assert_array_equal(np.unique(hard), [0, 1])
    p = np.exp(LOGITS) / np.sum(np.exp(LOGITS))
    np.testing.assert_allclose(np.mean(hard, axis=0), p, atol=0.01)
    np.testing.assert_array_equal(np.argmax(hard, 1), np.argmax(concrete.sample(KEY, wide, 0.3), 1))
    # and the gradient is that of the relaxed draw
    weight = np.array([1.0, -2.0, 3.0])
    soft, straight = (
        jax.grad(lambda x, draw=draw: jnp.sum(draw(KEY, x, 0.3) @ weight))(wide[:4])
        for draw in (concrete.sample, categorical.sample)
    )
    np.testing.assert_allclose(straight, soft, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_categories_are_those_of_closed_forms():
    logits, p = LOGITS[None], np.exp(LOGITS) / np.sum(np.exp(LOGITS))
    np.testing.assert_allclose(categorical.kl_uniform(logits), [0.0512791750837], rtol=1e-11)
    np.testing.assert_allclose(categorical.entropy(logits), [stats.entropy(p)], rtol=1e-12)
    found = categorical.log_prob(np.eye(3), np.tile(logits, (3, 1)))
    np.testing.assert_allclose(found, np.log(p), rtol=1e-12)
    far = categorical.kl_uniform(np.array([[0.0, -800.0]]))
    np.testing.assert_allclose(far, [np.log(2)], rtol=1e-12)


def test_a_low_temperature_stays_finite_in_single_precision():
    logits = jnp.asarray([[30.0, -30.0, 0.0]] * 8)

    def nats(logits):
        z = concrete.sample(KEY, logits, 0.05)
        return jnp.sum(concrete.log_prob(z, logits, 0.05) - concrete.log_prob(z, 0 * logits, 0.1))

    value, slope = jax.value_and_grad(nats)(logits)
    assert np.isfinite(value)
    assert np.all(np.isfinite(slope))
    with pytest.raises(InputError, match="shapes must be equal"):
        concrete.log_prob(logits[:2], logits, 1.0)
