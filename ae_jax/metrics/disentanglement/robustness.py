"""How little a latent moves while the factor that it stands for is held."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.metrics.disentanglement._checks import Coded, coded, unless_unfit, varying


def irs(
    latents: Array,
    factors: Array,
    quantile: Array | float = 0.99,
    factor_sizes: Sequence[int] | None = None,
) -> Array:
    """Interventional robustness score; can be jitted.

    For each latent and factor: how far the latent is from its mean where the factor has one value,
    a quantile over examples, mean over values, as a fraction of its largest distance from the
    mean of all. 1 - that fraction for the best factor; the mean over latents by those
    largest distances.

    Args:
      latents: [N, Z].
      factors: int [N, K].
      quantile: of distances, interpolated; 1, the largest, in the paper.
      factor_sizes: how many values each factor has; as in `mig`.

    Returns:
      A scalar, at most 1, and around 0 or below it where no factor holds a latent. Factors with one
      value and latents with one value are left out (0 if none of either is left). It is high where
      few examples share a value. NaN as in `mig`.

    Raises:
      InputError: if the shapes or the factors' values do not fit, or the quantile is not from 0 to
        1.

    Reference:
      Suter et al., 2019, "Robustly disentangled causal mechanisms: validating deep representations
      for interventional robustness", section 4; the quantile as in Locatello et al., 2019.
    """
    if not isinstance(quantile, jax.core.Tracer) and not 0 <= quantile <= 1:
        raise InputError(f"a quantile is from 0 to 1, not {quantile}")
    examples = coded(latents, factors, factor_sizes)
    return _robustness(*examples, jnp.asarray(quantile, examples.latents.dtype))


@functools.partial(jax.jit, static_argnames="sizes")
def _robustness(latents: Array, factors: Array, sizes: tuple[int, ...], quantile: Array) -> Array:
    count, values = len(latents), max(sizes)
    centred = latents - latents[:1]  # a constant is 0, without rounding
    centred = centred - jnp.mean(centred, axis=0, keepdims=True)
    moves = varying(latents)
    largest = jnp.where(moves, jnp.max(jnp.abs(centred), axis=0), 0)

    def moved(factor: Array) -> Array:
        """How far each latent is from its mean at a value of one factor [N]: [Z]."""
        counts = jax.ops.segment_sum(jnp.ones_like(factor), factor, values)
        share = jnp.maximum(counts, 1).astype(centred.dtype)
        means = jax.ops.segment_sum(centred, factor, values) / share[:, None]
        away = jnp.abs(centred - means[factor])
        # by value, then by distance: those of a value are a stretch of rising distances
        columns = jnp.broadcast_to(factor[:, None], away.shape)
        _, away = jax.lax.sort((columns, away), dimension=0, num_keys=2)
        start = (jnp.cumsum(counts) - counts)[:, None]
        last = jnp.maximum(counts - 1, 0)[:, None]
        place = quantile * last.astype(away.dtype)
        below = jnp.clip(jnp.floor(place).astype(last.dtype), 0, last)

        def at(rank: Array) -> Array:
            return jnp.take_along_axis(away, jnp.clip(start + rank, 0, count - 1), axis=0)

        low, high = at(below), at(jnp.minimum(below + 1, last))
        found = low + (place - below.astype(place.dtype)) * (high - low)
        seen = (counts > 0)[:, None]
        return jnp.sum(jnp.where(seen, found, 0), axis=0) / jnp.sum(seen).astype(found.dtype)

    held = jax.vmap(moved, in_axes=1, out_axes=1)(factors)  # [Z, K]
    robust = 1 - held / jnp.where(moves, largest, 1)[:, None]
    varies = varying(factors)
    best = jnp.max(jnp.where(varies[None], robust, -jnp.inf), axis=1)
    total = jnp.sum(largest)
    score = jnp.sum(largest * jnp.where(jnp.any(varies), best, 0))
    score = score / jnp.where(total > 0, total, 1)
    return unless_unfit(score, Coded(latents, factors, sizes))
