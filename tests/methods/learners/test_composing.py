import jax.numpy as jnp
import pytest

from ae_jax.core import InputError
from ae_jax.methods import bottlenecks, penalties
from ae_jax.methods.learners import composing


def test_hyperparameters_are_joined_and_never_shared():
    joined = composing.joined({"rate": 1.0}, penalties.l1(2.0), bottlenecks.noise(3.0))
    assert joined == {"rate": 1.0, "l1_weight": 2.0, "latent_noise": 3.0}
    for own, second in (({"l1_weight": 1.0}, penalties.l1()), ({}, penalties.l1())):
        with pytest.raises(InputError, match="two parts share the hyperparameter l1_weight"):
            composing.joined(own, penalties.l1(), second)


def test_what_is_started_from_must_fit():
    params = {"encoder": {"w": jnp.ones((2, 3))}, "decoder": {"w": jnp.ones(3)}}
    assert composing.started(params, None) == params
    given = {"encoder": {"w": jnp.zeros((2, 3))}}
    assert composing.started(params, given) == {**params, **given}
    for wrong in ({"encoder": {"w": jnp.ones((3, 2))}}, {"encoder": {"v": jnp.ones(1)}}, {"x": 1}):
        with pytest.raises(InputError, match=f"do not fit the {next(iter(wrong))}"):
            composing.started(params, wrong)
