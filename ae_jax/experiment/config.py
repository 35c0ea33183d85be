"""What an experiment is told: its options, and the lanes that they come to."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ae_jax import cli, training
from ae_jax.cli import Count, Swept


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "digits"
    """A data set that ae_jax.data knows, npz:FILE or images:FOLDER."""
    value_range: tuple[float, float] | None = None
    """The values of images that stand for 0 and 1, if not what their type says."""
    learning_rate: Swept[float] = (1e-3,)
    seeds: Count = 3
    """Trains each configuration with seeds 0, 1, ..."""
    steps: Count = 3000
    batch_size: Count = 64


def lanes(
    config: Config, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Returns the lanes of some values and the configuration's learning rates and seeds.

    Args:
      config: of the experiment.
      values: hyperparameters by name, one value or several, of which the product is meant; or
        several such settings, one after the other, that are no product.

    Raises:
      InputError: as `training.grid`.
    """
    settings = [values] if isinstance(values, Mapping) else values
    common, seeds = {"learning_rate": config.learning_rate}, {"seed": range(config.seeds)}
    return [lane for own in settings for lane in training.grid(**{**common, **own, **seeds})]


def varied(config: Config, *names: str) -> list[str]:
    """Returns those of a configuration's options that have several values."""
    return [name for name in names if len(getattr(config, name)) > 1]
