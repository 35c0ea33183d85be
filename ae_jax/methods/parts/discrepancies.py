"""What a generator lowers to match the data: discrepancies of two samples.

All of them take the same place; their numbers are hyperparameters that can be swept, in the
units of what they are shown.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import jax.numpy as jnp

from ae_jax import losses
from ae_jax.core import COUNT, POSITIVE, Array, Domain, HParams, InputError, require, traced

#: Of how many examples at most, evenly spaced, pairs are compared in a whole data set.
COMPARED = 1000


class Between(Protocol):
    """How far two samples are from each other, differentiable in both."""

    def __call__(
        self, key: Array, x: Array, y: Array, hparams: HParams, present: Array | None = None
    ) -> Array:
        """x and y [N, D], of which rows may be padding where bool [N] is False -> scalar."""


class Discrepancy(NamedTuple):
    """A discrepancy of two samples.

    Attributes:
      hparams: its traced hyperparameters and their defaults.
      between: its value; the key is for what it draws.
      domains: the values that each of the hyperparameters may take.
    """

    hparams: Mapping[str, float]
    between: Between
    domains: Mapping[str, Domain] = {}


def mmd(
    variances: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    scale: float = 1.0,
    root: bool = True,
    unbiased: bool = False,
) -> Discrepancy:
    """Maximum mean discrepancy of a mixture of Gaussian kernels, swept as `kernel_scale`.

    Args:
      variances: of the kernels exp(-|x - y|^2 / (2 s)). Those of the paper for handwritten
        digits, 2 to 80 in squared units of the pixels, come to 0.02 to 0.8 of the mean squared
        distance of two images.
      scale: multiplies them all.
      root: whether it is lowered, or its square. The root's gradient does not vanish as the
        samples come nearer, but at a match.
      unbiased: whether the square leaves out each point's kernel with itself. It may then be
        negative, as the mean over samples of one distribution is 0.

    Raises:
      InputError: if there is no variance, one is not positive, or the root is to be unbiased.

    Reference:
      Li, Swersky and Zemel (2015), Generative Moment Matching Networks.
    """
    losses.gaussian_mixture_kernel(variances)
    if root and unbiased:
        raise InputError("the unbiased square may be negative and has no root: use root=False")

    def between(
        key: Array, x: Array, y: Array, hparams: HParams, present: Array | None = None
    ) -> Array:
        widths = hparams["kernel_scale"] * jnp.asarray(variances, jnp.result_type(float))
        kernel, masks = losses.gaussian_mixture_kernel(widths), {"x_present": present}
        masks["y_present"] = present
        if root:
            return losses.mmd(x, y, kernel, **masks)
        return losses.mmd2(x, y, kernel, unbiased, **masks)

    return Discrepancy(**traced(kernel_scale=(scale, POSITIVE)), between=between)


def inverse_multiquadric(
    scales: Sequence[float] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
    scale: float = 1.0,
    unbiased: bool = True,
) -> Discrepancy:
    """Squared maximum mean discrepancy of kernels c / (c + |x - y|^2), whose tails are heavy.

    Args:
      scales: each c in units of 2 Z, the mean squared distance of two draws of N(0, I); the
        kernels are summed.
      scale: multiplies them all; swept as `kernel_scale`.
      unbiased: as for `mmd`.

    Raises:
      InputError: if there is no scale, or one is not positive.

    Reference:
      Tolstikhin et al. (2018), Wasserstein Auto-Encoders, section 4, and the authors' code for the
      seven scales.
    """
    losses.inverse_multiquadric_mixture_kernel(scales)

    def between(
        key: Array, x: Array, y: Array, hparams: HParams, present: Array | None = None
    ) -> Array:
        unit = 2 * x.shape[1] * jnp.asarray(scales, jnp.result_type(float))
        kernel = losses.inverse_multiquadric_mixture_kernel(hparams["kernel_scale"] * unit)
        return losses.mmd2(x, y, kernel, unbiased, x_present=present, y_present=present)

    return Discrepancy(**traced(kernel_scale=(scale, POSITIVE)), between=between)


def sliced_wasserstein(directions: int = 32) -> Discrepancy:
    """Squared Wasserstein distance along random directions, others in every step.

    Args:
      directions: how many.

    Raises:
      InputError: if there is no direction.

    Reference:
      Deshpande, Zhang and Schwing (2018), Generative Modeling using the Sliced Wasserstein
      Distance.
    """
    require(COUNT, directions=directions)

    def between(
        key: Array, x: Array, y: Array, hparams: HParams, present: Array | None = None
    ) -> Array:
        drawn = losses.random_directions(key, directions, x.shape[1])
        return losses.sliced_wasserstein(x, y, drawn, present=present)

    return Discrepancy({}, between)


def sinkhorn(epsilon: float = 0.02, iterations: int = 20) -> Discrepancy:
    """Sinkhorn divergence at the cost |x - y|^2, swept as `sinkhorn_epsilon`.

    Args:
      epsilon: the weight of the entropy, in squared units.
      iterations: static; the smaller epsilon, the more it takes.

    Raises:
      InputError: if there is no iteration.

    Reference:
      Genevay, Peyre and Cuturi (2018), Learning Generative Models with Sinkhorn Divergences;
      Feydy et al. (2019), Interpolating between Optimal Transport and MMD using Sinkhorn
      Divergences.
    """
    require(COUNT, iterations=iterations)

    def between(
        key: Array, x: Array, y: Array, hparams: HParams, present: Array | None = None
    ) -> Array:
        epsilon = hparams["sinkhorn_epsilon"]
        return losses.sinkhorn_divergence(x, y, epsilon, iterations, present=present)

    return Discrepancy(**traced(sinkhorn_epsilon=(epsilon, POSITIVE)), between=between)


def moments() -> Discrepancy:
    """Squared differences of means and of deviations, in units of the deviations themselves.

    It costs nearly nothing, sees no more than that, and no scale of what it is shown lowers it.
    """

    def between(
        key: Array, x: Array, y: Array, hparams: HParams, present: Array | None = None
    ) -> Array:
        return losses.moment_distance(x, y, present=present)

    return Discrepancy({}, between)


def between_rows(
    discrepancy: Discrepancy,
    key: Array,
    x: Array,
    y: Array,
    hparams: HParams,
    present: Array | None = None,
) -> Array:
    """A discrepancy of two samples, of which at most COMPARED rows are seen with a `present`."""
    if present is None:
        return discrepancy.between(key, x, y, hparams)
    rows = compared(x)
    return discrepancy.between(key, x[rows], y[rows], hparams, present[rows])


def compared(rows: Array) -> slice:
    """At most COMPARED of the rows, evenly spaced."""
    return slice(None, None, -(-len(rows) // COMPARED))
