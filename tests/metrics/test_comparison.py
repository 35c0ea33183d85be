import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import metrics
from ae_jax.core import InputError


def test_a_paired_difference_has_the_error_of_the_differences():
    # differences 1, 2, 6: mean 3, squares (4 + 1 + 9) / 2 = 7, standard error sqrt(7 / 3)
    found = metrics.paired_difference(jnp.array([11.0, 102.0, 1006.0]), [10.0, 100.0, 1000.0])
    assert found.mean == pytest.approx(3)
    assert found.error == pytest.approx(math.sqrt(7 / 3))
    assert f"{found:+.2f}" == "+3.00 ± 1.53"
    assert metrics.paired_difference([2.0], [1.0]) == (1, math.inf)
    for second in ([], [1.0, 2.0], [[1.0]]):
        with pytest.raises(InputError, match="same examples"):
            metrics.paired_difference([1.0], second)


def test_a_mean_over_examples_has_the_error_of_their_spread():
    # mean 3, squares (4 + 1 + 9) / 2 = 7, standard error sqrt(7 / 3)
    found = metrics.mean_over_examples(jnp.array([1.0, 2.0, 6.0]))
    assert found == pytest.approx((3, math.sqrt(7 / 3)))
    assert metrics.mean_over_examples([2.0]) == (2, math.inf)
    for values in ([], [[1.0]], 1.0):
        with pytest.raises(InputError, match=r"\[N\] and not empty"):
            metrics.mean_over_examples(values)


def test_the_error_is_that_of_repeated_experiments():
    random = np.random.RandomState(0)
    hard = 10 * random.standard_normal((400, 50))  # the examples: what both models share
    pairs = [metrics.paired_difference(own + random.standard_normal(50), own - 0.5) for own in hard]
    means = np.array([pair.mean for pair in pairs])
    assert np.mean(means) == pytest.approx(0.5, abs=0.03)
    assert np.mean([pair.error for pair in pairs]) == pytest.approx(means.std(), rel=0.1)


def test_a_mean_over_draws_is_that_of_independent_keys():
    key = jax.random.key(3)

    def estimate(key):
        return {"x": jax.random.normal(key, (2,)), "y": jax.random.uniform(key)}

    found = jax.jit(lambda key: metrics.mean_over_draws(estimate, key, 5))(key)
    each = [estimate(key) for key in jax.random.split(key, 5)]
    np.testing.assert_allclose(found["x"], np.mean([one["x"] for one in each], axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["y"], np.mean([one["y"] for one in each]), rtol=1e-6)
    with pytest.raises(InputError, match="at least 1"):
        metrics.mean_over_draws(estimate, key, 0)


def test_shares_of_variance_are_those_of_nested_means():
    # means 2 (a: 1; b: 3); a has settings 0.5 and 1.5, b one; squares about the mean: 16
    values = [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 3.0, 3.0]
    outer, inner = list("aaaabbbb"), [1, 1, 2, 2, 1, 1, 1, 1]
    whole = sum((value - 2) ** 2 for value in values)
    expected = [8 * 1 / whole, 4 * 0.25 / whole, (4 * 0.25 + 2) / whole]
    found = metrics.shares_of_variance(values, outer, inner)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert sum(found) == pytest.approx(1)
    assert metrics.shares_of_variance([1.0, 3.0]) == [1.0]
    assert all(math.isnan(x) for x in metrics.shares_of_variance([0.1, 0.1], "ab"))


def test_groups_that_differ_by_nothing_explain_what_they_do_by_chance():
    draws = np.random.RandomState(0).normal(size=(2000, 12))
    outer = np.repeat([0, 1, 2], 4)
    found = np.mean([metrics.shares_of_variance(x, outer) for x in draws], axis=0)
    np.testing.assert_allclose(found, [2 / 11, 9 / 11], atol=0.01)


@pytest.mark.parametrize(
    ("values", "levels"), [([], []), ([1.0, np.inf], [1, 2]), ([1.0, 2.0], [1]), ([[1.0]], [1])]
)
def test_figures_whose_variance_cannot_be_shared_are_refused(values, levels):
    with pytest.raises(InputError, match="figures"):
        metrics.shares_of_variance(values, levels)


def test_signal_to_noise_is_that_of_known_vectors():
    # a mean of norm 5, and a variance of 4 in each of 100 entries: 5 / sqrt(400)
    mean = jnp.zeros(98).at[0].set(3)

    def draw(key):
        noise = 2 * jax.random.normal(key, (100,))
        known = {"first": mean + noise[:98], "second": jnp.asarray([4.0, 0.0]) + noise[98:]}
        return {"signal": known, "noise": noise, "fixed": mean}

    found = jax.jit(lambda key: metrics.signal_to_noise(draw, key, 1000))(jax.random.key(0))
    np.testing.assert_allclose(found["signal"], 5 / 20, rtol=0.02)
    assert found["fixed"] == math.inf
    # of a mean of nothing, whose norm over the deviation would be the root of 1 / draws
    draws = np.stack([draw(key)["noise"] for key in jax.random.split(jax.random.key(0), 1000)])
    uncorrected = np.linalg.norm(draws.mean(axis=0)) / np.sqrt(draws.var(axis=0).sum())
    np.testing.assert_allclose(uncorrected, 1000**-0.5, rtol=0.2)
    assert found["noise"] < 0.5 * uncorrected


def test_signal_to_noise_of_two_draws_by_hand():
    # 1 and 3: mean 2, variance 2; the mean's square less half of that is 3
    _, second = jax.random.split(jax.random.key(1))
    last = jax.random.key_data(second)

    def draw(key):
        x = jnp.where(jnp.all(jax.random.key_data(key) == last), 3, 1)
        return {"x": x.astype(jnp.float32), "half": (100 * x).astype(jnp.float16)}

    found = metrics.signal_to_noise(draw, jax.random.key(1), 2)
    np.testing.assert_allclose(found["x"], math.sqrt(3 / 2), rtol=1e-6)
    np.testing.assert_allclose(found["half"], math.sqrt(3 / 2), rtol=1e-6)  # 90,000 is no half
    assert found["half"].dtype == jnp.float32
    with pytest.raises(InputError, match="at least 2 draws, got 1"):
        metrics.signal_to_noise(draw, jax.random.key(1), 1)
