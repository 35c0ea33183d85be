"""How likely images can be, and how likely they are at least."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.metrics.comparison import mean_over_draws


def best_log_likelihood(images: Array) -> float:
    """Returns the largest sum of log p over images: each is as probable as it is frequent.

    Args:
      images: [N, ...], of discrete values.

    Returns:
      Nats: minus N times the entropy of the images' own distribution.
    """
    counts = np.unique(np.reshape(images, (len(images), -1)), axis=0, return_counts=True)[1]
    return float(np.sum(counts * np.log(counts / np.sum(counts))))


def importance_bounds(
    bound: Callable[[int, Array], Array], key: Array, counts: Sequence[int], least: int = 100
) -> dict[str, Array]:
    """Bounds on log p(x) from ever more importance samples, side by side; can be jitted.

    Args:
      bound: (samples, key) -> [B], nats: the importance-weighted bound of so many samples.
      key: PRNG key; each number of samples has its own.
      counts: numbers of samples, from 1.
      least: bounds of fewer samples are averaged over draws until they have seen so many, as
        they vary more.

    Returns:
      [B] by `bound_name`, in the order of the counts.

    Raises:
      InputError: if a number of samples is below 1.

    Reference:
      Burda, Grosse and Salakhutdinov (2016), Importance Weighted Autoencoders, theorem 1: none
      exceeds log p(x) on average, and more samples give a tighter one.
    """
    if any(count < 1 for count in counts):
        raise InputError(f"importance samples are numbers from 1, got {list(counts)}")

    def mean(count: int) -> Array:
        own = jax.random.fold_in(key, count)
        return mean_over_draws(lambda key: bound(count, key), own, -(-least // count))

    return {bound_name(count): mean(count) for count in counts}


def bound_name(samples: int) -> str:
    """Returns what a bound of importance samples is called: elbo of one, iwae_10 of ten."""
    return f"iwae_{samples}" if samples > 1 else "elbo"
