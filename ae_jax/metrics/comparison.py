"""Estimates that are means, and how far they can be trusted."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import widened


class Mean(NamedTuple):
    """A mean over examples and its standard error, which is infinite for one example."""

    mean: float
    error: float

    def __format__(self, spec: str) -> str:
        """The mean ± its standard error."""
        return f"{self.mean:{spec}} ± {self.error:{spec.removeprefix('+')}}"


def mean_over_examples(values: Array) -> Mean:
    """The mean of a figure over examples, and its standard error over such samples of examples.

    Args:
      values: [N], a figure of each example, such as a log-likelihood.

    Returns:
      The mean, and the standard deviation over the root of N.

    Raises:
      InputError: if the shape does not fit.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise InputError(f"figures of examples must be [N] and not empty, got {list(values.shape)}")
    count = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Mean(float(values.mean()), error)


def paired_difference(first: Array, second: Array) -> Mean:
    """The mean difference of two models' figures of the same examples.

    What is hard for both models does not count: the standard error is that of the differences,
    where the errors of the two means, taken as independent, would overstate it.

    Args:
      first: [N], a figure of each example, such as a log-likelihood.
      second: [N], another model's figure of the same examples.

    Returns:
      The mean of first - second.

    Raises:
      InputError: if the shapes differ or there is no example.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise InputError(
            "figures of the same examples are two arrays [N] with N of at least 1; got "
            f"{list(first.shape)} and {list(second.shape)}"
        )
    return mean_over_examples(first - second)


def mean_over_draws(estimate: Callable[[Array], Any], key: Array, draws: int) -> Any:
    """Averages an estimate that depends on what it draws; can be jitted.

    Args:
      estimate: key -> a pytree of arrays.
      key: PRNG key.
      draws: how many independent keys the estimate is averaged over, one after the other.

    Returns:
      The pytree of means.

    Raises:
      InputError: if draws is below 1.
    """
    if draws < 1:
        raise InputError(f"a mean over draws needs at least 1 of them, got {draws}")
    found = jax.lax.map(estimate, jax.random.split(key, draws))
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), found)


def shares_of_variance(values: Array, *levels: Sequence[Hashable]) -> list[float]:
    """How much of a figure's variance over models each choice explains; on the host.

    The models' sum of squares about their mean is the sum of those of means: of the first choice's
    values about the whole mean, of the second's within each of the first, and so on, and at last of
    models about the mean of their own setting. With few models for each value the shares of
    choices are large by chance: where nothing matters, G groups of N models have (G - 1) / (N - 1).

    Args:
      values: [N], one figure of each model.
      levels: of each choice, from the outermost, every model's value, N of them.

    Returns:
      The share of each choice, and of what is left, such as the seed; they sum to 1. NaN where all
      values are the same.

    Raises:
      InputError: if the shapes do not fit or values are not finite.

    Reference:
      Locatello et al., 2019, "Challenging common assumptions in the unsupervised learning of
      disentangled representations", section 5.3.
    """
    values = np.asarray(values, np.float64)
    sizes = [len(level) for level in levels]
    if values.ndim != 1 or not values.size or set(sizes) - {len(values)}:
        raise InputError(f"figures [N] have {list(values.shape)}, and choices {sizes} values")
    if not np.all(np.isfinite(values)):
        raise InputError("figures contain values that are not finite")
    whole = np.sum((values - values.mean()) ** 2)
    if whole <= len(values) * np.spacing(np.max(np.abs(values))) ** 2:
        return [math.nan] * (len(levels) + 1)
    explained, shares = np.full(len(values), values.mean()), []
    for depth in range(1, len(levels) + 1):
        settings = list(zip(*levels[:depth], strict=True))
        means = {own: values[[other == own for other in settings]].mean() for own in set(settings)}
        finer = np.array([means[own] for own in settings])
        shares.append(float(np.sum((finer - explained) ** 2) / whole))
        explained = finer
    return [*shares, float(np.sum((values - explained) ** 2) / whole)]


def signal_to_noise(
    draw: Callable[[Array], Mapping[str, Any]], key: Array, draws: int
) -> dict[str, Array]:
    """How much of random vectors is their mean, such as of a gradient's estimates; can be jitted.

    That is the norm of the mean over the root of the summed variances. The mean of N draws has the
    noise of an N-th of the variance, which is taken off: where nothing but it is left, this is 0.

    Args:
      draw: key -> vectors by name, each a pytree of arrays.
      key: PRNG key.
      draws: N, at least 2; they are taken one after the other, and not kept.

    Returns:
      Scalars by name: infinite where nothing varies, NaN where all is 0.

    Raises:
      InputError: if there are fewer than 2 draws.

    Reference:
      Rainforth et al. (2018), Tighter Variational Bounds are Not Necessarily Better, section 3, of
      all entries together.
    """
    if draws < 2:
        raise InputError(f"signal and noise are told apart by at least 2 draws, got {draws}")
    keys = jax.random.split(key, draws)

    def found(i: Array) -> tuple[Any, Any]:
        vectors = jax.tree.map(widened, draw(keys[i]))
        return vectors, {name: _squares(vector) for name, vector in vectors.items()}

    nothing = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(found, jnp.int32(0))
    )
    summed, squares = jax.lax.fori_loop(
        0, draws, lambda i, sums: jax.tree.map(jnp.add, sums, found(i)), nothing
    )
    ratios = {}
    for name, square in squares.items():
        of_mean = _squares(jax.tree.map(lambda x: x / draws, summed[name]))
        noise = jnp.maximum(square - draws * of_mean, 0) / (draws - 1)
        ratios[name] = jnp.sqrt(jnp.maximum(of_mean - noise / draws, 0) / noise)
    return ratios


def _squares(vector: Any) -> Array:
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(vector))
