"""Neighbours as probabilities, and how far those of a map are from those of the data."""

import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from ae_jax.core import Array, InputError
from ae_jax.losses.moments import as_mask, filled, squared_distances
from ae_jax.probability._examples import matched

#: The logarithm of a precision, in units in which squared distances beyond the nearest one's have
#: mean 1, and how often its interval is halved.
_LOW, _HIGH, _HALVINGS = -12.0, 24.0, 32


def conditional_neighbours(
    x: Array, perplexity: Array | float, present: Array | None = None
) -> Array:
    """The probability of each example to be the neighbour of another, of a given perplexity.

    p(j | i) is proportional to exp(-b_i |x_i - x_j|^2), where b_i is found by bisection, a fixed
    number of steps, so that 2 to the entropy in bits is the perplexity.

    Args:
      x: [N, ...], flattened.
      perplexity: scalar, more than 1: an effective number of neighbours. From one less than there
        are examples on all are as probable.
      present: bool [N], False where a row is padding; None where there is none.

    Returns:
      [N, N], rows that sum to 1 and are 0 on the diagonal; all 0 of what is not present.

    Raises:
      InputError: if there are fewer than two examples, or present is not bool [N].

    Reference:
      Van der Maaten and Hinton, 2008, "Visualizing data using t-SNE", equation 1.
    """
    (x,) = matched("x", x)
    if x.ndim < 2 or len(x) < 2:
        raise InputError(f"x must be [N, ...] of at least 2 examples, got {list(x.shape)}")
    present = as_mask(present, x)
    x = filled(x.reshape(len(x), -1), present)
    distances, pairs = squared_distances(x, x), _pairs(x, present)
    nearest = jnp.min(jnp.where(pairs, distances, jnp.inf), axis=1, keepdims=True)
    beyond = jnp.where(pairs, distances - nearest, 0)
    count = jnp.maximum(jnp.sum(pairs, axis=1, keepdims=True), 1).astype(x.dtype)
    scale = jnp.sum(beyond, axis=1, keepdims=True) / count
    beyond /= jnp.where(scale > 0, scale, 1)
    target = jnp.log(jnp.asarray(perplexity, x.dtype))

    def weights(log_precision: Array) -> tuple[Array, Array, Array]:
        precision = jnp.exp(log_precision)
        found = jnp.where(pairs, jnp.exp(-precision * beyond), 0)
        total = jnp.sum(found, axis=1, keepdims=True)
        return found, jnp.where(total > 0, total, 1), precision

    def halved(_: int, interval: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = interval
        middle = (low + high) / 2
        found, total, precision = weights(middle)
        # H = log sum_j w_j + b sum_j w_j d_j / sum_j w_j
        energy = jnp.sum(found * beyond, axis=1, keepdims=True) / total
        wide = jnp.log(total) + precision * energy > target
        return jnp.where(wide, middle, low), jnp.where(wide, high, middle)

    start = jnp.full_like(scale, _LOW), jnp.full_like(scale, _HIGH)
    low, high = jax.lax.fori_loop(0, _HALVINGS, halved, start)
    found, total, _ = weights((low + high) / 2)
    return found / total


def joint_neighbours(x: Array, perplexity: Array | float, present: Array | None = None) -> Array:
    """The probability of each pair to be neighbours: (p(j | i) + p(i | j)) / 2N.

    Args:
      x: as for `conditional_neighbours`.
      perplexity: likewise.
      present: likewise; N is how many are.

    Returns:
      [N, N], symmetric, with sum 1.

    Raises:
      InputError: as `conditional_neighbours`.

    Reference:
      Van der Maaten and Hinton, 2008, section 3.1.
    """
    one_way = conditional_neighbours(x, perplexity, present)
    both = one_way + one_way.T
    total = jnp.sum(both)
    return both / jnp.where(total > 0, total, 1)


def neighbour_divergence(
    p: Array, latent: Array, degrees: Array | float = 1.0, present: Array | None = None
) -> Array:
    """Divergence KL(P || Q) of the neighbours on a map from those in the data: t-SNE's loss.

    q_ij is proportional to (1 + |y_i - y_j|^2 / v)^(-(v + 1) / 2).

    Args:
      p: [N, N], as `joint_neighbours` has them; no gradient reaches what they are made of.
      latent: y, [N, Z].
      degrees: v, of freedom; 1 is t-SNE's own in a plane, Z - 1 what gives room in more
        dimensions.
      present: bool [N], False where a row is padding; None where there is none.

    Returns:
      A scalar, nats; 0 of fewer than two examples.

    Raises:
      InputError: if shapes do not fit.

    Reference:
      Van der Maaten, 2009, "Learning a parametric embedding by preserving local structure",
      equations 2 and 3.
    """
    (p,), (latent,) = matched("p", p), matched("latent", latent)
    if latent.ndim != 2 or p.shape != (len(latent),) * 2:
        raise InputError(
            f"p and latent must be [N, N] and [N, Z], got {list(p.shape)} and {list(latent.shape)}"
        )
    p, present = jax.lax.stop_gradient(p).astype(latent.dtype), as_mask(present, latent)
    latent = filled(latent, present)
    pairs, degrees = _pairs(latent, present), jnp.asarray(degrees, latent.dtype)
    logs = -(degrees + 1) / 2 * jnp.log1p(squared_distances(latent, latent) / degrees)
    total = jax.nn.logsumexp(logs, where=pairs)
    # sum_ij p_ij (log p_ij - log q_ij), of p that sum to 1
    found = jnp.sum(jnp.where(pairs, -entr(p) - p * logs, 0)) + jnp.sum(p) * total
    return jnp.where(jnp.any(pairs), found, 0)


def _pairs(x: Array, present: Array | None) -> Array:
    """Which pairs are of two different examples, both there, bool [N, N]."""
    different = ~jnp.eye(len(x), dtype=bool)
    return different if present is None else different & present[:, None] & present[None, :]
