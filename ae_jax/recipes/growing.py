"""Progressive growing: a game on small images goes on, with larger networks, on larger images."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax import data, nets, training
from ae_jax.core import COUNT, FRACTION, Dataset, InputError, Method, State, require
from ae_jax.nets import Growing
from ae_jax.training.lanes import grouped
from ae_jax.training.plan import fitting


class Stage(NamedTuple):
    """One stage.

    Attributes:
      side: of the images that it is trained on.
      method: a game on such images; or, to sweep static values too, a function of those.
      networks: the names of the method's networks.
      steps: for each lane.
      schedules: of this stage, such as that of the fade.
    """

    side: int
    method: Method | Callable[..., Method]
    networks: Sequence[str]
    steps: int
    schedules: Sequence[training.Schedule] = ()


def sides(stages: int, image_shape: Sequence[int]) -> list[int]:
    """Returns the side of each stage's images, twice that of the one before.

    Args:
      stages: how many.
      image_shape: (H, H, C) of the last one.

    Raises:
      InputError: if images cannot be halved so often.
    """
    require(COUNT, stages=stages)
    halved = 2 ** (stages - 1)
    if image_shape[0] % halved or image_shape[1] != image_shape[0]:
        raise InputError(
            f"{stages} stages need square images of a multiple of {halved} pixels a side, "
            f"not {image_shape[0]}x{image_shape[1]}"
        )
    return [image_shape[0] // halved * 2**stage for stage in range(stages)]


def stages(
    method: Callable[[Growing, Growing], Method],
    channels: Sequence[int],
    image_shape: Sequence[int],
    steps: Sequence[int],
    fade: float = 0.5,
    *,
    group: int = 4,
    output_activation: str = "sigmoid",
) -> list[Stage]:
    """Returns the stages of a progressive GAN, each with images of twice the side.

    Args:
      method: of a generator and a discriminator, such as `methods.progressive_gan` with latents.
      channels: of features at each side, the smallest first: as many as there are stages.
      image_shape: (H, H, C) of the last stage.
      steps: of each stage.
      fade: the part of them over which its newest blocks are faded in, but for the first one's.
      group: of the discriminators.
      output_activation: of the generators.

    Raises:
      InputError: if the images cannot be halved so often, there are not as many steps as
        channels, or the fade is no fraction; or as the networks.
    """
    require(FRACTION, fade=fade)
    every = sides(len(channels), image_shape)
    if len(steps) != len(channels):
        raise InputError(f"{len(channels)} stages need as many numbers of steps, got {len(steps)}")
    found = []
    for depth, (side, taken) in enumerate(zip(every, steps, strict=True), 1):
        widths, shape = channels[:depth], {"side": every[0]}
        players = (
            nets.growing_generator(
                widths, image_shape[2], output_activation=output_activation, **shape
            ),
            nets.growing_discriminator(widths, group=group, **shape),
        )
        names = [name for player in players for name in player.names]
        schedules = [training.warmup(round(fade * taken), "fade")] if depth > 1 else []
        found.append(Stage(side, method(*players), names, taken, schedules))
    return found


def train(
    stages: Sequence[Stage],
    dataset: Dataset,
    lanes: Sequence[Mapping[str, Any]],
    directory: str | Path | None = None,
    *,
    batch_size: int = 64,
    validation: Dataset | None = None,
    test: Dataset | None = None,
    **options: Any,
) -> list[training.Result]:
    """Trains stages one after the other; each trains all lanes of the sweep at once.

    A lane's stage starts from the same lane's stage before: with the parameters of the networks
    that both have, and their averages. New networks are as they are initialised, optimizers start
    anew. Images are the means of blocks of the data's pixels. All stages are checked before the
    first one is trained.

    Args:
      stages: from the smallest images.
      dataset: what is trained on, of the largest images.
      lanes: from `training.grid`; values of hyperparameters that all stages have.
      directory: a run directory per stage is made below it; None writes nothing.
      batch_size: as for `training.run`.
      validation: likewise, of the largest images.
      test: likewise.
      options: further ones for `training.run`.

    Returns:
      Of each stage's run.

    Raises:
      InputError: if there is no stage, images do not grow to those of the data or cannot be made
        so small, a stage does not go on from those before, or as `training.run`.

    Reference:
      Karras et al. (2018), Progressive Growing of GANs, section 2.
    """
    if not stages:
        raise InputError("growing needs at least one stage")
    grown = [stage.side for stage in stages]
    if grown != sorted(set(grown)):
        raise InputError(f"images must grow from stage to stage, got sides {grown}")
    small = {
        stage.side: {
            name: each and data.resized(each, stage.side)
            for name, each in {"validation": validation, "test": test}.items()
        }
        | {"dataset": data.resized(dataset, stage.side)}
        for stage in stages
    }
    if dataset.spec["image"].shape[0] != grown[-1]:
        raise InputError(
            f"the last stage is of images of {grown[-1]} pixels a side, and the data's have "
            f"{dataset.spec['image'].shape[0]}: use data.resized(dataset, {grown[-1]})"
        )
    _check(stages, lanes, {side: parts["dataset"] for side, parts in small.items()}, batch_size)
    results: list[training.Result] = []
    for stage in stages:
        start = None
        if results:
            start = [None] * len(lanes)
            for index in training.known_lanes(results[-1]):
                state = training.lane(results[-1], index)[1]
                start[index] = handed_on(state, stage.networks)
        results.append(
            training.run(
                stage.method,
                lanes=lanes,
                steps=stage.steps,
                batch_size=batch_size,
                directory=None if directory is None else Path(directory) / f"side-{stage.side}",
                start=start,
                schedules=stage.schedules,
                everywhere=True,
                **small[stage.side],
                **options,
            )
        )
    return results


def _check(
    stages: Sequence[Stage],
    lanes: Sequence[Mapping[str, Any]],
    datasets: Mapping[int, Dataset],
    batch_size: int,
) -> None:
    """Traces the first step of every stage, from the states that those before will leave."""
    require(COUNT, batch_size=batch_size)
    states: list[State] = []
    for stage in stages:
        dataset, after = datasets[stage.side], [None] * len(lanes)
        try:
            require(COUNT, steps=stage.steps)
            for group in grouped(stage.method, lanes, stage.schedules):
                first = group.index[0]
                start = [handed_on(states[first], stage.networks)] if states else []
                hparams = {name: np.asarray(value[0]) for name, value in group.hparams.items()}
                with fitting(dataset):
                    state = _first_state(group.method, dataset, batch_size, hparams, start)
                for index in group.index:
                    after[index] = state
        except InputError as error:
            raise InputError(f"the stage of {stage.side} pixels a side: {error}") from error
        states = after


def _first_state(
    method: Method,
    dataset: Dataset,
    batch_size: int,
    hparams: Mapping[str, Any],
    start: Sequence[Any],
) -> State:
    """The shapes of what a stage begins with; its first step is traced."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    indices = jax.ShapeDtypeStruct((batch_size,), np.int32)
    batch = dict(jax.eval_shape(dataset.fetch, dataset.arrays, indices))
    state = jax.eval_shape(method.init, key, batch, hparams, *start)
    jax.eval_shape(method.step, key, state, batch, hparams)
    return state


def handed_on(state: State, networks: Sequence[str]) -> dict[str, Any]:
    """Returns what a game begins with from another one's state: networks by name, and averages."""

    def common(params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: params[name] for name in networks if name in params}

    averages = common(state.running.get("average", {}))
    return common(state.params) | ({"average": averages} if averages else {})
