"""A method under test, and what its promises share."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import training
from ae_jax.core import Array, Batch, Dataset, HParams, InputError, Method, State

BATCH = 32


SAMPLES = 3


GRID = {"learning_rate": (1e-4, 2e-4, 5e-4, 1e-3), "seed": range(4)}
#: Lanes that are trained in double precision.
DOUBLE = training.grid(learning_rate=GRID["learning_rate"][2:], seed=range(2))


def evaluated_loss(
    method: Method, key: Array, state: State, batch: Batch, hparams: HParams
) -> Array:
    """Returns the evaluation loss of a batch as a whole data set.

    Raises:
      InputError: if the method does not evaluate one.
    """
    values = method.evaluate(key, state, batch, hparams)
    figures = {name: jnp.mean(value) for name, value in values.items()}
    if method.conclude is not None:
        present = jnp.ones(len(next(iter(values.values()))), bool)
        figures |= method.conclude(values, present, hparams)
    if "loss" not in figures:
        raise InputError("the evaluation has no loss: give a score that learning lowers")
    return figures["loss"]


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
            return *step, given_by(self.method, keys[1], state, batch, hparams)

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
        return trained(self, training.grid(**GRID))

    @functools.cached_property
    def double(self) -> training.Result:
        """Four lanes of more steps in double precision, where rounding hides no difference."""
        return trained_in_double(self, DOUBLE)


def given_by(method: Method, key: Array, state: State, batch: Batch, hparams: HParams):
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
    if views.predict_noisy:
        drawing = jax.random.fold_in(key, 4)
        found["predict_noisy"] = views.predict_noisy(drawing, state, batch, hparams)
    if views.sample:
        found["sample"] = views.sample(keys[1], state, SAMPLES, hparams)
    if views.generate:
        found["generate"] = views.generate(keys[2], state, batch, hparams)
    if views.log_likelihood:
        found["log_likelihood"] = views.log_likelihood(keys[3], state, batch, hparams)
    return found


def first_examples(dataset: Dataset, count: int) -> Dataset:
    """Returns a data set of the first examples, at most all."""
    arrays = jax.tree.map(lambda x: x[:count], dataset.arrays)
    return dataset._replace(size=min(count, dataset.size), arrays=arrays, digest="")


def trained(subject: Subject, lanes: Any, steps: int = 20, **options: Any) -> training.Result:
    """A sweep, evaluated on few examples with a last batch that is not full."""
    return training.run(
        subject.method,
        subject.dataset,
        lanes,
        steps,
        batch_size=BATCH,
        evaluate_every=steps,
        test=first_examples(subject.dataset, BATCH + 9),
        **options,
    )


def trained_in_double(subject: Subject, lanes: Any, **options: Any) -> training.Result:
    """A longer sweep, with 64-bit types."""
    with jax.enable_x64(True):
        return trained(subject, lanes, 50, **options)


def keep(condition: Any, message: str) -> None:
    """Raises AssertionError unless a condition holds."""
    if not condition:
        raise AssertionError(message)


def keep_double(tree: Any, what: str) -> None:
    """Raises AssertionError for a float of fewer than 64 bits."""
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        narrow = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype != np.float64
        keep(not narrow, f"{what} has {jax.tree_util.keystr(path)} as {x.dtype} under x64")
