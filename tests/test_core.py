"""Domains: what is in them, and how they are said."""

import math

import pytest

from ae_jax import core


@pytest.mark.parametrize(
    ("domain", "inside", "outside", "said"),
    [
        (core.REAL, (-1e30, 0), (), "a finite number"),
        (core.NOT_NEGATIVE, (0, 1e30), (-1e-30,), "0 or more"),
        (core.POSITIVE, (1e-30,), (0, -1), "more than 0"),
        (core.FRACTION, (0, 0.5, 1), (-0.1, 1.1), "from 0 to 1"),
        (core.BELOW_ONE, (0, 0.999), (-0.1, 1), "0 or more and less than 1"),
        (core.BETWEEN, (0.01,), (0, 1), "more than 0 and less than 1"),
        (core.COUNT, (1, 7.0), (0, 2.5, -1), "a whole number, 1 or more"),
        (core.Domain(high=3), (-5, 3), (3.1,), "3 or less"),
        (
            core.Domain(high=3, high_open=True, whole=True),
            (2,),
            (3, 0.5),
            "a whole number, less than 3",
        ),
        (core.Domain(whole=True), (-3,), (0.5,), "a whole number"),
    ],
)
def test_a_domain_knows_its_values_and_says_them(domain, inside, outside, said):
    assert all(value in domain for value in inside)
    assert not any(value in domain for value in (*outside, math.nan, math.inf, -math.inf))
    assert str(domain) == said


def test_a_number_is_declared_in_one_place():
    found = core.traced(rate=(0.1, core.POSITIVE), k=(3, core.COUNT))
    assert found == {
        "hparams": {"rate": 0.1, "k": 3},
        "domains": {"rate": core.POSITIVE, "k": core.COUNT},
    }
