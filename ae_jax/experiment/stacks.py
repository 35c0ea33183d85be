"""Stacks of denoising layers on patches of photographs, trained greedily and then as a whole."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from ae_jax import cli, methods, training
from ae_jax.cli import Count, Swept
from ae_jax.core import BETWEEN, NOT_NEGATIVE, POSITIVE, InputError
from ae_jax.experiment.config import Config
from ae_jax.experiment.config import lanes as lanes_of
from ae_jax.experiment.running import Sweep, check, complete, run_options
from ae_jax.experiment.splits import Splits
from ae_jax.methods import observations, penalties
from ae_jax.methods.parts.shown import Shown
from ae_jax.recipes import greedy


@dataclasses.dataclass(frozen=True)
class StackConfig(Config):
    """Options of photographs, their patches, and a stack of layers with few units active."""

    dataset: str = "photos"
    """Of three photographs, one to test; or photos11, of eleven, three to test."""
    patch_size: Count = 12
    stride: Count = 3
    """From one patch of a photograph to the next, where they are averaged."""
    side: Count = 256
    """Of photographs that are restored, the middle of so many pixels."""
    widths: tuple[Count, ...] = (288, 288)
    """Units of the layers, upwards; not swept."""
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"
    """Of the units. Those of Xie, Xu and Chen are sigmoid."""
    scale: Annotated[float, POSITIVE] = 0.1
    """What counts as 1 of the deviation from a patch's mean: about that of photographs."""
    sparsity_target: Annotated[float, BETWEEN] = 0.05
    """The mean activation of a unit, in the greedy training."""
    sparsity_weight: Annotated[float, NOT_NEGATIVE] = 0.01
    weight_decay: Annotated[float, NOT_NEGATIVE] = 1e-4
    layer_learning_rate: Annotated[float, POSITIVE] = 5e-3
    """Of the greedy training, at first; it falls to 0 as a half cosine."""
    learning_rate: Swept[float] = (2e-3,)
    """Of fine-tuning, likewise."""
    layer_steps: Count = 1000
    """For each layer."""
    steps: Count = 3000
    """Of fine-tuning the whole."""

    @property
    def more(self) -> bool:
        """Whether the photographs are eleven.

        Raises:
          InputError: if the data are no whole photographs.
        """
        if self.dataset not in ("photos", "photos11"):
            raise InputError(f"whole photographs are photos or photos11, and not {self.dataset!r}")
        return self.dataset == "photos11"


def fine_tuned(
    config: StackConfig,
    name: str,
    shown: Shown,
    splits: Splits,
    values: Mapping[str, Any],
) -> tuple[greedy.Stack, Sweep]:
    """Trains layers greedily, each to undo what the stack is shown, and then the whole of them.

    Args:
      config: of the experiment.
      name: the experiment's.
      shown: what is done to patches.
      splits: patches.
      values: hyperparameters by name, one value or several.

    Returns:
      The layers as greedy training left them, and the whole; both of the same lanes.

    Raises:
      InputError: if there is no layer, or as `training.run`.
      SystemExit: as `sweep`.

    Reference:
      Xie, Xu and Chen (2012), Image Denoising and Inpainting with Deep Neural Networks, section
      2.3.
    """
    decay = penalties.weight_decay(config.weight_decay)
    numbers = config.sparsity_weight, config.sparsity_target
    few = penalties.sparsity(*numbers, activation=config.activation)
    common = {"reconstruction": observations.squared_error(), "shown": shown}
    units = {"activation": config.activation, "penalties": [few, decay]}
    layers = greedy.autoencoder_layers(config.widths, splits.image_shape, **units, **common)
    if not layers:
        raise InputError("--widths has no layer: give one, or several")
    whole = methods.autoencoder(
        *greedy.networks(layers), penalties=[decay], evaluated="shown", **common
    )
    lanes = lanes_of(config, values)
    check(whole, lanes, splits=splits, batch_size=config.batch_size)
    out = cli.directory(config, name)
    options = run_options(config, splits) | {"experiment": name}

    def run(trainer: Callable, what: Any, lanes: Any, steps: int, part: str, **more: Any) -> Any:
        more |= {"schedules": [training.warmup_cosine(steps)], **options}
        return trainer(what, splits.train, lanes, steps, out / part, **more)

    own = [{**lane, "learning_rate": config.layer_learning_rate} for lane in lanes]
    stack = run(greedy.train, layers, own, config.layer_steps, "layers")
    complete(stack.results[-1])
    result = run(training.run, whole, lanes, config.steps, "whole", start=stack.start)
    complete(result)
    return stack, Sweep(result, out)
