"""Objectives of adversarial games, of a critic's logits; and how steep a critic is.

A critic's logit is large where it takes an example for a real one. Where it gives several for
an example, [B, ...] as a patch discriminator does, their losses are averaged.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched, sum_dimensions, widened

#: x [B, ...] -> logits [B, ...]
Critic = Callable[[Array], Array]
#: Elementwise, of logits.
Score = Callable[[Array], Array]


class DiscriminatorLoss(Protocol):
    """What the discriminator lowers."""

    def __call__(self, real: Array, fake: Array, smoothing: Array | float = 0.0) -> Array:
        """Logits of real and of generated examples, [B, ...] both -> [B].

        `smoothing` of each real example counts as a generated one: one-sided label smoothing.
        """


class Adversarial(NamedTuple):
    """The losses of two players, pure functions of logits; each lowers its own.

    Attributes:
      discriminator: (real [B, ...], fake [B, ...], smoothing=0) -> [B]; raises InputError
        where the shapes differ.
      generator: (real, fake) -> [B]. Real logits may be None where it is not relativistic.
      relativistic: whether only differences of real and generated examples' logits count, so
        that the generator's loss needs both.
    """

    discriminator: DiscriminatorLoss
    generator: Callable[[Array | None, Array], Array]
    relativistic: bool = False


def minimax() -> Adversarial:
    """The original game: D's mean loss is at best log 4 - 2 JSD, and G raises it.

    The discriminator lowers -log D(x) - log(1 - D(G(z))), D = sigmoid(logit), and the generator
    log(1 - D(G(z))), whose slope vanishes where the discriminator is sure.

    Reference:
      Goodfellow et al. (2014), Generative Adversarial Nets, equation 1.
    """
    return _of_scores(_LOGISTIC, lambda fake: -jax.nn.softplus(fake))


def non_saturating() -> Adversarial:
    """The original discriminator, and a generator that lowers -log D(G(z)).

    Reference:
      Goodfellow et al. (2014), Generative Adversarial Nets, section 3.
    """
    return _of_scores(_LOGISTIC, _LOGISTIC.real)


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Adversarial:
    """Half the squared distances of logits from targets.

    Args:
      a: the discriminator's target for generated examples.
      b: its target for real ones.
      c: the generator's. With (-1, 1, 0) the generator lowers a Pearson chi-square divergence,
        of p + q and 2 q, against the best discriminator.

    Reference:
      Mao et al. (2017), Least Squares Generative Adversarial Networks, equations 2, 8 and 9.
    """
    scores = _Scores(lambda t: 0.5 * (t - b) ** 2, lambda t: 0.5 * (t - a) ** 2)
    return _of_scores(scores, lambda fake: 0.5 * (fake - c) ** 2)


def hinge() -> Adversarial:
    """Only logits on the wrong side of the margins 1 and -1 cost the discriminator.

    Its mean loss is at best 2 - 2 TV, with the total variation distance TV.

    Reference:
      Lim and Ye (2017), Geometric GAN; Miyato et al. (2018), Spectral Normalization for
      Generative Adversarial Networks, equations 16 and 17.
    """
    scores = _Scores(lambda t: jax.nn.relu(1 - t), lambda t: jax.nn.relu(1 + t))
    return _of_scores(scores, lambda fake: -fake)


def wasserstein() -> Adversarial:
    """The difference of mean logits: minus the Wasserstein distance at best.

    At best among critics of slopes up to 1, which something else has to see to: a gradient
    penalty, spectral normalisation.

    Reference:
      Arjovsky, Chintala and Bottou (2017), Wasserstein GAN, equations 2 and 3.
    """
    return _of_scores(_Scores(lambda t: -t, lambda t: t), lambda fake: -fake)


def paired(base: Adversarial | None = None) -> Adversarial:
    """Each real example is compared with one generated example.

    The discriminator lowers the base's mean loss on the difference of a pair's logits, as that
    of a real example, and on minus the difference, as that of a generated one: for the logistic
    losses -log sigmoid(r - f). The generator lowers the same with the two exchanged. Labels that
    are smoothed at a level s exchange a pair with weight s / 2.

    Args:
      base: whose discriminator's loss it is; `non_saturating` where None.

    Reference:
      Jolicoeur-Martineau (2018), The relativistic discriminator, algorithm 1; Huang et al.
      (2024), The GAN is dead; long live the GAN!, section 2.
    """
    base = non_saturating() if base is None else base

    def discriminator(real: Array, fake: Array, smoothing: Array | float = 0.0) -> Array:
        real, fake = matched("real fake", real, fake)
        return 0.5 * base.discriminator(real - fake, fake - real, smoothing)

    return Adversarial(discriminator, _exchanged(discriminator), True)


def averaged(base: Adversarial | None = None) -> Adversarial:
    """Each example is compared with the mean of the other side: the relativistic average.

    An example's loss depends on the others of its batch.

    Args:
      base: whose discriminator's loss it is, of logits relative to that mean;
        `non_saturating` where None.

    Reference:
      Jolicoeur-Martineau (2018), The relativistic discriminator, algorithm 2.
    """
    base = non_saturating() if base is None else base

    def discriminator(real: Array, fake: Array, smoothing: Array | float = 0.0) -> Array:
        real, fake = matched("real fake", real, fake)
        return base.discriminator(real - jnp.mean(fake), fake - jnp.mean(real), smoothing)

    return Adversarial(discriminator, _exchanged(discriminator), True)


#: The objectives that need no argument, by name.
OBJECTIVES: Mapping[str, Callable[[], Adversarial]] = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "least_squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
    "paired": paired,
    "averaged": averaged,
}


class _Scores(NamedTuple):
    """What a logit costs the discriminator, of a real example and of a generated one."""

    real: Score
    fake: Score


# -log sigmoid(t) and -log(1 - sigmoid(t))
_LOGISTIC = _Scores(lambda t: jax.nn.softplus(-t), jax.nn.softplus)


def _exchanged(discriminator: DiscriminatorLoss) -> Callable[[Array | None, Array], Array]:
    def generator(real: Array | None, fake: Array) -> Array:
        if real is None:
            raise InputError("a relativistic generator needs the logits of real examples")
        real, fake = matched("real fake", real, fake)
        return discriminator(fake, real)

    return generator


def _of_scores(scores: _Scores, lowered: Score) -> Adversarial:
    def discriminator(real: Array, fake: Array, smoothing: Array | float = 0.0) -> Array:
        real, fake = matched("real fake", real, fake)
        s = jnp.asarray(smoothing, real.dtype)
        costs = (1 - s) * scores.real(real) + s * scores.fake(real) + scores.fake(fake)
        return _mean_dimensions(costs)

    def generator(real: Array | None, fake: Array) -> Array:
        (fake,) = matched("fake", fake)
        return _mean_dimensions(lowered(fake))

    return Adversarial(discriminator, generator)


def _mean_dimensions(values: Array) -> Array:
    if values.ndim == 1:
        return values
    return sum_dimensions(values) / math.prod(values.shape[1:])


def squared_slope(critic: Critic, x: Array) -> Array:
    """Squared norm of a critic's gradient by each example: twice the R1 and R2 penalties.

    Args:
      critic: x [B, ...] -> logits [B, ...], not their sigmoids; each example's depend on it
        alone. The mean is taken of several logits.
      x: [B, ...], real examples for R1, generated ones for R2.

    Returns:
      [B], summed over an example's dimensions.

    Raises:
      InputError: if there is not a logit for each example.

    Reference:
      Mescheder, Geiger and Nowozin (2018), Which Training Methods for GANs do actually
      Converge?, equations 9 and 10.
    """
    (x,) = matched("x", x, widen=False)

    def total(x: Array) -> Array:
        logits = critic(x)
        if logits.shape[:1] != x.shape[:1]:
            raise InputError(
                f"a critic must give logits [B, ...] of x [B, ...], got {list(logits.shape)} of "
                f"{list(x.shape)}"
            )
        return jnp.sum(_mean_dimensions(widened(logits)))

    return sum_dimensions(widened(jax.grad(total)(x)) ** 2)


def slope_penalty(
    critic: Critic, x: Array, target: Array | float = 1.0, one_sided: bool = False
) -> Array:
    """Squared difference of the norm of a critic's gradient from a target: WGAN-GP's penalty.

    Finite, and of finite gradient, where the norm is 0: it is then target^2, and flat.

    Args:
      critic: as for `squared_slope`.
      x: [B, ...], points between real and generated examples; see `between`.
      target: scalar, the wanted norm.
      one_sided: smaller norms cost nothing.

    Returns:
      [B].

    Raises:
      InputError: if there is not a logit for each example.

    Reference:
      Gulrajani et al. (2017), Improved Training of Wasserstein GANs, equation 3.
    """
    square = squared_slope(critic, x)
    flat = square == 0
    norm = jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, square)))
    # (|grad D(x)| - target)^2
    excess = norm - jnp.asarray(target, norm.dtype)
    return (jax.nn.relu(excess) if one_sided else excess) ** 2


def between(real: Array, fake: Array, share: Array) -> Array:
    """Points on the lines from generated to real examples.

    Args:
      real: [B, ...].
      fake: [B, ...].
      share: [B], of the real example in each point.

    Returns:
      [B, ...], share real + (1 - share) fake.

    Raises:
      InputError: if the shapes differ, or there is not one share for each example.

    Reference:
      Gulrajani et al. (2017), Improved Training of Wasserstein GANs, algorithm 1, line 6.
    """
    real, fake = matched("real fake", real, fake, widen=False)
    if jnp.shape(share) != real.shape[:1]:
        raise InputError(f"share must be [{real.shape[0]}], one for each example")
    share = jnp.asarray(share, real.dtype).reshape(-1, *[1] * (real.ndim - 1))
    return share * real + (1 - share) * fake
