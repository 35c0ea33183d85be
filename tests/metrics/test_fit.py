"""Kolmogorov and Smirnov's statistic against SciPy's, and by hand where distributions jump."""

import numpy as np
import pytest
from scipy import stats

from ae_jax.core import InputError
from ae_jax.metrics import KS_1_PERCENT, kolmogorov_smirnov


@pytest.mark.parametrize("law", [stats.norm(), stats.expon(scale=0.5), stats.cauchy()])
def test_continuous_distributions(law):
    x = law.rvs(300, random_state=0)
    expected = stats.kstest(x, law.cdf).statistic * np.sqrt(300)
    np.testing.assert_allclose(kolmogorov_smirnov(x, law.cdf), expected, rtol=1e-12)
    assert kolmogorov_smirnov(x, law.cdf) < KS_1_PERCENT < kolmogorov_smirnov(x + 0.5, law.cdf)
    # of the middles of 100 equal cells it is half a cell
    x = law.ppf((np.arange(100) + 0.5) / 100)
    np.testing.assert_allclose(kolmogorov_smirnov(x, law.cdf), 10 * 0.005, rtol=1e-9)


def test_the_bound_is_that_of_large_samples():
    np.testing.assert_allclose(stats.kstwobign.isf(0.01), KS_1_PERCENT, atol=5e-5)


def test_a_distribution_that_jumps():
    # 0 and 1 with probabilities 1/4 and 3/4; one 0 and one 1 were drawn
    law = stats.rv_discrete(values=((0, 1), (0.25, 0.75)))
    x = [1, 0]

    def below(x):
        return law.cdf(x - 1)

    np.testing.assert_allclose(kolmogorov_smirnov(x, law.cdf, below), np.sqrt(2) * 0.25)
    # without the limit from below a jump counts as a difference
    np.testing.assert_allclose(kolmogorov_smirnov(x, law.cdf), np.sqrt(2) * 0.5)


def test_what_is_no_sample_is_refused():
    for x in ([], [[1.0]], [np.nan, 1.0]):
        with pytest.raises(InputError, match=r"must be \[N\]"):
            kolmogorov_smirnov(np.asarray(x), stats.norm.cdf)
    x = np.array([0.5, 1.5])
    for law in (lambda x: x, lambda x: x - 1, lambda x: x * np.nan, lambda x: 0.5):
        with pytest.raises(InputError, match=r"must give \[N\] numbers from 0 to 1"):
            kolmogorov_smirnov(x, law)
        with pytest.raises(InputError, match=r"must give \[N\] numbers from 0 to 1"):
            kolmogorov_smirnov(x, stats.norm.cdf, law)
