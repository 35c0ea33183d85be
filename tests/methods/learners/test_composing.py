import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import COUNT, NOT_NEGATIVE, POSITIVE, REAL, InputError
from ae_jax.methods import bottlenecks, penalties
from ae_jax.methods.learners import composing


def test_hyperparameters_are_joined_with_their_domains_and_never_shared():
    part = composing.Numbers({"weight": 2.0}, {"weight": NOT_NEGATIVE})
    joined = composing.joined(part, bottlenecks.noise(3.0), rate=(1.0, POSITIVE))
    assert joined["hparams"] == {"rate": 1.0, "weight": 2.0, "latent_noise": 3.0}
    assert joined["domains"] == {
        **{"rate": POSITIVE, "weight": NOT_NEGATIVE},
        **bottlenecks.noise(3.0).domains,
    }
    for own, second in (({"l1_weight": (1.0, REAL)}, penalties.l1()), ({}, penalties.l1())):
        with pytest.raises(InputError, match="two parts share the hyperparameter l1_weight"):
            composing.joined(penalties.l1(), second, **own)


def test_a_static_number_is_refused_by_its_name():
    composing.require(COUNT, size=1, other=np.int64(7))
    composing.require(POSITIVE, bound=2, other=0.5)
    said = "size is {}: use a whole number, 1 or more"
    for wrong in (0, -1, 2.5, 4.0, np.nan, "many", None):
        with pytest.raises(InputError, match=f"^{said.format(repr(wrong))}$"):
            composing.require(COUNT, fine=2, size=wrong)
    for wrong in (0, -1.0, np.inf, np.nan, None):
        with pytest.raises(InputError, match=r"bound is .*: use more than 0"):
            composing.require(POSITIVE, bound=wrong)


def test_what_is_started_from_must_fit():
    params = {"encoder": {"w": jnp.ones((2, 3))}, "decoder": {"w": jnp.ones(3)}}
    assert composing.started(params, None) == params
    given = {"encoder": {"w": jnp.zeros((2, 3))}}
    assert composing.started(params, given) == {**params, **given}
    for wrong in ({"encoder": {"w": jnp.ones((3, 2))}}, {"encoder": {"v": jnp.ones(1)}}, {"x": 1}):
        with pytest.raises(InputError, match=f"do not fit the {next(iter(wrong))}"):
            composing.started(params, wrong)
