"""The contract as a check, for people who write a method of their own.

    from ae_jax import testing
    testing.check(my_method(), my_dataset)

`PROMISES` are what every method owes, which one small program shows in seconds; `FULL` what it
owes the engine beyond that, which takes sweeps. Each is a function of a `Subject`.
"""

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import training
from ae_jax.core import Array, Batch, Dataset, Domain, HParams, InputError, Method, State

BATCH = 32
SAMPLES = 3
_GRID = {"learning_rate": (1e-4, 2e-4, 5e-4, 1e-3), "seed": range(4)}


def evaluated_loss(
    method: Method, key: Array, state: State, batch: Batch, hparams: HParams
) -> Array:
    """Returns the evaluation loss of a batch as a whole data set.

    Raises:
      InputError: if the method does not evaluate one.
    """
    values = method.evaluate(key, state, batch, hparams)
    if "loss" not in values:
        raise InputError("the evaluation has no loss: give a score that learning lowers")
    if method.conclude is None:
        return jnp.mean(values["loss"])
    return method.conclude(values, jnp.ones(values["loss"].shape, bool), hparams)["loss"]


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A method under test, and what its promises share: compiled once, when it is asked for.

    Attributes:
      method: to be checked.
      dataset: what it learns from; at least 64 examples.
      entry: of a batch, what reconstructions and samples have the shape of.
      no_step: hyperparameters that change no step, but evaluation or views alone.
      score: (method, key, state, batch, hparams) -> a scalar that learning lowers.
      steps: how many, at batches of 32, are enough to lower it.
      improvement: the fraction of the first score that is then left, at most.
    """

    method: Method
    dataset: Dataset
    entry: str = "image"
    no_step: tuple[str, ...] = ()
    score: Callable[[Method, Array, State, Batch, HParams], Array] = evaluated_loss
    steps: int = 200
    improvement: float = 0.8
    traces: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def batch(self, rows: Any = None) -> Batch:
        """The examples of some rows; of the first 32 where None."""
        rows = jnp.arange(BATCH) if rows is None else rows
        return self.dataset.fetch(self.dataset.arrays, jnp.asarray(rows))

    @functools.cached_property
    def hparams(self) -> dict[str, Array]:
        """The defaults, as the engine gives them."""
        return {name: jnp.asarray(float(x)) for name, x in self.method.hparams.items()}

    @functools.cached_property
    def first(self) -> State:
        """A state before the first step."""
        return jax.jit(self.method.init)(jax.random.key(0), self.batch(), self.hparams)

    @functools.cached_property
    def program(self) -> Callable:
        """(key, state, batch, hparams) -> a step's state and Info, and all that a state gives."""

        def program(key: Array, state: State, batch: Batch, hparams: HParams):
            self.traces["program"] += 1
            keys = jax.random.split(key)
            step = self.method.step(keys[0], state, batch, hparams)
            return *step, _given(self.method, keys[1], state, batch, hparams)

        return jax.jit(program)

    @functools.cached_property
    def states(self) -> list[tuple[State, Any, Mapping[str, Any]]]:
        """What the program returns for two steps from the first state."""
        found, state = [], self.first
        for i in (1, 2):
            found.append(self.program(jax.random.key(i), state, self.batch(), self.hparams))
            state = found[-1][0]
        return found

    def moved(self, **changed: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Of a third step, with some hyperparameters changed, and of what a state gives."""
        hparams = self.hparams | {name: jnp.asarray(float(x)) for name, x in changed.items()}
        state = self.states[-1][0]  # in which nothing is zero that is not always
        after, info, given = self.program(jax.random.key(3), state, self.batch(), hparams)
        step, rest = jax.tree.leaves((after, info)), jax.tree.leaves(given)
        return [np.asarray(leaf) for leaf in step], [np.asarray(leaf) for leaf in rest]

    @functools.cached_property
    def sweep(self) -> training.Result:
        """Sixteen lanes of a few steps."""
        return _trained(self, training.grid(**_GRID))


def check(method: Method, dataset: Dataset, *, full: bool = False, **options: Any) -> None:
    """Checks that a method keeps the promises of `ae_jax.core.Method`.

    Args:
      method: small, as every promise is tried on it; with a `learning_rate` for `full`.
      dataset: what it learns from; at least 64 examples.
      full: whether to keep what takes sweeps as well, a minute or so; without, a few seconds.
      **options: further attributes of `Subject`.

    Raises:
      AssertionError: one line that names the first promise that is broken, and how.
      InputError: if it is given no method or no data set, or a data set that is too small or
        lacks the entry.
    """
    for given, kind in ((method, Method), (dataset, Dataset)):
        if not isinstance(given, kind):
            what = type(given).__name__
            raise InputError(
                f"check() takes a {kind.__name__}, not a {what}: give what is returned"
            )
    subject = Subject(method, dataset, **options)
    if dataset.size < 2 * BATCH:
        raise InputError(f"the data set has {dataset.size} examples: give {2 * BATCH} or more")
    if subject.entry not in dataset.spec:
        entries = ", ".join(dataset.spec)
        raise InputError(
            f"the data have no {subject.entry}: say which entry is meant, of {entries}"
        )
    for name, promise in (PROMISES | (FULL if full else {})).items():
        try:
            promise(subject)
        except Exception as error:
            told = isinstance(error, (AssertionError, InputError))
            how = " ".join(f"{'' if told else f'{type(error).__name__}: '}{error}".split())
            raise AssertionError(f"{name}: {how[:600]}") from error


def _given(method: Method, key: Array, state: State, batch: Batch, hparams: HParams):
    """All that a state gives: its evaluation, what is concluded from it, and every view."""
    views, keys = method.views, jax.random.split(key, 4)
    values = method.evaluate(keys[0], state, batch, hparams)
    found = {"evaluate": values}
    if method.conclude is not None:
        found["conclude"] = method.conclude(values, jnp.arange(BATCH) < 5, hparams)
    if views.encode:
        found["encode"] = views.encode(state, batch, hparams)
        if views.decode:
            found["decode"] = views.decode(state, found["encode"], hparams)
    if views.reconstruct:
        found["reconstruct"] = views.reconstruct(state, batch, hparams)
    if views.predict:
        found["predict"] = views.predict(state, batch, hparams)
    if views.sample:
        found["sample"] = views.sample(keys[1], state, SAMPLES, hparams)
    if views.generate:
        found["generate"] = views.generate(keys[2], state, batch, hparams)
    if views.log_likelihood:
        found["log_likelihood"] = views.log_likelihood(keys[3], state, batch, hparams)
    return found


def _keep(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _described(tree: Any) -> Any:
    """Of every leaf its shape, dtype and whether the dtype is weak: what a retrace depends on."""
    return jax.tree.map(lambda x: (x.shape, str(x.dtype), getattr(x, "weak_type", False)), tree)


def _finite(tree: Any, what: str) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            _keep(jnp.isfinite(leaf).all(), f"{what}{jax.tree_util.keystr(path)} is not finite")


def _shapes(subject: Subject) -> None:
    state, (after, info, given) = subject.first, subject.states[0]
    _keep(
        jax.tree.structure(state) == jax.tree.structure(after)
        and [(x.shape, x.dtype) for x in jax.tree.leaves(state)]
        == [(x.shape, x.dtype) for x in jax.tree.leaves(after)],
        f"a step turns {_described(state)} into {_described(after)}",
    )
    values, whole = given["evaluate"], given.get("conclude", {})
    _keep(info, "Info is empty: it must tell whether the state is finite")
    _keep(values, "the evaluation is empty")
    for name, value in info.items():
        _keep(value.shape == (), f"Info's {name} must be a scalar, it has {value.shape}")
    for name, value in values.items():
        fits = value.shape[:1] == (BATCH,) and (value.ndim == 1 or subject.method.conclude)
        _keep(fits, f"the evaluation's {name} must have one value per example, not {value.shape}")
    for name, value in whole.items():
        _keep(value.shape == (), f"what is concluded, {name}, must be a scalar")


def _everything_finite(subject: Subject) -> None:
    for after, info, given in subject.states:
        _finite(after, "the state's ")
        _finite(info, "Info's ")
        _finite(given, "of what a state gives, ")


def _views(subject: Subject) -> None:
    views, given = subject.method.views, subject.states[0][2]
    _keep(any(views), "there is no view of a state")
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
        _keep(shape == expected[name], f"{name} must give {expected[name]}, it gives {shape}")
    if views.encode:
        shape = given["encode"].shape
        _keep(len(shape) == 2 and shape[0] == BATCH, f"encode must give [B, Z], it gives {shape}")
    if views.predict:
        shape = given["predict"].shape
        _keep(shape[:1] == (BATCH,), f"predict must give [B, ...], it gives {shape}")


def _keys(subject: Subject) -> None:
    """Every key a method is given is split or used, once; traced anew, nothing is computed."""
    method, key = subject.method, jax.random.key(0)
    batch, hparams, state = subject.batch(), subject.hparams, subject.first
    calls = {
        "init": (method.init, (key, batch, hparams)),
        "the step": (method.step, (key, state, batch, hparams)),
        "the evaluation or a view": (
            functools.partial(_given, method),
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
    _keep(count == 1, f"the step was traced {count} times: the state goes from {first} to {second}")


def _domain(subject: Subject, name: str) -> Domain:
    return subject.method.domains.get(name, Domain())


def _another(subject: Subject, name: str) -> float:
    """Another value of a hyperparameter, in its domain and not far from its default."""
    value, domain = float(subject.method.hparams[name]), _domain(subject, name)
    tried = (0.7 * value + 0.01, 0.9 * value, value + 0.01, value - 0.01, value + 1, value - 1)
    return next((x for x in tried if x in domain and x != value), value)


def _effects(subject: Subject) -> None:
    usual = subject.moved()
    for name in subject.hparams:
        other = subject.moved(**{name: _another(subject, name)})
        step, given = (
            any(not np.array_equal(x, y) for x, y in zip(a, b, strict=True))
            for a, b in zip(usual, other, strict=True)
        )
        if name in subject.no_step:
            _keep(not step, f"{name} is said to change no step, but does")
            _keep(given, f"{name} changes nothing")
        else:
            _keep(step, f"{name} changes no step")


def _domains(subject: Subject) -> None:
    hparams, domains = subject.method.hparams, subject.method.domains
    missing = sorted(hparams.keys() - domains.keys())
    _keep(not missing, f"{', '.join(missing)} has no domain")
    unknown = sorted(domains.keys() - hparams.keys())
    _keep(not unknown, f"{', '.join(unknown)} has a domain and is no hyperparameter")
    for name, value in hparams.items():
        _keep(value in domains[name], f"{name}: the default {value} is not {domains[name]}")


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
    few = _few(subject.dataset, BATCH)
    for name in subject.hparams:
        for value in _outside(_domain(subject, name)):
            try:
                training.run(subject.method, few, [{name: value, "seed": 0}], 1, batch_size=1)
            except InputError as error:
                _keep(name in str(error), f"{name} {value} is refused without its name: {error}")
            else:
                raise AssertionError(f"{name} {value} is trained with")


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
    _keep({id(leaf) for leaf in jax.tree.leaves(kept)} <= own, "what is kept is not the state's")
    _keep(type(kept) is type(state), f"of a {type(state)} a {type(kept)} is kept")
    jax.eval_shape(
        functools.partial(_given, method),
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
            functools.partial(_given, subject.method), key, state, batch, hparams
        )
    for what, tree in (("the first state", state), ("the state after a step", after)):
        _all_double(tree, what)
    _all_double(info, "Info")
    _all_double(given, "what a state gives")


def _all_double(tree: Any, what: str) -> None:
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        narrow = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype != np.float64
        _keep(not narrow, f"{what} has {jax.tree_util.keystr(path)} as {x.dtype} under x64")


def _lowers(subject: Subject) -> None:
    """Needs no such hardware. Nothing that only a CPU has slips in."""
    args = (jax.random.key(0), subject.first, subject.batch(), subject.hparams)
    jax.export.export(subject.program, platforms=("cuda", "tpu"))(*args)


def _few(dataset: Dataset, count: int) -> Dataset:
    arrays = jax.tree.map(lambda x: x[:count], dataset.arrays)
    return dataset._replace(size=min(count, dataset.size), arrays=arrays, digest="")


def _trained(subject: Subject, lanes: Any, steps: int = 20, **options: Any) -> training.Result:
    """A sweep, evaluated on few examples with a last batch that is not full."""
    return training.run(
        subject.method,
        subject.dataset,
        lanes,
        steps,
        batch_size=BATCH,
        evaluate_every=steps,
        test=_few(subject.dataset, BATCH + 9),
        **options,
    )


def _figures(row: Mapping[str, Any]) -> list[str]:
    told = {"lane", "seed", "learning_rate", "status", "frozen_step", "frozen_by", "best_step"}
    return [name for name in row if name not in told]


def _learns(subject: Subject) -> None:
    score = jax.jit(functools.partial(subject.score, subject.method))
    rows = np.arange(min(500, subject.dataset.size))
    batch, key = subject.batch(rows), jax.random.key(3)
    result = _trained(subject, training.grid(seed=0), subject.steps)
    _, after, _ = training.lane(result, 0)
    before, then = (float(score(key, x, batch, subject.hparams)) for x in (subject.first, after))
    _keep(
        then < subject.improvement * before,
        f"the score goes from {before:g} to {then:g} in {subject.steps} steps",
    )


def _one_compilation(subject: Subject) -> None:
    count = subject.sweep.compilations
    _keep(count == 1, f"a sweep of sixteen lanes took {count} compilations")


def _alone(subject: Subject) -> None:
    alone = _trained(subject, [training.grid(**_GRID)[13]]).rows[0]
    for name in _figures(alone):
        np.testing.assert_allclose(
            subject.sweep.rows[13][name], alone[name], rtol=1e-4, err_msg=name
        )


def _alone_in_double_precision(subject: Subject) -> None:
    with jax.enable_x64(True):
        lanes = training.grid(learning_rate=_GRID["learning_rate"][2:], seed=range(2))
        together, alone = (_trained(subject, some, 50) for some in (lanes, lanes[3:]))
        states = training.lane(together, 3)[1], training.lane(alone, 0)[1]
    floats = [x for x in jax.tree.leaves(states[0]) if np.issubdtype(x.dtype, np.floating)]
    _all_double(states[0], "the state")
    scale = max(np.abs(x).max() for x in floats)
    for x, y in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9 * scale)
    for name in _figures(alone.rows[0]):
        np.testing.assert_allclose(
            together.rows[3][name], alone.rows[0][name], rtol=1e-9, err_msg=name
        )


def _backends(subject: Subject) -> None:
    """`shard` vmaps lanes, as `vmap` does, where `pmap` takes them in turn on a CPU."""
    other = _trained(subject, training.grid(**_GRID), backend="shard")
    for x, y in zip(_leaves(subject.sweep), _leaves(other), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def _leaves(result: training.Result) -> list[Any]:
    return jax.tree.leaves([group.state for group in result.groups])


def _siblings(subject: Subject) -> None:
    lanes = training.grid(**_GRID)
    lanes[5] = {"learning_rate": 3e38, "seed": 5}
    beside = _trained(subject, lanes)
    for i, row in enumerate(beside.rows):
        status = "frozen" if i == 5 else "ok"
        _keep(row["status"] == status, f"lane {i} is {row['status']}, where lane 5 breaks")
    broken = beside.rows[5]
    _keep(0 <= broken["frozen_step"] < 20 and broken["frozen_by"], f"lane 5 broke as {broken}")
    for x, y in zip(_leaves(beside), _leaves(subject.sweep), strict=True):
        np.testing.assert_array_equal(np.delete(x, 5, axis=0), np.delete(y, 5, axis=0))


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
}
#: By name, what it promises beyond that, which takes sweeps.
FULL: Mapping[str, Callable[[Subject], None]] = {
    "it learns": _learns,
    "a sweep is one compilation": _one_compilation,
    "a lane of sixteen equals the same run alone": _alone,
    "a lane equals the same run alone in double precision": _alone_in_double_precision,
    "backends agree": _backends,
    "a lane that breaks leaves its siblings untouched": _siblings,
}
