"""How the importance of latents for factors is spread: over factors, and over latents."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.metrics._samples import checked_finite
from ae_jax.metrics.disentanglement.information import mutual_information, unless_unknown
from ae_jax.probability._examples import matched


def disentanglement_completeness(
    importance: Array, varies: Array | None = None
) -> tuple[Array, Array]:
    """Disentanglement and completeness of a matrix of importances; can be jitted.

    Args:
      importance: [Z, K], how much each latent matters for telling each factor; not negative. Its
        scale does not matter.
      varies: bool [K], the factors that count; all of them if None.

    Returns:
      Two scalars in [0, 1]. Disentanglement: 1 - the entropy of a latent's importance over
      factors, to the base K, mean over latents by their share of all importance. Completeness:
      1 - the entropy of a factor's importance over latents, to the base Z, mean over factors by
      their share; so codes of different Z compare by disentanglement only. Both are 0 where nothing
      matters; to the base 1 an entropy is 0.

    Raises:
      InputError: if the shapes do not fit or an importance is negative or not finite.

    Reference:
      Eastwood and Williams, 2018, "A framework for the quantitative evaluation of disentangled
      representations", section 2; the weights of completeness as in Locatello et al., 2019.
    """
    (importance,) = matched("importance", importance)
    columns = importance.shape[1:]
    varies = jnp.ones(columns, bool) if varies is None else jnp.asarray(varies)
    if importance.ndim != 2 or not importance.size or varies.shape != columns:
        raise InputError(
            "importance must be [Z, K] and varies [K], and not empty, got "
            f"{list(importance.shape)} and {list(varies.shape)}"
        )
    checked_finite("importance", importance)
    if not isinstance(importance, jax.core.Tracer) and jnp.any(importance < 0):
        raise InputError("importance must not be negative")
    return _spread(importance, varies)


def mi_disentanglement(
    latents: Array,
    factors: Array,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
) -> Array:
    """Disentanglement with mutual information for importance; can be jitted.

    Not the published score, for which a classifier says what is important (`dci`): no classifier is
    fitted, so it costs what `mig` costs.

    Args:
      latents: [N, Z].
      factors: int [N, K].
      bins: of equal width over a latent's range, per latent; static.
      factor_sizes: how many values each factor has; as in `mig`.

    Returns:
      A scalar in [0, 1], as in `disentanglement_completeness`. Factors with one value in the sample
      are left out (0 if none is left). NaN as in `mig`.

    Raises:
      InputError: if the shapes, the bins or the factors' values do not fit.
    """
    return spread_of_information(*mutual_information(latents, factors, bins, factor_sizes))[0]


def mi_completeness(
    latents: Array,
    factors: Array,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
) -> Array:
    """Completeness with mutual information for importance; can be jitted.

    Args:
      latents: [N, Z].
      factors: int [N, K].
      bins: of equal width over a latent's range, per latent; static.
      factor_sizes: how many values each factor has; as in `mig`.

    Returns:
      A scalar in [0, 1]; otherwise as `mi_disentanglement`.

    Raises:
      InputError: if the shapes, the bins or the factors' values do not fit.
    """
    return spread_of_information(*mutual_information(latents, factors, bins, factor_sizes))[1]


@jax.jit
def spread_of_information(information: Array, entropies: Array) -> tuple[Array, Array]:
    """Disentanglement and completeness of mutual information [Z, K]."""
    found = _spread(information, entropies > 0)
    return tuple(unless_unknown(value, information) for value in found)


@jax.jit
def _spread(importance: Array, varies: Array) -> tuple[Array, Array]:
    importance = jnp.where(varies[None], importance, 0)
    factors = jnp.sum(varies).astype(importance.dtype)
    return _concentration(importance, factors), _concentration(
        importance.T, jnp.asarray(importance.shape[0], importance.dtype)
    )


def _concentration(rows: Array, base: Array) -> Array:
    """1 - the entropy of a row to a base, mean over rows by their sums."""
    weight = jnp.sum(rows, axis=1)
    share = rows / jnp.where(weight > 0, weight, 1)[:, None]
    entropy = jnp.sum(jax.scipy.special.entr(share), axis=1)
    # of one thing the entropy is 0, to any base
    value = 1 - entropy / jnp.log(jnp.maximum(base, 2))
    total = jnp.sum(weight)
    return jnp.sum(weight * value) / jnp.where(total > 0, total, 1)
