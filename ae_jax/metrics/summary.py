"""What a trained encoder's latents look like."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Batch, Dataset, HParams, InputError, Method, State
from ae_jax.metrics.disentanglement import mig
from ae_jax.probability._examples import matched


def active_units(latents: Array, threshold: float = 0.01) -> Array:
    """How many latents depend on the data: those whose posterior mean varies.

    Args:
      latents: [N, Z], posterior means.
      threshold: of the variance over examples.

    Returns:
      A scalar, int. A latent that is not finite somewhere does not count.

    Reference:
      Burda, Grosse and Salakhutdinov, 2016, "Importance weighted autoencoders",
      section 5.2.
    """
    (latents,) = matched("latents", latents)
    # about the first one: a constant, however large, then has no variance by rounding
    return jnp.sum(jnp.var(latents - latents[:1], axis=0) > threshold)


def active_fraction(latents: Array, threshold: float = 0.1) -> Array:
    """How sparse latents are: the part of the units that are on, mean over examples.

    A unit is on for an example where its absolute value is above a part of its largest one
    over all examples; a unit that is always 0 is never on.

    Args:
      latents: [N, Z].
      threshold: that part.

    Returns:
      A scalar in [0, 1]; NaN if a latent is not finite.
    """
    (size,) = matched("latents", jnp.abs(latents))
    on = size > threshold * jnp.max(size, axis=0, keepdims=True)
    return jnp.where(jnp.all(jnp.isfinite(size)), jnp.mean(on.astype(size.dtype)), jnp.nan)


def _gap_alone(key: Array, latents: Array, factors: Array, **sizes: Any) -> Mapping[str, Array]:
    """The score that `latent_summary` has by default."""
    del key
    return {"mig": mig(latents, factors, **sizes)}


def latent_summary(
    method: Method,
    key: Array,
    state: State,
    dataset: Dataset,
    hparams: HParams,
    *,
    count: int = 10_000,
    batch_size: int = 500,
    draw: Callable[[Array, State, Batch, HParams], Array] | None = None,
    scores: Callable[..., Mapping[str, Array]] = _gap_alone,
) -> Mapping[str, Array]:
    """Encodes examples and summarises their latents; can be jitted and vmapped.

    Under jit, pass `dataset.arrays` as an argument and put it back with `_replace`: arrays
    that a jitted function closes over are copied into the program.

    Args:
      method: with an `encode` view.
      key: PRNG key, which picks the examples.
      state: the method's.
      dataset: encoded whole where it has at most `count` examples, otherwise `count`
        examples drawn with replacement.
      hparams: the method's.
      count: static.
      batch_size: examples that are encoded at a time; static.
      draw: (key, state, batch, hparams) -> [B, Z], such as draws from the posterior, which are
        scored in the place of what the `encode` view gives.
      scores: (key, latents, factors, factor_sizes=...) -> scalars by name, such as
        `disentanglement_scores`.

    Returns:
      Scalars by name: `active_units`, and the scores where the data's factors are known: `mig`.

    Raises:
      InputError: if the method has no `encode` view, or a number is not positive.
    """
    encode = method.views.encode
    if encode is None:
        raise InputError("latent_summary needs a method with an `encode` view")
    if min(count, batch_size) < 1:
        raise InputError(f"count and batch_size must be positive, not {count} and {batch_size}")
    if dataset.size <= count:
        count = dataset.size
        indices = jnp.arange(count, dtype=jnp.int32)
    else:
        indices = jax.random.randint(key, (count,), 0, dataset.size, jnp.int32)

    # `key` itself has picked the examples
    draws, groups = (jax.random.fold_in(key, purpose) for purpose in (1, 2))

    def encoded(part: tuple[Array, Array]) -> Mapping[str, Array]:
        indices, number = part
        batch = dataset.fetch(dataset.arrays, indices)
        columns = {"latents": encode(state, batch, hparams)}
        if draw is not None:
            columns["drawn"] = draw(jax.random.fold_in(draws, number), state, batch, hparams)
        if dataset.factor_sizes:
            columns["factors"] = batch["factors"]
        return columns

    # the last batch is filled up with examples that are dropped afterwards
    batches = -(-count // batch_size)
    size = -(-count // batches)
    filled = jnp.resize(indices, (batches, size))
    columns = jax.lax.map(encoded, (filled, jnp.arange(batches)))
    columns = jax.tree.map(lambda x: x.reshape(batches * size, *x.shape[2:])[:count], columns)
    summary = {"active_units": active_units(columns["latents"])}
    if dataset.factor_sizes:
        sizes = tuple(dataset.factor_sizes.values())
        scored = columns["latents" if draw is None else "drawn"]
        summary |= scores(groups, scored, columns["factors"], factor_sizes=sizes)
    return summary
