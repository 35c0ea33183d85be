"""Schedules: hyperparameters that change with the step, each lane with its own numbers.

The engine hands a method the scheduled values, so any traced hyperparameter can be
scheduled (a learning rate, beta, a noise level) and no optimizer has to know.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp

from ae_jax.core import Array, HParams


class Schedule(NamedTuple):
    """A change of hyperparameters over steps.

    Attributes:
      hparams: the schedule's own traced hyperparameters and their defaults: they can be
        swept like a method's.
      apply: (step int, hparams) -> hparams, with the values of this step.
    """

    hparams: Mapping[str, float]
    apply: Callable[[Array, HParams], HParams]


def warmup_cosine(
    steps: int, warmup_steps: float = 0, final_fraction: float = 0.0, name: str = "learning_rate"
) -> Schedule:
    """Linear warm-up from 0 over `warmup_steps`, then a half cosine down to a fraction.

    Args:
      steps: the step at which the cosine ends.
      warmup_steps: swept as `warmup_steps`; step w is the first at the full value.
      final_fraction: what is left at the end; swept as `final_fraction`.
      name: the hyperparameter that is scheduled.

    Reference:
      Loshchilov and Hutter (2017), SGDR, equation 5, without restarts.
    """

    def apply(step: Array, hparams: HParams) -> HParams:
        warmup, last = hparams["warmup_steps"], hparams["final_fraction"]
        step = jnp.asarray(step, jnp.result_type(float))
        rising = jnp.minimum(step / jnp.maximum(warmup, 1.0), 1.0)
        done = jnp.clip((step - warmup) / jnp.maximum(steps - warmup, 1.0), 0.0, 1.0)
        cosine = last + (1.0 - last) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
        factor = jnp.where(step < warmup, rising, cosine)
        return {**hparams, name: hparams[name] * factor}

    return Schedule({"warmup_steps": warmup_steps, "final_fraction": final_fraction}, apply)


def step_decay(every: float, factor: float = 0.1, name: str = "learning_rate") -> Schedule:
    """Multiplies by `factor` after every `every` steps.

    Args:
      every: steps between two drops; swept as `decay_every`.
      factor: swept as `decay_factor`.
      name: the hyperparameter that is scheduled.
    """

    def apply(step: Array, hparams: HParams) -> HParams:
        step = jnp.asarray(step, jnp.result_type(float))
        drops = jnp.floor(step / hparams["decay_every"])
        return {**hparams, name: hparams[name] * hparams["decay_factor"] ** drops}

    return Schedule({"decay_every": every, "decay_factor": factor}, apply)
