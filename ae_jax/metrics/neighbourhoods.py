"""Which examples lie in whose neighbourhood: fidelity, diversity and copying.

Distances are Euclidean, by differences and not by products: that of two copies is exactly 0. They
are computed in blocks: memory is linear in the number of examples, time is in its square.
"""

import functools
from numbers import Integral

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.metrics._samples import by_rows, checked_samples, squared_distances, unless_broken


def nearest_examples(queries: Array, examples: Array, count: int = 1) -> tuple[Array, Array]:
    """The examples at the smallest distance from each query.

    Args:
      queries: [Q, D].
      examples: [N, D].
      count: K, at most N; static. A query that is among the examples is its own first neighbour.

    Returns:
      Places in `examples`, int [Q, K], and distances [Q, K], nearest first. Of examples at the
      same distance the first comes first. Distances are NaN where traced values are not finite.

    Raises:
      InputError: if the shapes do not fit, values are not finite or there are fewer examples.
    """
    queries, examples = checked_samples(queries=queries, examples=examples)
    if not isinstance(count, Integral) or not 1 <= count <= len(examples):
        raise InputError(f"count must be from 1 to {len(examples)}, the number of examples")
    return _nearest_examples(queries, examples, count)


@functools.partial(jax.jit, static_argnames="count")
def _nearest_examples(queries: Array, examples: Array, count: int) -> tuple[Array, Array]:
    places, squares = _nearest(queries, examples, count)
    return places, unless_broken(jnp.sqrt(squares), queries, examples)


def _nearest(queries: Array, examples: Array, count: int) -> tuple[Array, Array]:
    def nearest(query: Array) -> tuple[Array, Array]:
        return jax.lax.top_k(-squared_distances(query, examples), count)

    negative, places = by_rows(nearest, queries, len(examples))
    return places, -negative


def precision_recall(real: Array, fake: Array, k: int = 3) -> tuple[Array, Array]:
    """Improved precision and recall: how real fakes are, and how much of the data they reach.

    An example's neighbourhood reaches to its k-th nearest neighbour of its own kind, itself not
    counted, the edge included. A single example far from all others has so large a one that
    precision may be 1 with nothing right: `density_coverage` does not suffer from that.

    Args:
      real: [N, D], features of data.
      fake: [M, D], features of what was generated.
      k: neighbours, below N and M; static.

    Returns:
      Precision, the share of fakes in some real example's neighbourhood, and recall, the share of
      real examples in some fake's: scalars in [0, 1].

    Raises:
      InputError: if the shapes do not fit, values are not finite or k is not from 1 to the number
        of examples less 1.

    Reference:
      Kynkaanniemi et al., 2019, "Improved precision and recall metric for assessing generative
      models", equations 1 and 2.
    """
    real, fake = checked_samples(real=real, fake=fake)
    _check_neighbours(k, min(len(real), len(fake)))
    return _precision_recall(real, fake, k)


@functools.partial(jax.jit, static_argnames="k")
def _precision_recall(real: Array, fake: Array, k: int) -> tuple[Array, Array]:
    precise = _neighbourhoods(fake, real, k) > 0
    recalled = _neighbourhoods(real, fake, k) > 0
    shares = jnp.mean(precise.astype(real.dtype)), jnp.mean(recalled.astype(real.dtype))
    return unless_broken(shares, real, fake)


def density_coverage(real: Array, fake: Array, k: int = 5) -> tuple[Array, Array]:
    """Density and coverage: fidelity and diversity that single outliers do not decide.

    Args:
      real: [N, D], features of data.
      fake: [M, D], features of what was generated.
      k: neighbours, below N; static. Neighbourhoods are those of `precision_recall`.

    Returns:
      Density, how many real examples' neighbourhoods hold a fake, mean over fakes and divided by
      k: 1 on average where the distributions are the same, and above where fakes are where the
      data are dense. Coverage, the share of real examples whose neighbourhood holds a fake:
      1 - prod_{j=1..k} (N - j) / (N + M - j) on average where the distributions are the same.

    Raises:
      InputError: if the shapes do not fit, values are not finite or k is not from 1 to N - 1.

    Reference:
      Naeem et al., 2020, "Reliable fidelity and diversity metrics for generative models",
      section 3.
    """
    real, fake = checked_samples(real=real, fake=fake)
    _check_neighbours(k, len(real))
    return _density_coverage(real, fake, k)


@functools.partial(jax.jit, static_argnames="k")
def _density_coverage(real: Array, fake: Array, k: int) -> tuple[Array, Array]:
    density = jnp.mean(_neighbourhoods(fake, real, k).astype(real.dtype)) / k
    covered = _nearest(real, fake, 1)[1][:, 0] <= _squared_radii(real, k)
    return unless_broken((density, jnp.mean(covered.astype(real.dtype))), real, fake)


def _check_neighbours(k: int, count: int) -> None:
    if count < 2:
        raise InputError(f"neighbourhoods need at least 2 examples, got {count}")
    if not isinstance(k, Integral) or not 1 <= k < count:
        raise InputError(
            f"k must be from 1 to {count - 1}, one less than there are examples, and whole; got {k}"
        )


def _squared_radii(centres: Array, k: int) -> Array:
    squares = _nearest(centres, centres, k + 1)[1][:, k]  # the first one is the centre itself
    # two sums of the same D squares may differ by rounding: the edge is inside all the same
    return squares * (1 + (centres.shape[1] + 2) * jnp.finfo(squares.dtype).eps)


def _neighbourhoods(points: Array, centres: Array, k: int) -> Array:
    """How many centres' neighbourhoods hold each point, int [N]."""
    radii = _squared_radii(centres, k)
    return by_rows(
        lambda point: jnp.sum(squared_distances(point, centres) <= radii), points, len(centres)
    )


def memorisation(samples: Array, train: Array, test: Array) -> dict[str, Array]:
    """Whether what was generated copies training examples: whether it is nearer than test ones.

    Args:
      samples: [N, D], what was generated.
      train: [T, D], what the model was trained on.
      test: [M, D], examples of the same distribution that it has not seen.

    Returns:
      Scalars: `sample_distance` and `test_distance`, the mean distance of samples and of test
      examples from the nearest training example, and `closer`, the probability that a sample is
      nearer than a test example, ties by half (the Mann-Whitney statistic over N M): 1/2 where the
      model generalises, 1 where it copies, lower where it misses the data.

    Raises:
      InputError: if the shapes do not fit or values are not finite.

    Reference:
      Meehan, Chaudhuri and Dasgupta, 2020, "A non-parametric test to detect data-copying in
      generative models".
    """
    samples, train, test = checked_samples(samples=samples, train=train, test=test)
    return _memorisation(samples, train, test)


@jax.jit
def _memorisation(samples: Array, train: Array, test: Array) -> dict[str, Array]:
    own, other = (jnp.sqrt(_nearest(part, train, 1)[1][:, 0]) for part in (samples, test))
    ordered = jnp.sort(other)
    farther = [len(test) - jnp.searchsorted(ordered, own, side=side) for side in ("left", "right")]
    wins = sum(jnp.mean(number.astype(own.dtype)) for number in farther) / (2 * len(test))
    found = {
        "sample_distance": jnp.mean(own),
        "test_distance": jnp.mean(other),
        "closer": wins,
    }
    return unless_broken(found, samples, train, test)
