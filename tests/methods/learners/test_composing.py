import jax.numpy as jnp
import optax
import pytest

from ae_jax.core import NOT_NEGATIVE, POSITIVE, REAL, InputError
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


def test_what_is_started_from_must_fit():
    params = {"encoder": {"w": jnp.ones((2, 3))}, "decoder": {"w": jnp.ones(3)}}
    assert composing.started(params, None) == params
    given = {"encoder": {"w": jnp.zeros((2, 3))}}
    assert composing.started(params, given) == {**params, **given}
    for wrong in ({"encoder": {"w": jnp.ones((3, 2))}}, {"encoder": {"v": jnp.ones(1)}}, {"x": 1}):
        with pytest.raises(InputError, match=f"do not fit the {next(iter(wrong))}"):
            composing.started(params, wrong)


def test_an_optimizer_gives_a_direction_and_has_no_rate_of_its_own():
    rates = optax.masked(optax.scale_by_adam(), lambda params: {"encoder": True})
    for good in (None, optax.identity(), optax.scale_by_adam(), optax.scale_by_lion(), rates):
        composing.require_optimizer(optimizer=good)
    for wrong in (optax.adam(1e-3), optax.sgd(0.1, momentum=0.9), optax.adamw(lambda step: 1e-3)):
        with pytest.raises(InputError, match=r"^optimizer has a learning rate of its own: use"):
            composing.require_optimizer(optimizer=wrong)
    for wrong, said in (("adam", "is 'adam'"), (optax.adam, "is the function adam: call it")):
        with pytest.raises(InputError, match=f"^optimizer {said}"):
            composing.require_optimizer(optimizer=wrong)
