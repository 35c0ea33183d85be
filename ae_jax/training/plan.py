"""What a group of lanes is asked to do, what may stop it, and what becomes of it."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import REAL, Dataset, HParams, InputError, Method, State
from ae_jax.training.evaluation import SUMMARY_EXAMPLES
from ae_jax.training.lanes import Group
from ae_jax.training.population import scheduled
from ae_jax.training.reporting import Logger
from ae_jax.training.schedules import Schedule


class Plan(NamedTuple):
    """What `run` was asked to do, for every group; see its arguments."""

    dataset: Dataset
    validation: Dataset | None
    test: Dataset
    steps: int
    batch_size: int
    evaluate_every: int
    schedules: Sequence[Schedule]
    summarize: Callable | None
    monitor: str
    select: str
    keep_best: bool
    checkpoint_seconds: float
    chunk: int
    stream: bool


class Outlets(NamedTuple):
    """Where a group's results go, and what may stop it.

    Attributes:
      directory: where reports are appended; None writes nothing.
      checkpoints: where checkpoints of the group are kept; None keeps none.
      identity: names the run in them.
      loggers: further places for reports.
      progress: opens a bar for some lanes, which is moved by (steps done, note).
      interrupted: the status to exit with after saving; None to go on.
    """

    directory: Path | None
    checkpoints: Path | None
    identity: str
    loggers: Sequence[Logger]
    progress: Callable[[int], contextlib.AbstractContextManager[Callable[[int, str], None]]]
    interrupted: Callable[[], int | None]


class Trained(NamedTuple):
    """A trained group of L lanes, on the host.

    Attributes:
      method: what was trained.
      index: int [L], the lanes' places in the sweep.
      hparams: every traced hyperparameter as it was given, [L].
      state: the final states, leaves [L, ...].
      state_hparams: the hyperparameters as schedules had them in the last step of those.
      taken: int [L], how many steps those have behind them.
      best: what inference needs of the states with the best validation, or None.
      best_hparams: the hyperparameters as schedules had them in the last step of those.
      best_step: int [L], how many steps those have behind them.
      frozen_step: int [L]; below 0 where a lane was never frozen.
      frozen_by: what was not finite, joined by "+", or None, for each lane.
      final: figures of the final evaluation and the summary, [L].
      compilations: of the training program; a second one where a lane broke.
      compile_seconds: what they took.
      train_seconds: without compilation and evaluation.
      lane_steps: trained in that time.
    """

    method: Method
    index: np.ndarray
    hparams: HParams
    state: State
    state_hparams: HParams
    taken: np.ndarray
    best: State | None
    best_hparams: HParams | None
    best_step: np.ndarray
    frozen_step: np.ndarray
    frozen_by: Sequence[str | None]
    final: Mapping[str, np.ndarray]
    compilations: int
    compile_seconds: float
    train_seconds: float
    lane_steps: int


#: What a line of metrics has besides figures.
PLACES = frozenset(("step", "split", "lane"))


def batch_of(plan: Plan) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns shapes and dtypes of a batch."""
    indices = jax.ShapeDtypeStruct((plan.batch_size,), np.int32)
    return dict(jax.eval_shape(plan.dataset.fetch, plan.dataset.arrays, indices))


@contextlib.contextmanager
def fitting(dataset: Dataset) -> Iterator[None]:
    """Says in a line what a method that is traced on a data set does not find in it."""
    try:
        yield
    except InputError:
        raise
    except KeyError as error:
        raise InputError(
            f"the method asks for {error}, which its batch ({', '.join(dataset.spec)}), its "
            "hyperparameters or its start do not have"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the method does not fit the data: {reason}") from error


def needs_start(method: Method) -> bool:
    """Whether a method's lanes cannot begin without what an earlier run, or anybody else, gives."""
    parameters = inspect.signature(method.init).parameters.values()
    wanted = [
        given
        for given in parameters
        if given.default is given.empty and given.kind is not given.VAR_POSITIONAL
    ]
    return len(wanted) > 3


def check(plan: Plan, group: Group) -> tuple[set[str], set[str]]:
    """Traces a group's method without running it.

    Returns:
      The names of the figures that it evaluates, and of those of its summary.

    Raises:
      InputError: if the method or the summary does not honour the contract, or does not fit the
        data.
    """
    hparams = {name: np.asarray(value[0]) for name, value in group.hparams.items()}
    key = jax.eval_shape(lambda: jax.random.key(0))
    if group.start is None and needs_start(group.method):
        raise InputError(
            "every lane of this method begins with something of its own: give training.run start=, "
            "for each lane what the method's docstring says that its init takes"
        )
    with fitting(plan.dataset):
        batch = batch_of(plan)
        start = () if group.start is None else (jax.tree.map(lambda x: x[0], group.start),)
        state = jax.eval_shape(group.method.init, key, batch, hparams, *start)
        after, info = jax.eval_shape(group.method.step, key, state, batch, hparams)
        kept = jax.eval_shape(group.method.inference, state)
        values = jax.eval_shape(group.method.evaluate, key, kept, batch, hparams)
        concluded = {}
        if group.method.conclude:
            present = jax.ShapeDtypeStruct((plan.batch_size,), bool)
            if not values:
                raise InputError("the method concludes from no values: its evaluation is empty")
            concluded = jax.eval_shape(group.method.conclude, values, present, hparams)
        summary = jax.eval_shape(_summary(plan, group.method), key, kept, hparams)

    def shapes(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype), tree)

    if shapes(state) != shapes(after):
        raise InputError("the method's step changes the shapes or dtypes of its state")
    if not info:
        raise InputError("the method's Info is empty: it must tell whether the state is finite")
    if wrong := [name for name, x in info.items() if x.shape]:
        raise InputError(f"the method's Info {wrong[0]} must be a scalar")
    if taken := sorted(PLACES & set(info)):
        raise InputError(f"the method's Info {taken[0]} has the name of another column: rename it")

    def fits(x):  # what is concluded from may have further axes
        return x.shape[:1] == (plan.batch_size,) and (group.method.conclude or x.ndim == 1)

    if wrong := [name for name, x in values.items() if not fits(x)]:
        raise InputError(f"the method's evaluation {wrong[0]} must have one value per example")
    if wrong := [name for name, x in concluded.items() if x.shape]:
        raise InputError(f"what the method concludes, {wrong[0]}, must be a scalar")
    if wrong := [name for name, x in summary.items() if x.shape]:
        raise InputError(f"the summary's {wrong[0]} must be a scalar")
    figures = {name for name, x in values.items() if x.ndim == 1} | set(concluded)
    if taken := sorted(figures & set(summary)):
        raise InputError(f"the evaluation and the summary both have {taken[0]}: rename one")
    return figures, set(summary)


def check_scheduled(plan: Plan, group: Group) -> None:
    """Looks at what schedules make of a group's hyperparameters, at 1000 steps of the run at most.

    They may reach the ends of an interval that are left out of it, as a learning rate that is
    warmed up from 0 does, and pass between whole numbers.

    Raises:
      InputError: where they leave a domain.
    """
    if not plan.schedules:
        return
    steps = np.unique(np.linspace(0, plan.steps - 1, min(plan.steps, 1000)).astype(np.int32))

    def over_steps(hparams: HParams) -> HParams:
        return jax.vmap(lambda step: scheduled(plan.schedules, step, hparams))(steps)

    domains = {**group.method.domains}
    for schedule in plan.schedules:
        domains |= schedule.domains
    for name, values in jax.jit(jax.vmap(over_steps))(dict(group.hparams)).items():
        domain = domains.get(name, REAL)
        closed = domain._replace(low_open=False, high_open=False, whole=False)
        for lane, course in zip(group.index, np.asarray(values), strict=True):
            for place in (np.argmin(course), np.argmax(course)):  # of what is no number, too
                if (value := float(course[place])) not in closed:
                    raise InputError(
                        f"at step {steps[place]} a schedule has {name} at {value:g} in lane "
                        f"{lane}: use {domain}"
                    )


def _summary(plan: Plan, method: Method) -> Callable:
    """What summarises a state, of data that are not looked at."""
    size = min(plan.test.size, SUMMARY_EXAMPLES)

    def summary(key, state, hparams):
        arrays = jax.tree.map(lambda x: jnp.zeros((size, *x.shape[1:]), x.dtype), plan.test.arrays)
        dataset = plan.test._replace(size=size, arrays=arrays)
        return plan.summarize(method, key, state, dataset, hparams) if plan.summarize else {}

    return summary
