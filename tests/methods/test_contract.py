"""What every registered method owes the engine and its users, one promise after the other.

What a kind of step owes the engine is tried on one row of every kind; with --full on all.
That killed runs go on bit for bit is tested with real kills, in end_to_end/test_processes.py.
"""

import functools

import jax
import pytest

from ae_jax import testing
from ae_jax.methods.learners import gradient
from tests.methods.examples import REGISTRY


@functools.cache
def subject(name):
    row = REGISTRY[name]
    return testing.Subject(
        row.example(),
        row.data(),
        entry=row.entry,
        no_step=row.no_step,
        score=row.score,
        steps=row.steps,
        improvement=row.improvement,
    )


def cases(promises, rare=()):
    """Each promise of each method; those of one are kept in one process, which compiles once.

    Those of `rare` methods, or of (method, promise), run with --full alone.
    """
    found = []
    for name in REGISTRY:
        marks = [pytest.mark.xdist_group(f"contract {name}")]
        for promise in promises:
            label = f"{name}: {promise}".replace(" ", "_")
            full = [pytest.mark.full] if name in rare or (name, promise) in rare else []
            found.append(pytest.param(name, promise, marks=[*marks, *full], id=label))
    return found


COMPOSED = [name for name, row in REGISTRY.items() if row.tier == "composed"]
#: What takes long to compile, and is shown by another kind of step: the engine does it.
LONG = [("gan", "backends agree"), ("gan", "a lane that breaks leaves its siblings untouched")]
LONG += [("gan", "a lane equals the same run alone")]
LONG += [("rbm", "backends agree"), ("rbm", "a lane equals the same run alone")]
NOT_FULL = [name for name, row in REGISTRY.items() if row.tier != "full"]


@pytest.mark.parametrize(("name", "promise"), cases(testing.PROMISES, rare=COMPOSED))
def test_every_method(name, promise):
    testing.PROMISES[promise](subject(name))


@pytest.mark.parametrize(("name", "promise"), cases(["no passes share a key"], rare=COMPOSED))
def test_every_step_of_networks_that_draw(name, promise, monkeypatch):
    """The registry's networks draw nothing in training; here every pass of every one does."""
    given, forward = subject(name), gradient.forward
    state, step = given.first, given.method.step

    def drawing(network, key, params, x, training):
        own, passed = jax.random.split(key) if training else (None, None)
        output, moved = forward(network, passed, params, x, training)
        scale = jax.random.uniform(own, (), output.dtype) if training else 1
        return output * scale, moved

    monkeypatch.setattr(gradient, "forward", drawing)
    with jax.debug_key_reuse(True):
        traced = jax.jit(lambda *x: step(*x))
        jax.eval_shape(traced, jax.random.key(0), state, given.batch(), given.hparams)


@pytest.mark.parametrize(("name", "promise"), cases(testing.FULL, rare=[*NOT_FULL, *LONG]))
def test_every_kind_of_step(name, promise):
    testing.FULL[promise](subject(name))
