"""All scores of a code that need no classifier, at once."""

import functools
from collections.abc import Mapping, Sequence

import jax

from ae_jax.core import Array
from ae_jax.metrics.disentanglement import information
from ae_jax.metrics.disentanglement._checks import Coded, coded, unless_unfit
from ae_jax.metrics.disentanglement.groups import factor_vae_score
from ae_jax.metrics.disentanglement.importance import spread_of_information
from ae_jax.metrics.disentanglement.information import (
    counted,
    gap_of,
    information_of,
    modularity_of,
)
from ae_jax.metrics.disentanglement.robustness import irs
from ae_jax.metrics.disentanglement.separation import gap_in_accuracy, sap_r2


def disentanglement_scores(
    key: Array,
    latents: Array,
    factors: Array,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
) -> Mapping[str, Array]:
    """All scores that need no classifier, which share what they count; can be jitted.

    Args:
      key: PRNG key, for the groups of `factor_vae_score`.
      latents: [N, Z].
      factors: int [N, K].
      bins: of equal width over a latent's range, per latent; static.
      factor_sizes: how many values each factor has; as in `mig`.

    Returns:
      Scalars by name: `mig`, `modularity`, `weighted_modularity`, `sap` (of the examples
      themselves), `sap_r2`, `mi_disentanglement`, `mi_completeness`, `irs` and `factor_vae_score`,
      each of the function of its name at its defaults. NaN as in `mig`.

    Raises:
      InputError: if the shapes, the bins or the factors' values do not fit.
    """
    return _scores(key, *coded(latents, factors, factor_sizes, bins), bins, information.CHUNK)


@functools.partial(jax.jit, static_argnames=("sizes", "bins", "chunk"))
def _scores(
    key: Array, latents: Array, factors: Array, sizes: tuple[int, ...], bins: int, chunk: int
) -> Mapping[str, Array]:
    counts = counted(latents, factors, sizes, bins, chunk)
    known = information_of(counts, len(latents))
    disentanglement, completeness = spread_of_information(*known)
    scores = {
        "mig": gap_of(*known),
        "modularity": modularity_of(*known),
        "weighted_modularity": modularity_of(*known, weighted=True),
        "sap": gap_in_accuracy(counts, counts),
        "sap_r2": sap_r2(latents, factors),
        "mi_disentanglement": disentanglement,
        "mi_completeness": completeness,
        "irs": irs(latents, factors, factor_sizes=sizes),
        "factor_vae_score": factor_vae_score(key, latents, factors),
    }
    return unless_unfit(scores, Coded(latents, factors, sizes))
