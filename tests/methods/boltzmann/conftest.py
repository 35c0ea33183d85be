"""Machines small enough to visit every state, in double precision."""

import inspect
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import RBMParams


def states(units):
    """Every state of some units of zeros and ones, [2^units, units]."""
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(float)


def make(visible=3, hidden=2, scale=1.0, key=0, gaussian=False):
    random = np.random.RandomState(key)
    shapes = [(visible, hidden), (visible,), (hidden,)] + [(visible,)] * gaussian
    return RBMParams(*(jnp.asarray(scale * random.standard_normal(shape)) for shape in shapes))


def energies(params):
    """Energies of all joint states of zeros and ones, [2^V, 2^H], by the definition."""
    weights, visible_bias, hidden_bias = (np.asarray(p) for p in params[:3])
    v, h = states(len(visible_bias)), states(len(hidden_bias))
    return -(v @ weights @ h.T) - (v @ visible_bias)[:, None] - (h @ hidden_bias)[None, :]


def joint(params):
    """p(v, h), [2^V, 2^H]."""
    weights = np.exp(-energies(params))
    return weights / weights.sum()


def kernel(params):
    """p(h | v) [2^V, 2^H] and p(v' | h) [2^H, 2^V], from the conditionals under test."""
    v, h = states(params.visible_bias.size), states(params.hidden_bias.size)

    def conditional(logits, outcomes):
        p = np.asarray(jax.nn.sigmoid(logits))[:, None, :]
        return np.prod(np.where(outcomes[None] == 1, p, 1 - p), axis=2)

    up = conditional(boltzmann.hidden_logits(params, jnp.asarray(v)), h)
    field = boltzmann.visible_field(params, jnp.asarray(h))
    return up, conditional(params.visible_bias[None, :] + field, v)


def number(v):
    """The number of each state [..., units] in `states`."""
    v = np.asarray(v)
    return (v @ 2.0 ** np.arange(v.shape[-1])).astype(int)


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def defaults(function):
    """The arguments that may be left out, and what they are then."""
    parameters = inspect.signature(function).parameters.items()
    return {name: p.default for name, p in parameters if p.default is not p.empty}


def serves_by_inference(method, state, batch):
    """What a state's part for inference gives is what the state gives, as if it were all."""
    hparams, key = dict(method.hparams), jax.random.key(9)
    views = method.views

    @jax.jit
    def everything(state):
        found = {"evaluate": method.evaluate(key, state, batch, hparams)}
        for name in ("encode", "reconstruct"):
            if view := getattr(views, name):
                found[name] = view(state, batch, hparams)
        if views.decode:
            found["decode"] = views.decode(state, found["encode"], hparams)
        if views.sample:
            found["sample"] = views.sample(key, state, 3, hparams)
        if views.log_likelihood:
            found["log_likelihood"] = views.log_likelihood(key, state, batch, hparams)
        return found

    left = method.inference(state)
    assert type(left) is type(state)
    chex.assert_trees_all_equal(everything(left), everything(state))


@pytest.fixture
def machines(x64):
    """What tests of small machines share."""
    return SimpleNamespace(
        states=states,
        make=make,
        energies=energies,
        joint=joint,
        kernel=kernel,
        number=number,
        flat=flat,
        defaults=defaults,
        serves_by_inference=serves_by_inference,
    )
