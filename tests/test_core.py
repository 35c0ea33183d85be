"""Domains: what is in them, and how they are said."""

import math
import re

import numpy as np
import pytest

from ae_jax import core, data


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


@pytest.mark.parametrize("wrong", ["1", "many", None, [1], (), {}, 1j, object(), len, 10**400])
def test_what_is_no_number_is_in_no_domain(wrong):
    for domain in (core.REAL, core.POSITIVE, core.COUNT, core.Domain(high=3, high_open=True)):
        assert wrong not in domain
        assert np.array([1.0, 2.0]) not in domain


def test_a_static_number_is_refused_by_its_name():
    core.require(core.COUNT, size=1, other=np.int64(7))
    core.require(core.POSITIVE, bound=2, other=np.float32(0.5))
    said = "size is {}: use a whole number, 1 or more"
    for wrong in (0, -1, 2.5, 4.0, math.nan, "many", None, True, [3]):
        with pytest.raises(core.InputError, match=f"^{re.escape(said.format(repr(wrong)))}$"):
            core.require(core.COUNT, fine=2, size=wrong)
    for wrong in (0, -1.0, math.inf, math.nan, None, True):
        with pytest.raises(core.InputError, match=r"bound is .*: use more than 0"):
            core.require(core.POSITIVE, bound=wrong)


class Module:
    """Has what a module of a library of networks has."""

    def init(self, key, x):
        """As Linen's."""

    def apply(self, params, x):
        """Likewise."""


def test_a_part_of_another_kind_is_refused_by_its_name():
    network = core.Network(lambda key, x: {}, lambda params, x: x)
    core.require_networks(encoder=network)
    core.require_each(core.Network, "mlp(8)", networks=[network, network], none=())
    for wrong, said in (
        (Module(), "encoder is a Module: make a network of a Linen module by nets.flax_network"),
        ("mlp", r"encoder is 'mlp': use what a function makes, such as nets.mlp\(8\)"),
        (None, "encoder is a NoneType: use what"),
        (abs, r"encoder is the function abs: call it, as in nets.mlp\(8\)"),
        ((network.init, network.apply), "encoder is a tuple: use"),
    ):
        with pytest.raises(core.InputError, match=f"^{said}"):
            core.require_networks(encoder=wrong)
    for wrong, said in (
        (network, r"networks is a Network: use what .*, such as a list of them, \[mlp\(8\)\]"),
        ("mlp", "networks is 'mlp': use what .* a list"),
        (None, "networks is a NoneType: use what .* a list"),
        ({}, "networks is a dict: use what .* a list"),
        ([network, 3], r"networks\[1\] is 3: use what a function makes, such as mlp\(8\)"),
    ):
        with pytest.raises(core.InputError, match=f"^{said}"):
            core.require_each(core.Network, "mlp(8)", networks=wrong)


@pytest.mark.parametrize("lengths", [4, np.int64(4), (4,), [4], np.array([4])])
def test_a_shape_is_one_length_or_several(lengths):
    assert core.shaped("shape", lengths) == (4,)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((), r"shape is \(\): use one length, or several"),
        (4.0, r"shape\[0\] is 4.0: use a whole number, 1 or more"),
        ("22", r"shape\[0\] is '22'"),
        ((2, 0), r"shape\[1\] is 0"),
        (((2, 2),), "shape is .*: use a list of numbers"),
    ],
)
def test_what_is_no_shape_is_refused(lengths, message):
    with pytest.raises(core.InputError, match=message):
        core.shaped("shape", lengths)


def test_counts_are_a_list():
    core.require_counts(widths=(), sizes=[3, np.int32(2)])
    for counts in (8, "64", None):
        with pytest.raises(core.InputError, match=f"widths is {counts!r}: use a list of numbers"):
            core.require_counts(widths=counts)


def test_whole_numbers_are_whole_between_the_extremes_too():
    images = data.stored(np.array([0, 0.5, 1], np.float32)[:, None, None])
    core.check_ranges({"image": core.FRACTION}, images, "training")
    with pytest.raises(core.InputError, match=r"the training data have image 0\.5, and"):
        core.check_ranges({"image": core.WHOLE}, images, "training")
