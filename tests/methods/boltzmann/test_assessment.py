import math

import jax
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import BERNOULLI, assessment


def problem(machines, scale=1.0):
    params = machines.make(5, 3, scale)
    v = np.random.RandomState(2).randint(0, 2, (40, 5)).astype(float)
    return params, machines.compiled.base_of(params, v), v


def alone(machines, params, base, v):
    """What assessments are made of, by the first key: of 50 chains and 10 temperatures."""

    @machines.whole
    def found():
        up_key, down_key = jax.random.split(jax.random.key(0))
        up = boltzmann.log_partition_ais(up_key, params, base, chains=50, temperatures=10)
        down = boltzmann.log_likelihood_reverse_ais(down_key, params, base, v, temperatures=10)
        return up, down, boltzmann.free_energy(params, v), boltzmann.log_partition_exact(params)

    return found()


def test_more_temperatures_close_the_gap(machines):
    params, base, v = problem(machines, scale=2.0)
    found = [
        boltzmann.assess(jax.random.key(0), params, base, v, chains=200, temperatures=count)
        for count in (3, 300)
    ]
    for each in found:
        assert each.gap == pytest.approx(each.ais - each.reverse_ais)
        assert each.ais_low <= each.ais <= each.ais_high
    assert found[0].gap > 2 * found[1].gap
    assert abs(found[1].ais - found[1].exact) < 0.05
    assert found[1].reverse_ais < found[1].exact + 4 * found[1].reverse_ais_error
    assert found[0].effective_sample_size < found[1].effective_sample_size <= 200
    assert "exactly" in found[1].verdict


def test_assessments_are_means_over_examples(machines):
    params, base, v = problem(machines)
    found = boltzmann.assess(jax.random.key(0), params, base, v, chains=50, temperatures=10)
    up, down, free, exact = alone(machines, params, base, v)
    free = np.mean(free)
    expected = {
        "exact": -free - exact,
        "ais": -free - up.log_partition,
        "ais_low": -free - up.high,
        "ais_high": -free - up.low,
        "effective_sample_size": up.effective_sample_size,
        "reverse_ais": np.mean(down),
        "reverse_ais_error": np.std(down, ddof=1) / np.sqrt(40),
        "gap": -free - up.log_partition - np.mean(down),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-8, err_msg=name)
    assert boltzmann.columns(found) == found._asdict()
    unknown = boltzmann.columns(found._replace(exact=math.nan))
    assert list(unknown) == [name for name in found._fields if name != "exact"]


def test_examples_share_one_partition_function(machines):
    params, base, v = problem(machines)
    found = boltzmann.assess(jax.random.key(0), params, base, v, chains=5, temperatures=3)
    each = np.asarray(boltzmann.example_log_likelihoods(params, v, found))
    exact = np.log(machines.joint(params).sum(axis=1))[machines.number(v)]
    np.testing.assert_allclose(each, exact, rtol=1e-8)
    unknown = found._replace(exact=math.nan)
    shifted = np.asarray(boltzmann.example_log_likelihoods(params, v, unknown))
    np.testing.assert_allclose(np.mean(shifted), found.reverse_ais, rtol=1e-8)
    np.testing.assert_allclose(shifted - each, np.mean(shifted - each), rtol=1e-6)


def test_verdicts_say_what_the_numbers_are_worth():
    _verdict = assessment._verdict
    nan = math.nan
    assert "do not compare" in _verdict(nan, -84.9, -96.6, 0.9, 1.0)
    assert "4% of the chains" in _verdict(nan, -84.9, -85.1, 0.04, 1.0)
    assert "to be trusted to 0.20 nats" in _verdict(nan, -84.9, -85.1, 0.5, 1.0)
    assert "to be trusted to 0.00 nats" in _verdict(nan, -85.2, -85.1, 0.5, 1.0)
    assert "not finite" in _verdict(nan, nan, -85.1, 0.5, 1.0)
    assert "not finite" in _verdict(nan, -84.9, -math.inf, 0.5, 1.0)
    assert "use more chains" in _verdict(nan, -84.9, -85.1, 1.0, math.inf)
    # at the limits of what is said
    assert "to be trusted" in _verdict(nan, 1.0, 0.0, 0.1, 1.0)


@pytest.mark.parametrize(("below", "words"), [(0.5, "gap of 1.5 nats"), (1.5, None)])
def test_a_gap_above_one_nat_is_named(below, words):
    verdict = assessment._verdict(math.nan, 2.0, below, effective=0.5, width=0.1)
    assert ("do not compare" in verdict) == (words is not None)
    assert words is None or words in verdict


def test_one_chain_and_one_example_have_no_standard_error(machines):
    params, base, v = problem(machines)
    one = boltzmann.assess(jax.random.key(0), params, base, v[:1], chains=1, temperatures=3)
    assert (one.ais_low, one.ais_high, one.reverse_ais_error) == (-np.inf, np.inf, np.inf)


def test_what_cannot_be_assessed_is_refused(machines):
    params, base, v = problem(machines)
    with pytest.raises(InputError, match="no example"):
        boltzmann.assess(jax.random.key(0), params, base, v[:0])
    with pytest.raises(InputError, match="chains is 0"):
        boltzmann.assess(jax.random.key(0), params, base, v, chains=0)


def test_what_is_left_out_is_what_is_documented(machines):
    expected = {"chains": 100, "temperatures": 1000, "units": BERNOULLI}
    assert machines.defaults(boltzmann.assess) == expected


def test_bounds_of_a_deep_model_differ_from_exact_ones_by_the_top_machines_partition(machines):
    params, base, v = problem(machines)
    key, few = jax.random.key(0), {"chains": 50, "temperatures": 10}
    found = boltzmann.bounds_above(key, params, base, v, -2.0, **few)
    up, down, energy, _ = alone(machines, params, base, v)
    assert found["bound_ais"] == pytest.approx(-2 - up.log_partition, rel=1e-8)
    assert found["effective_sample_size"] == pytest.approx(up.effective_sample_size, rel=1e-8)
    # by reverse AIS log Z is what is missing of the mean log p(v): -F(v) - log p(v)
    log_z = np.mean(-energy - down)
    assert found["bound_reverse_ais"] == pytest.approx(-2 - log_z, rel=1e-8)
