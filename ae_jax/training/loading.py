"""Opening a run again: in another process, a notebook, a year later."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np

from ae_jax.core import InputError, Method
from ae_jax.training import manifest, results
from ae_jax.training.lanes import Group, of, split, take
from ae_jax.training.manifest import Manifest
from ae_jax.training.plan import Trained
from ae_jax.training.results import Result
from ae_jax.training.resuming import outcome, reread, together


def load(directory: str | Path, method: Method | Callable[..., Method]) -> Result:
    """Returns what `run` returned, from the directory that it wrote.

    Nothing is trained, locked or changed, and no data are needed. Of a run that was interrupted
    there is what its newest whole checkpoints hold: rows of lanes that are not at the end have
    the status `unfinished` and no figures; lanes without a checkpoint are `missing`.

    Args:
      directory: the run's, and of a recipe that of one of its runs.
      method: what `run` was given: a method, or the function that builds it. The values of its
        hyperparameters do not matter: those of the run are used.

    Returns:
      The result; all lanes are in its `groups`.

    Raises:
      InputError: if the directory holds no run of this format, or none of this method; if
        there is no whole checkpoint, or none of a lane that was at the end.
      OSError: if a checkpoint cannot be read for another reason than its content.
    """
    directory = Path(directory)
    run = manifest.read(directory)
    if run.double != jax.config.jax_enable_x64:
        raise InputError(
            f"{directory} was trained {'with' if run.double else 'without'} 64-bit types: load it "
            f"under jax.enable_x64({run.double})"
        )
    figures = results.kept(directory)
    found: list[Trained] = []
    unfinished: set[int] = set()
    with _of_the_method(directory):
        groups = _groups(run, method)
        for group in groups:
            folder = manifest.group_folder(directory, groups, group)
            cohorts = reread(group, run.batch, run.keep_best, folder)
            there = [cohort for cohort in cohorts if cohort.tree is not None]
            for step, places, _ in there:
                ended = figures if step == run.steps else ()
                unfinished |= {int(lane) for lane in group.index[places] if lane not in ended}
            if there:
                parts = [outcome(take(group, part.places), part.tree) for part in there]
                own = take(group, np.sort(np.concatenate([part.places for part in there])))
                final = _figures(own, {i: figures[i] for i in figures if i not in unfinished})
                found.append(together(own, there, parts)._replace(final=final))
    known = {int(lane) for group in found for lane in group.index}
    if lost := sorted(figures.keys() - known) or ([] if known else [0]):
        raise InputError(
            f"{directory} has no whole checkpoint of lane {lost[0]}: repeat the run's command, "
            "which trains what is lost"
        )
    return Result(
        rows=results.rows_of(run.lanes, found, unfinished),
        missing=sorted(set(range(len(run.lanes))) - known),
        groups=found,
        others=[],
        compilations=0,
        compile_seconds=0.0,
        lane_steps_per_second=float("nan"),
    )


@contextlib.contextmanager
def _of_the_method(directory: Path) -> Iterator[None]:
    """Says in one line that a method is not the run's, wherever that shows."""
    advice = "load it with the method that the run was given"
    try:
        yield
    except InputError as error:
        raise InputError(f"{directory} cannot be loaded: {error}; {advice}") from None
    except OSError:
        raise
    except Exception as error:  # whatever a method makes of data that are not its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{directory} cannot be loaded: the method does not fit its data ({reason}); {advice}"
        ) from error


def _groups(run: Manifest, method: Method | Callable[..., Method]) -> list[Group]:
    """The groups of a run, whose numbers are the run's and not the method's own."""
    groups = split(method, run.lanes)
    if len(groups) != len(run.defaults):
        raise InputError(
            f"it has {len(run.defaults)} groups of lanes, and the method makes {len(groups)}: it "
            f"was given a function of {_static(run) or 'nothing'} that builds the method"
        )
    for (built, _), defaults in zip(groups, run.defaults, strict=True):
        own = {name for name in defaults if name not in run.scheduling}
        if differing := sorted(own ^ set(built.hparams)):
            whose = "it" if differing[0] in own else "the method"
            raise InputError(f"{whose} alone has the hyperparameter {differing[0]}")
    return [
        of(built, run.lanes, members, defaults)
        for (built, members), defaults in zip(groups, run.defaults, strict=True)
    ]


def _static(run: Manifest) -> str:
    traced = {"seed"}.union(*run.defaults)
    return ", ".join(name for name in run.lanes[0] if name not in traced)


def _figures(group: Group, figures: Mapping[int, Mapping[str, float]]) -> dict[str, np.ndarray]:
    """The figures of a group's lanes; of those that have none they are not a number."""
    own = [figures.get(int(lane), {}) for lane in group.index]
    names = dict.fromkeys(name for some in own for name in some)
    return {name: np.array([some.get(name, np.nan) for some in own]) for name in names}
