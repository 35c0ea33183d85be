"""What scores of latents by known factors share: checks, and means over factors."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, Array, InputError, require
from ae_jax.probability._examples import matched


class Coded(NamedTuple):
    """Examples that were encoded, and the factors that made them.

    Attributes:
      latents: [N, Z], floats of single precision at least.
      factors: int [N, K], from 0.
      sizes: how many values each factor has.
    """

    latents: Array
    factors: Array
    sizes: tuple[int, ...]


def checked(latents: Array, factors: Array) -> tuple[Array, Array]:
    """Returns latents [N, Z] as floats, and factors int [N, K] as they are.

    Raises:
      InputError: if the shapes do not fit, or factors are no integers.
    """
    shapes = f"got {list(np.shape(latents))} and {list(np.shape(factors))}"
    if np.ndim(latents) != 2 or np.ndim(factors) != 2 or len(latents) != len(factors):
        raise InputError(f"latents and factors must be [N, Z] and [N, K], {shapes}")
    if not np.size(latents) or not np.size(factors):
        raise InputError(f"latents and factors must not be empty, {shapes}")
    if not isinstance(factors, jax.core.Tracer):
        factors = np.asarray(factors)
    if not jnp.issubdtype(factors.dtype, jnp.integer):
        raise InputError(f"factors must be integers, got {factors.dtype}")
    return matched("latents", latents)[0], factors


def coded(
    latents: Array, factors: Array, factor_sizes: Sequence[int] | None = None, bins: int = 1
) -> Coded:
    """Returns latents and factors after checking them.

    Raises:
      InputError: if the shapes, the bins or the factors' values do not fit.
    """
    latents, factors = checked(latents, factors)
    require(COUNT, bins=bins)
    if factor_sizes is None:
        factors, factor_sizes = _relabelled(factors)
    elif np.shape(factor_sizes) != factors.shape[1:]:
        raise InputError(
            f"factor_sizes is {factor_sizes!r}: use a list of the numbers of values of "
            f"{factors.shape[1]} factors"
        )
    elif not isinstance(factors, jax.core.Tracer):
        values = np.asarray(factors)
        if np.any(values < 0) or np.any(values >= np.asarray(factor_sizes)):
            raise InputError(f"factors must be between 0 and {list(factor_sizes)} - 1")
    factors = jnp.asarray(factors).astype(jnp.int32)
    return Coded(latents, factors, tuple(int(size) for size in factor_sizes))


def coded_twice(
    latents: Array,
    factors: Array,
    test_latents: Array | None,
    test_factors: Array | None,
    factor_sizes: Sequence[int] | None = None,
    bins: int = 1,
) -> tuple[Coded, Coded]:
    """Returns training and test examples with the same factors; twice the same without a test.

    Raises:
      InputError: as `coded`, or if the sizes of test examples differ, or half of them is missing.
    """
    if (test_latents is None) != (test_factors is None):
        raise InputError("test_latents and test_factors are given together or not at all")
    if test_latents is None:
        found = coded(latents, factors, factor_sizes, bins)
        return found, found
    latents, factors = checked(latents, factors)
    test_latents, test_factors = checked(test_latents, test_factors)
    for name, one, other in (
        ("latents", latents, test_latents),
        ("factors", factors, test_factors),
    ):
        if np.shape(one)[1] != np.shape(other)[1]:
            raise InputError(
                f"{name} and test_{name} must have as many columns, got "
                f"{list(np.shape(one))} and {list(np.shape(other))}"
            )
    if factor_sizes is None:
        for values in (factors, test_factors):
            _known(values)
        both, factor_sizes = _relabelled(np.concatenate([factors, test_factors]))
        factors, test_factors = np.split(both, [len(factors)])
    train = coded(latents, factors, factor_sizes, bins)
    return train, coded(test_latents, test_factors, factor_sizes, bins)


def on_host(
    latents: Array, factors: Array, test_latents: Array | None, test_factors: Array | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns training and test examples as arrays of numpy, latents in double precision.

    Raises:
      InputError: as `coded_twice`, or if they are traced, or latents are not finite.
    """
    given = (latents, factors, test_latents, test_factors)
    refuse_traced(*given)
    examples = coded_twice(*given)
    arrays = [(np.asarray(one.latents, np.float64), np.asarray(one.factors)) for one in examples]
    if not all(np.all(np.isfinite(latents)) for latents, _ in arrays):
        raise InputError("latents contain values that are not finite")
    return arrays


def refuse_traced(*arrays: Array | None) -> None:
    """Raises InputError where an array is traced, for what classifiers on the host score."""
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        raise InputError("a score by classifiers is computed on the host: it cannot be jitted")


def unless_unfit(values: Any, *examples: Coded) -> Any:
    """Returns a pytree of floats, NaN where latents are not finite or factors too large."""
    fit = []
    for latents, factors, sizes in examples:
        limits = jnp.asarray(sizes, factors.dtype)[None]
        fit += [
            jnp.all(jnp.isfinite(jnp.max(latents, axis=0) - jnp.min(latents, axis=0))),
            jnp.all((factors >= 0) & (factors < limits)),
        ]
    whole = jnp.all(jnp.stack(fit))
    return jax.tree.map(lambda value: jnp.where(whole, value, jnp.nan), values)


def varying(values: Array) -> Array:
    """Returns which columns of [N, K] have more than one value, bool [K]."""
    return jnp.any(values != values[:1], axis=0)


def mean_over(values: Array, chosen: Array) -> Array:
    """The mean of the chosen ones of values [K]; 0 where none is."""
    count = jnp.maximum(jnp.sum(chosen), 1).astype(values.dtype)
    return jnp.sum(jnp.where(chosen, values, 0)) / count


def gap(values: Array) -> Array:
    """How much the largest value of each column of [Z, K] exceeds the next, or 0 if alone: [K]."""
    rest = jnp.zeros((1, values.shape[1]), values.dtype)
    best, second = jax.lax.top_k(jnp.concatenate([values, rest]).T, 2)[0].T
    return best - second


def _known(factors: Array) -> None:
    if isinstance(factors, jax.core.Tracer):
        raise InputError("factors are traced: give factor_sizes, the number of each one's values")


def _relabelled(factors: np.ndarray) -> tuple[np.ndarray, list[int]]:
    _known(factors)
    columns = [np.unique(column, return_inverse=True) for column in factors.T]
    numbers = np.stack([inverse for _, inverse in columns], axis=1)
    return numbers.astype(np.int32), [len(values) for values, _ in columns]
