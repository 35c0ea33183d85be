"""Whether a sample is of a distribution that is known."""

from collections.abc import Callable

import numpy as np

from ae_jax.core import Array, InputError

#: Of `kolmogorov_smirnov`: exceeded by 1 large sample in 100.
KS_1_PERCENT = 1.6276


def kolmogorov_smirnov(
    x: Array,
    distribution: Callable[[Array], Array],
    below: Callable[[Array], Array] | None = None,
) -> float:
    """Kolmogorov and Smirnov's statistic: the largest difference of two distribution functions.

    Computed on the host, in double precision where `distribution` is.

    Args:
      x: [N], the sample.
      distribution: x -> F(x) of what it should be of.
      below: x -> the limit of F from below, where F jumps; then the statistic is smaller than
        KS_1_PERCENT more often. F itself where None.

    Returns:
      sqrt(N) times the difference, about 0.87 on average; above KS_1_PERCENT in 1 sample of 100
      of a continuous distribution.

    Raises:
      InputError: if x is not [N] of numbers, or a distribution function's values are not [N] from
        0 to 1.

    Reference:
      Massey (1951), The Kolmogorov-Smirnov test for goodness of fit.
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 1 or not x.size or np.isnan(x).any():
        raise InputError(
            f"a sample of numbers must be [N], got {list(x.shape)} or some that are none"
        )
    values, counts = np.unique(x, return_counts=True)
    upto = np.cumsum(counts) / x.size
    at, before = (np.asarray(law(values)) for law in (distribution, below or distribution))
    for found in (at, before):
        # but for rounding in single precision
        if found.shape != values.shape or not np.all((found >= -1e-6) & (found <= 1 + 1e-6)):
            raise InputError("a distribution function must give [N] numbers from 0 to 1")
    above, under = upto - at, before - (upto - counts / x.size)
    return float(np.sqrt(x.size) * max(above.max(), under.max()))
