"""What keeps a discriminator in check: penalties of its slope, instance noise, smoothed labels.

They combine freely, with each other and with every objective. A factory's first number is its
weight or level; all its numbers are hyperparameters that can be swept.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import corruptions
from ae_jax.core import NOT_NEGATIVE, Array, Domain, HParams, InputError, Network, traced
from ae_jax.losses import adversarial
from ae_jax.losses.adversarial import Critic
from ae_jax.methods.learners.composing import joined


class Regulariser(NamedTuple):
    """A term of the discriminator's loss, or a change to what it is shown or told.

    Attributes:
      hparams: its traced hyperparameters and their defaults.
      penalty: (key, critic, real [B, ...], fake [B, ...], hparams) -> [B], weighted, which is
        added to the discriminator's loss. The examples are those that it was shown.
      shown: (key, x [B, ...], hparams) -> [B, ...], what the discriminator is shown of real or
        of generated examples, in the moves of both players. Noise differs with the key.
      smoothing: hparams -> scalar, for the objective's discriminator.
      check: (discriminator, x [B, ...]) raises InputError where it does not hold for the
        network; x gives shapes.
      domains: the values that each of the hyperparameters may take.
    """

    hparams: Mapping[str, float]
    penalty: Callable[[Array, Critic, Array, Array, HParams], Array] = (
        lambda key, critic, real, fake, hparams: jnp.zeros(
            real.shape[:1], np.promote_types(real.dtype, np.float32)
        )
    )
    shown: Callable[[Array, Array, HParams], Array] = lambda key, x, hparams: x
    smoothing: Callable[[HParams], Array | float] = lambda hparams: 0.0
    check: Callable[[Network, Array], None] = lambda discriminator, x: None
    domains: Mapping[str, Domain] = {}


def together(*regularisers: Regulariser) -> Regulariser:
    """Returns several as one: the sum of penalties, noise on noise, labels smoothed by each.

    Raises:
      InputError: if two share a hyperparameter.
    """

    def keys(key: Array) -> Array:
        return jax.random.split(key, len(regularisers))

    def penalty(key: Array, critic: Critic, real: Array, fake: Array, hparams: HParams) -> Array:
        terms = [
            each.penalty(own, critic, real, fake, hparams)
            for each, own in zip(regularisers, keys(key), strict=True)
        ]
        return functools.reduce(
            jnp.add, terms, Regulariser({}).penalty(key, critic, real, fake, {})
        )

    def shown(key: Array, x: Array, hparams: HParams) -> Array:
        for each, own in zip(regularisers, keys(key), strict=True):
            x = each.shown(own, x, hparams)
        return x

    def smoothing(hparams: HParams) -> Array | float:
        level = 0.0
        for each in regularisers:
            level = level + each.smoothing(hparams) * (1 - level)
        return level

    def check(discriminator: Network, x: Array) -> None:
        for each in regularisers:
            each.check(discriminator, x)

    return Regulariser(
        **joined(*regularisers), penalty=penalty, shown=shown, smoothing=smoothing, check=check
    )


def gradient_penalty(
    weight: float = 10.0, target: float = 1.0, one_sided: bool = False
) -> Regulariser:
    """Slopes near a target between real and generated examples, one point of each pair.

    Swept as `gradient_penalty_weight` and `gradient_penalty_target`.

    Args:
      weight: lambda.
      target: the wanted norm of the gradient.
      one_sided: smaller norms cost nothing.

    Returns:
      The regulariser, which refuses a discriminator of batch statistics.

    Reference:
      Gulrajani et al. (2017), Improved Training of Wasserstein GANs, equation 3, algorithm 1.
    """

    def penalty(key: Array, critic: Critic, real: Array, fake: Array, hparams: HParams) -> Array:
        wide = np.promote_types(real.dtype, np.float32)
        share = jax.random.uniform(key, real.shape[:1], wide)
        x = adversarial.between(real, fake, share)
        cost = adversarial.slope_penalty(critic, x, hparams["gradient_penalty_target"], one_sided)
        return hparams["gradient_penalty_weight"] * cost

    return Regulariser(
        **traced(
            gradient_penalty_weight=(weight, NOT_NEGATIVE),
            gradient_penalty_target=(target, NOT_NEGATIVE),
        ),
        penalty=penalty,
        check=_apart,
    )


def r1(weight: float = 10.0) -> Regulariser:
    """Half the squared slope on real examples; swept as `r1_weight`, the papers' gamma.

    Returns:
      The regulariser, which refuses a discriminator of batch statistics.

    Reference:
      Mescheder, Geiger and Nowozin (2018), Which Training Methods for GANs do actually
      Converge?, equation 9.
    """
    return _flat("r1_weight", weight, lambda real, fake: real)


def r2(weight: float = 10.0) -> Regulariser:
    """What `r1` is, on generated examples; swept as `r2_weight`.

    Returns:
      The regulariser, which refuses a discriminator of batch statistics.

    Reference:
      As for `r1`, equation 10.
    """
    return _flat("r2_weight", weight, lambda real, fake: fake)


def dragan(weight: float = 10.0, scale: float = 0.5) -> Regulariser:
    """Slopes near 1 around real examples; swept as `dragan_weight` and `dragan_scale`.

    Args:
      weight: lambda.
      scale: of the normal noise that is added to real examples, in units of the standard
        deviation of all numbers in the batch.

    Returns:
      The regulariser, which refuses a discriminator of batch statistics.

    Reference:
      Kodali et al. (2017), On Convergence and Stability of GANs, section 2; the scale is that
      of the authors' code.
    """

    def penalty(key: Array, critic: Critic, real: Array, fake: Array, hparams: HParams) -> Array:
        wide = real.astype(np.promote_types(real.dtype, np.float32))
        level = jax.lax.stop_gradient(hparams["dragan_scale"] * jnp.std(wide))
        x = corruptions.gaussian_noise(key, real, level)
        return hparams["dragan_weight"] * adversarial.slope_penalty(critic, x)

    return Regulariser(
        **traced(dragan_weight=(weight, NOT_NEGATIVE), dragan_scale=(scale, NOT_NEGATIVE)),
        penalty=penalty,
        check=_apart,
    )


def drift(weight: float = 1e-3) -> Regulariser:
    """The squared logit of real examples, of which `wasserstein` leaves the level open.

    Swept as `drift_weight`.

    Reference:
      Karras et al. (2018), Progressive Growing of GANs, appendix A.1.
    """

    def penalty(key: Array, critic: Critic, real: Array, fake: Array, hparams: HParams) -> Array:
        # half the square of a distance from 0, on one side of the objective only
        cost = 2 * adversarial.least_squares(c=0.0).generator(None, critic(real))
        return hparams["drift_weight"] * cost

    return Regulariser(**traced(drift_weight=(weight, NOT_NEGATIVE)), penalty=penalty)


def instance_noise(level: float = 0.1) -> Regulariser:
    """Normal noise on whatever the discriminator is shown; swept as `instance_noise`.

    Args:
      level: its standard deviation, in units of the examples.

    Reference:
      Soenderby et al. (2017), Amortised MAP Inference for Image Super-resolution; Arjovsky and
      Bottou (2017), Towards Principled Methods for Training Generative Adversarial Networks,
      section 3.
    """
    return Regulariser(
        **traced(instance_noise=(level, NOT_NEGATIVE)),
        shown=lambda key, x, hparams: corruptions.gaussian_noise(key, x, hparams["instance_noise"]),
    )


def label_smoothing(level: float = 0.1) -> Regulariser:
    """So much of a real example counts as a generated one; swept as `label_smoothing`.

    Generated examples' labels are left alone. `wasserstein` has no labels: there real logits have
    the weight 1 - 2 level, so that all logits fall without end where `drift` does not hold them.

    Args:
      level: from 0 to 0.5, at which real labels say nothing.

    Reference:
      Salimans et al. (2016), Improved Techniques for Training GANs, section 3.4.
    """
    return Regulariser(
        **traced(label_smoothing=(level, Domain(0, 0.5))),
        smoothing=lambda hparams: hparams["label_smoothing"],
    )


def _flat(name: str, weight: float, where: Callable[[Array, Array], Array]) -> Regulariser:
    """Half the squared slope of the discriminator at real or generated examples."""

    def penalty(key: Array, critic: Critic, real: Array, fake: Array, hparams: HParams) -> Array:
        return 0.5 * hparams[name] * adversarial.squared_slope(critic, where(real, fake))

    return Regulariser(**traced(**{name: (weight, NOT_NEGATIVE)}), penalty=penalty, check=_apart)


def _apart(discriminator: Network, x: Array) -> None:
    params = jax.eval_shape(discriminator.init, jax.random.key(0), x)
    for path, _ in jax.tree_util.tree_leaves_with_path(params):
        names = [getattr(entry, "key", None) for entry in path]
        if "batch_stats" in names and names[-1] in ("mean", "var"):
            raise InputError(
                "a penalty of the discriminator's slope needs examples that are judged apart: use "
                "a discriminator without batch normalisation"
            )
