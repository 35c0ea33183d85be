"""What every method promises, which one small program shows in seconds."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import training
from ae_jax.core import Array, Batch, Domain, InputError
from ae_jax.testing.subject import (
    BATCH,
    SAMPLES,
    Subject,
    first_examples,
    given_by,
    keep,
    keep_double,
)


def _described(tree: Any) -> Any:
    """Of every leaf its shape, dtype and whether the dtype is weak: what a retrace depends on."""
    return jax.tree.map(lambda x: (x.shape, str(x.dtype), getattr(x, "weak_type", False)), tree)


def _finite(tree: Any, what: str) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            keep(jnp.isfinite(leaf).all(), f"{what}{jax.tree_util.keystr(path)} is not finite")


def _shapes(subject: Subject) -> None:
    state, (after, info, given) = subject.first, subject.states[0]
    keep(
        jax.tree.structure(state) == jax.tree.structure(after)
        and [(x.shape, x.dtype) for x in jax.tree.leaves(state)]
        == [(x.shape, x.dtype) for x in jax.tree.leaves(after)],
        f"a step turns {_described(state)} into {_described(after)}",
    )
    values, whole = given["evaluate"], given.get("conclude", {})
    keep(info, "Info is empty: it must tell whether the state is finite")
    keep(values, "the evaluation is empty")
    for name, value in info.items():
        keep(value.shape == (), f"Info's {name} must be a scalar, it has {value.shape}")
    for name, value in values.items():
        fits = value.shape[:1] == (BATCH,) and (value.ndim == 1 or subject.method.conclude)
        keep(fits, f"the evaluation's {name} must have one value per example, not {value.shape}")
    for name, value in whole.items():
        keep(value.shape == (), f"what is concluded, {name}, must be a scalar")


def _everything_finite(subject: Subject) -> None:
    for after, info, given in subject.states:
        _finite(after, "the state's ")
        _finite(info, "Info's ")
        _finite(given, "of what a state gives, ")


def _views(subject: Subject) -> None:
    views, given = subject.method.views, subject.states[0][2]
    keep(any(views), "there is no view of a state")
    one = subject.batch()[subject.entry].shape[1:]
    whole = (BATCH, *one)
    expected = {
        "decode": whole,
        "reconstruct": whole,
        "sample": (SAMPLES, *one),
        "generate": whole,
        "log_likelihood": (BATCH,),
    }
    for name in expected.keys() & given.keys():
        shape = given[name].shape
        keep(shape == expected[name], f"{name} must give {expected[name]}, it gives {shape}")
    if views.encode:
        shape = given["encode"].shape
        keep(len(shape) == 2 and shape[0] == BATCH, f"encode must give [B, Z], it gives {shape}")
    for name in {"predict", "predict_noisy"} & given.keys():
        shape = given[name].shape
        keep(shape[:1] == (BATCH,), f"{name} must give [B, ...], it gives {shape}")


def _keys(subject: Subject) -> None:
    """Every key a method is given is split or used, once; traced anew, nothing is computed."""
    method, key = subject.method, jax.random.key(0)
    batch, hparams, state = subject.batch(), subject.hparams, subject.first
    calls = {
        "init": (method.init, (key, batch, hparams)),
        "the step": (method.step, (key, state, batch, hparams)),
        "the evaluation or a view": (
            functools.partial(given_by, method),
            (key, state, batch, hparams),
        ),
    }
    with jax.debug_key_reuse(True):
        for name, (function, given) in calls.items():
            try:
                jax.eval_shape(jax.jit(lambda *x, function=function: function(*x)), *given)
            except jax.errors.KeyReuseError as error:
                raise AssertionError(f"by {name}: {error}") from error


def _no_retrace(subject: Subject) -> None:
    subject.moved(**{name: _another(subject, name) for name in subject.hparams})
    first, second = (_described(x) for x in (subject.first, subject.states[0][0]))
    count = subject.traces["program"]
    keep(count == 1, f"the step was traced {count} times: the state goes from {first} to {second}")


def _domain(subject: Subject, name: str) -> Domain:
    return subject.method.domains.get(name, Domain())


def _another(subject: Subject, name: str) -> float:
    """Another value of a hyperparameter, in its domain and not far from its default."""
    value, domain = float(subject.method.hparams[name]), _domain(subject, name)
    tried = (0.7 * value + 0.01, 0.9 * value, value + 0.01, value - 0.01, value + 1, value - 1)
    tried += (domain.low, domain.high, (domain.low + domain.high) / 2)
    found = next((x for x in tried if x in domain and x != value), None)
    keep(found is not None, f"{name} has no value but {value:g}")
    return found


def _effects(subject: Subject) -> None:
    usual = subject.moved()
    for name in subject.hparams:
        other = subject.moved(**{name: _another(subject, name)})
        step, given = (
            any(not np.array_equal(x, y) for x, y in zip(a, b, strict=True))
            for a, b in zip(usual, other, strict=True)
        )
        if name in subject.no_step:
            keep(not step, f"{name} is said to change no step, but does")
            keep(given, f"{name} changes nothing")
        else:
            keep(step, f"{name} changes no step")


def _domains(subject: Subject) -> None:
    hparams, domains = subject.method.hparams, subject.method.domains
    missing = sorted(hparams.keys() - domains.keys())
    keep(not missing, f"{', '.join(missing)} has no domain")
    unknown = sorted(domains.keys() - hparams.keys())
    keep(not unknown, f"{', '.join(unknown)} has a domain and is no hyperparameter")
    for name, value in hparams.items():
        keep(value in domains[name], f"{name}: the default {value} is not {domains[name]}")


def _outside(domain: Domain) -> list[float]:
    """Values next to a domain's ends that are not in it, and such as are in none."""
    tried = [math.nan, math.inf, -math.inf]
    if domain.low > -math.inf:
        tried += [domain.low, domain.low - 0.5, domain.low - 1]
    if domain.high < math.inf:
        tried += [domain.high, domain.high + 0.5, domain.high + 1]
    if domain.whole:
        tried += [max(domain.low, 0) + 1.5]
    return [value for value in tried if value not in domain]


def _refusals(subject: Subject) -> None:
    few = first_examples(subject.dataset, BATCH)
    for name in subject.hparams:
        for value in _outside(_domain(subject, name)):
            try:
                training.run(subject.method, few, [{name: value, "seed": 0}], 1, batch_size=1)
            except InputError as error:
                keep(name in str(error), f"{name} {value} is refused without its name: {error}")
            else:
                raise AssertionError(f"{name} {value} is trained with")


def _ranges(subject: Subject) -> None:
    """One example is next to a range's end, in one of the splits."""
    few, ranges = first_examples(subject.dataset, BATCH), subject.method.ranges
    unknown = sorted(ranges.keys() - few.spec.keys())
    keep(not unknown, f"{', '.join(unknown)} has a range and is no entry of the data")
    tried = [(name, value) for name, domain in ranges.items() for value in _outside(domain)]
    for name, value in tried:
        whole = jnp.issubdtype(few.spec[name].dtype, jnp.integer)
        if not jax.tree.leaves(few.arrays) or (whole and not float(value).is_integer()):
            continue

        def fetch(arrays: Any, indices: Array, name: str = name, value: float = value) -> Batch:
            batch = few.fetch(arrays, indices)
            return {**batch, name: batch[name].at[0].set(value)}

        wrong = few._replace(fetch=fetch)
        for split in ("training", "validation", "test"):
            splits = {"training": few, "validation": few, "test": few} | {split: wrong}
            try:
                options = {"validation": splits["validation"], "test": splits["test"]}
                training.run(
                    subject.method, splits["training"], [{"seed": 0}], 1, batch_size=1, **options
                )
            except InputError as error:
                told = f"the {split} data have {name} " in str(error)
                keep(told, f"a {name} of {value:g} in {split} data is refused with: {error}")
            else:
                raise AssertionError(f"a {name} of {value:g} in {split} data is trained with")


def _independent(subject: Subject) -> None:
    """Nine examples are evaluated beside others than before, in as large a batch."""
    rows = np.r_[:9, BATCH - 4 : BATCH + 5, 4:18]
    key, state, hparams = jax.random.key(4), subject.states[-1][0], subject.hparams
    values = subject.program(key, state, subject.batch(), hparams)[2]["evaluate"]
    beside = subject.program(key, state, subject.batch(rows), hparams)[2]["evaluate"]
    for name, value in values.items():
        np.testing.assert_allclose(beside[name][:9], value[:9], rtol=1e-6, err_msg=name)


def _absent(subject: Subject) -> None:
    """The values of all but five examples change, and are said to be padding."""
    if subject.method.conclude is None:
        return
    given, present = subject.states[-1][2], jnp.arange(BATCH) < 5

    def moved(x: Array) -> Array:
        absent = jnp.reshape(~present, (-1, *[1] * (x.ndim - 1)))
        return x + absent.astype(x.dtype)

    concluded = jax.jit(subject.method.conclude)
    found = concluded(jax.tree.map(moved, given["evaluate"]), present, subject.hparams)
    for name, value in given["conclude"].items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


def _inference(subject: Subject) -> None:
    """What is kept is the state's own, so that results are equal if they can be had."""
    method, state = subject.method, subject.first
    kept = method.inference(state)
    own = {id(leaf) for leaf in jax.tree.leaves(state)}
    keep({id(leaf) for leaf in jax.tree.leaves(kept)} <= own, "what is kept is not the state's")
    keep(type(kept) is type(state), f"of a {type(state)} a {type(kept)} is kept")
    jax.eval_shape(
        functools.partial(given_by, method),
        jax.random.key(0), kept, subject.batch(), subject.hparams,
    )  # fmt: skip


def _double_precision(subject: Subject) -> None:
    """Traced with 64-bit types: nothing that a method makes is of fewer bits."""

    def widened(tree):
        def wide(x):
            floating = jnp.issubdtype(x.dtype, jnp.floating)
            return jax.ShapeDtypeStruct(x.shape, np.float64 if floating else x.dtype)

        return jax.tree.map(wide, tree)

    with jax.enable_x64(True):
        key = jax.eval_shape(lambda: jax.random.key(0))
        batch, hparams = widened(subject.batch()), widened(subject.hparams)
        state = jax.eval_shape(subject.method.init, key, batch, hparams)
        after, info = jax.eval_shape(subject.method.step, key, state, batch, hparams)
        given = jax.eval_shape(
            functools.partial(given_by, subject.method), key, state, batch, hparams
        )
    for what, tree in (("the first state", state), ("the state after a step", after)):
        keep_double(tree, what)
    keep_double(info, "Info")
    keep_double(given, "what a state gives")


def _lowers(subject: Subject) -> None:
    """Needs no such hardware. Nothing that only a CPU has slips in."""
    args = (jax.random.key(0), subject.first, subject.batch(), subject.hparams)
    jax.export.export(subject.program, platforms=("cuda", "tpu"))(*args)


#: By name, what every method promises.
PROMISES: Mapping[str, Callable[[Subject], None]] = {
    "a step keeps the state's shapes, and figures have theirs": _shapes,
    "everything is finite": _everything_finite,
    "views have their shapes": _views,
    "no key is used twice": _keys,
    "neither steps nor new hyperparameters trace again": _no_retrace,
    "every hyperparameter has its effect": _effects,
    "every hyperparameter has a domain that holds its default": _domains,
    "the evaluation of an example does not depend on the others": _independent,
    "what is padding counts for nothing in what is concluded": _absent,
    "inference needs only what is kept for it": _inference,
    "all is of 64 bits where those are enabled": _double_precision,
    "a step lowers for CUDA and TPU": _lowers,
    "values outside a domain are refused": _refusals,
    "data out of a range are refused": _ranges,
}
