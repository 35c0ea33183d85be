"""Machines small enough to visit every state, in double precision."""

import inspect
from types import SimpleNamespace

import chex
import jax
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import RBMParams, Units
from ae_jax.methods.boltzmann.belief import DBNParams


def whole(function, **options):
    """A function as one program, and then NumPy: each operation on its own would be compiled."""
    program = jax.jit(function, **options)
    return lambda *args, **kwargs: jax.device_get(program(*args, **kwargs))


class Compiled:
    """The functions of `boltzmann`, each as a whole."""

    static = frozenset({"chains", "classes", "count", "steps", "sweeps", "temperatures", "units"})

    def __getattr__(self, name):
        function = getattr(boltzmann, name)
        static = self.static & inspect.signature(function).parameters.keys()
        setattr(self, name, whole(function, static_argnames=static))
        return getattr(self, name)


compiled = Compiled()


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def states(units):
    """Every state of some units of zeros and ones, [2^units, units]."""
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(float)


def make(visible=3, hidden=2, scale=1.0, key=0, gaussian=False):
    random = np.random.RandomState(key)
    shapes = [(visible, hidden), (visible,), (hidden,)] + [(visible,)] * gaussian
    return RBMParams(*(scale * random.standard_normal(shape) for shape in shapes))


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
        p = sigmoid(logits)[:, None, :]
        return np.prod(np.where(outcomes[None] == 1, p, 1 - p), axis=2)

    up = conditional(compiled.hidden_logits(params, v), h)
    field = compiled.visible_field(params, h)
    return up, conditional(params.visible_bias + field, v)


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


def labelled_states():
    """The 12 states of two pixels beside a label of three classes."""
    pixels = np.repeat(states(2), 3, axis=0)
    return np.concatenate([pixels, np.tile(np.eye(3), (4, 1))], axis=1)


def directed(random, *shape):
    return nets.Affine(random.normal(size=shape), random.normal(size=shape[1]))


def network(classes=0):
    """A belief network of 3 pixels, 2 units and 2 units on top, perhaps beside a label."""
    random = np.random.RandomState(5)
    up, down = directed(random, 3, 2), directed(random, 2, 3)
    return DBNParams((up,), (down,), make(2 + classes, 2, key=6))


def prior(params, classes):
    """p of each state of the units that the top machine stands on, [4]."""
    x = states(2)
    if not classes:
        return joint(params.top).sum(axis=1)
    both = np.concatenate([np.repeat(x, 2, axis=0), np.tile(np.eye(2), (4, 1))], axis=1)
    units = Units(boltzmann.softmax(classes), boltzmann.bernoulli_hidden())
    p = np.exp(-compiled.free_energy(params.top, both, units))
    return p.reshape(4, 2).sum(axis=1) / p.sum()


@pytest.fixture
def machines(x64):
    """What tests of small machines share."""
    return SimpleNamespace(
        whole=whole,
        compiled=compiled,
        sigmoid=sigmoid,
        states=states,
        make=make,
        energies=energies,
        joint=joint,
        kernel=kernel,
        number=number,
        flat=flat,
        defaults=defaults,
        serves_by_inference=serves_by_inference,
        labelled_states=labelled_states,
        directed=directed,
        network=network,
        prior=prior,
    )
