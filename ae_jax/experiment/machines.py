"""What experiments with Boltzmann machines share: options, and how likely data are."""

import dataclasses

import jax

from ae_jax.cli import Count
from ae_jax.core import Array
from ae_jax.experiment.config import Config
from ae_jax.experiment.models import Model
from ae_jax.methods import boltzmann


@dataclasses.dataclass(frozen=True)
class MachineConfig(Config):
    """Options of chains and of annealed importance sampling."""

    chains: Count = 100
    """Of PCD, and of PT at all of its temperatures together."""
    annealing_chains: Count = 100
    """Of AIS; reverse AIS has one for each image."""
    annealing_temperatures: Count = 1000
    test_images: Count = 500
    """Whose likelihood is measured, at most."""


def assessed(config: MachineConfig, model: Model, train: Array, v: Array) -> boltzmann.Assessment:
    """Says how likely images are under a lane's machine, as `boltzmann.assess` does.

    Args:
      config: how long to anneal.
      model: a lane of restricted Boltzmann machines of zeros and ones; its seed gives the key.
      train: [N, V], data whose means annealing starts at.
      v: [B, V].
    """
    return boltzmann.assess(
        jax.random.key(model.row["seed"]),
        model.state.params,
        boltzmann.base_of(model.state.params, train),
        v,
        chains=config.annealing_chains,
        temperatures=config.annealing_temperatures,
    )
