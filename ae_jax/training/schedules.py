"""Schedules: hyperparameters that change with the step, each lane with its own numbers.

The engine hands a method the scheduled values, so any traced hyperparameter can be
scheduled (a learning rate, beta, a noise level) and no optimizer has to know.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import (
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    Array,
    Domain,
    HParams,
    InputError,
    require,
    require_each,
)


class Schedule(NamedTuple):
    """A change of hyperparameters over steps.

    Attributes:
      hparams: the schedule's own traced hyperparameters and their defaults: they can be
        swept like a method's.
      apply: (step int, hparams) -> hparams, with the values of this step. Its numbers are best
        in `hparams`: what stands there is part of what makes a run this run.
      domains: the values that each of `hparams` may take, as a method's.
    """

    hparams: Mapping[str, float]
    apply: Callable[[Array, HParams], HParams]
    domains: Mapping[str, Domain] = {}


def warmup_cosine(
    steps: int, warmup_steps: float = 0, final_fraction: float = 0.0, name: str = "learning_rate"
) -> Schedule:
    """Linear warm-up from 0 over `warmup_steps`, then a half cosine down to a fraction.

    Args:
      steps: the step at which the cosine ends; swept as `NAME_cosine_steps`.
      warmup_steps: swept as `NAME_warmup_steps`; step w is the first at the full value.
      final_fraction: what is left at the end; swept as `NAME_final_fraction`.
      name: the hyperparameter that is scheduled, NAME.

    Reference:
      Loshchilov and Hutter (2017), SGDR, equation 5, without restarts.
    """
    own = {"warmup_steps": warmup_steps, "final_fraction": final_fraction, "cosine_steps": steps}

    def apply(step: Array, hparams: HParams) -> HParams:
        warmup, last, end = (hparams[f"{name}_{number}"] for number in own)
        step = jnp.asarray(step, jnp.result_type(float))
        rising = jnp.minimum(step / jnp.maximum(warmup, 1.0), 1.0)
        done = jnp.clip((step - warmup) / jnp.maximum(end - warmup, 1.0), 0.0, 1.0)
        cosine = last + (1.0 - last) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
        factor = jnp.where(step < warmup, rising, cosine)
        return {**hparams, name: hparams[name] * factor}

    domains = {"warmup_steps": NOT_NEGATIVE, "final_fraction": FRACTION, "cosine_steps": POSITIVE}
    return Schedule(
        {f"{name}_{number}": value for number, value in own.items()},
        apply,
        {f"{name}_{number}": domain for number, domain in domains.items()},
    )


def warmup(steps: float, name: str = "learning_rate") -> Schedule:
    """Linear rise from 0 over the first steps, and the full value from then on.

    Args:
      steps: the first step at the full value; swept as `NAME_warmup_steps`.
      name: the hyperparameter that is scheduled, NAME.
    """

    def apply(step: Array, hparams: HParams) -> HParams:
        step, whole = jnp.asarray(step, jnp.result_type(float)), hparams[f"{name}_warmup_steps"]
        risen = jnp.where(step < whole, step / jnp.maximum(whole, 1.0), 1.0)
        return {**hparams, name: hparams[name] * risen}

    number = f"{name}_warmup_steps"
    return Schedule({number: steps}, apply, {number: NOT_NEGATIVE})


def ramp(steps: float, name: str, start: float = 0.0) -> Schedule:
    """Linear change to a hyperparameter's own value, which it has from then on: beta, a capacity.

    Args:
      steps: the first step at that value; swept as `NAME_ramp_steps`.
      name: the hyperparameter that is scheduled, NAME.
      start: its value at the first step; swept as `NAME_ramp_start`.

    Raises:
      InputError: if it is to start at less than 0, where no weight or capacity may be.

    Reference:
      Burgess et al. (2018), Understanding disentangling in beta-VAE, section 5, for a capacity.
    """
    require(NOT_NEGATIVE, start=start)

    def apply(step: Array, hparams: HParams) -> HParams:
        whole, first = (hparams[f"{name}_ramp_{number}"] for number in ("steps", "start"))
        step, end = jnp.asarray(step, jnp.result_type(float)), hparams[name]
        on_the_way = first + (end - first) * (step / jnp.maximum(whole, 1.0))
        return {**hparams, name: jnp.where(step < whole, on_the_way, end)}

    return Schedule(
        {f"{name}_ramp_steps": steps, f"{name}_ramp_start": start},
        apply,
        {f"{name}_ramp_steps": NOT_NEGATIVE, f"{name}_ramp_start": NOT_NEGATIVE},
    )


def geometric(steps: float, name: str, start: float = 1.0) -> Schedule:
    """Change by one factor at every step to a hyperparameter's own value: a temperature.

    It has that value from then on. From 1, with steps = log(1 / value) / r, it is
    max(value, exp(-r t)), as relaxed categories are annealed; an encoder's relaxation alone is the
    `temperature`, the prior's is `prior_temperature`.

    Args:
      steps: the first step at that value; swept as `NAME_geometric_steps`.
      name: the hyperparameter that is scheduled, NAME.
      start: its value at the first step; swept as `NAME_geometric_start`.

    Raises:
      InputError: if it is to start at 0 or less.

    Reference:
      Jang, Gu and Poole (2017), Categorical Reparameterization with Gumbel-Softmax, section 4.
    """
    require(POSITIVE, start=start)

    def apply(step: Array, hparams: HParams) -> HParams:
        whole, first = (hparams[f"{name}_geometric_{number}"] for number in ("steps", "start"))
        step, end = jnp.asarray(step, jnp.result_type(float)), hparams[name]
        on_the_way = first * (end / first) ** (step / jnp.maximum(whole, 1.0))
        return {**hparams, name: jnp.where(step < whole, on_the_way, end)}

    return Schedule(
        {f"{name}_geometric_steps": steps, f"{name}_geometric_start": start},
        apply,
        {f"{name}_geometric_steps": NOT_NEGATIVE, f"{name}_geometric_start": POSITIVE},
    )


def all_rates(schedule: Schedule) -> Schedule:
    """A schedule of the learning rate, for the learning rates of all moves of a game alike.

    An encoder that went on against a discriminator alone would leave its decoder behind.

    Args:
      schedule: of `learning_rate`, by factors, such as `warmup_cosine`; every hyperparameter whose
        name ends so is multiplied by the same ones.
    """

    def apply(step: Array, hparams: HParams) -> HParams:
        factor = schedule.apply(step, {**hparams, "learning_rate": 1.0})["learning_rate"]
        rates = [name for name in hparams if name.endswith("learning_rate")]
        return {**hparams, **{name: factor * hparams[name] for name in rates}}

    return schedule._replace(apply=apply)


def step_decay(every: float, factor: float = 0.1, name: str = "learning_rate") -> Schedule:
    """Multiplies by `factor` after every `every` steps.

    Args:
      every: steps between two drops; swept as `NAME_decay_every`.
      factor: swept as `NAME_decay_factor`.
      name: the hyperparameter that is scheduled, NAME.
    """

    def apply(step: Array, hparams: HParams) -> HParams:
        step = jnp.asarray(step, jnp.result_type(float))
        drops = jnp.floor(step / hparams[f"{name}_decay_every"])
        return {**hparams, name: hparams[name] * hparams[f"{name}_decay_factor"] ** drops}

    return Schedule(
        {f"{name}_decay_every": every, f"{name}_decay_factor": factor},
        apply,
        {f"{name}_decay_every": POSITIVE, f"{name}_decay_factor": NOT_NEGATIVE},
    )


def numbers(schedules: Sequence[Schedule], hparams: Mapping[str, float]) -> dict[str, float]:
    """Returns the schedules' own hyperparameters and their defaults.

    Args:
      schedules: applied in order.
      hparams: the method's, and their defaults.

    Raises:
      InputError: if one is no schedule, two share a name, or one has a name of the method's, or
        schedules a hyperparameter that the method does not have.
    """
    require_each(Schedule, 'training.ramp(1000, "beta")', schedules=schedules)
    own: dict[str, float] = {}
    for schedule in schedules:
        if shared := sorted(schedule.hparams.keys() & (own.keys() | hparams.keys())):
            raise InputError(
                f"two schedules, or one and the method, share the hyperparameter {shared[0]}: "
                "give each schedule another hyperparameter"
            )
        own |= schedule.hparams
    known = dict.fromkeys({**hparams, **own}, 0.0)  # whatever they are
    for schedule in schedules:
        try:
            scheduled = jax.eval_shape(schedule.apply, 0, known)
        except InputError:
            raise
        except KeyError as error:
            raise InputError(
                f"a schedule needs the hyperparameter {error.args[0]}, which the method does not "
                f"have: its own are {', '.join(sorted(hparams))}"
            ) from error
        except (TypeError, ValueError) as error:
            raise InputError(f"a schedule fails: {str(error).splitlines()[0]}") from error
        if new := sorted(scheduled.keys() ^ known.keys()):
            raise InputError(
                f"a schedule adds or drops the hyperparameter {new[0]}: it may only change those "
                "that there are"
            )
    return own
