"""Time series of one to three tones, drawn inside the program that trains on them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Batch, Dataset
from ae_jax.data.content import digest, shared
from ae_jax.data.transforms import subset

STEPS, MOST_TONES = 64, 3
SIZE, HELD_OUT = 100_000, 1000
#: Of the Gaussian noise, its standard deviation.
NOISE = 0.02


def load(split: str) -> Dataset:
    """100,000 sums of sinusoids with random frequency, amplitude and phase, and a little noise.

    A series has 1, 2 or 3 tones, each of 1 to 6 periods over its 64 steps, with an amplitude
    from 0.2 to 1 and any phase, and Gaussian noise of standard deviation 0.02.

    Args:
      split: validation, test (1000 each), train (the rest), or all.

    Returns:
      A Dataset with `sequence` [64, 1], `length`, always 64, and `label`, the number of tones
      less one.
    """
    if split in ("validation", "test"):  # tables of indices: one function fetches both
        start = HELD_OUT * (split == "test")
        return subset(_from(0), slice(start, start + HELD_OUT))
    return _from(2 * HELD_OUT if split == "train" else 0)


def _from(start: int) -> Dataset:
    spec = {
        "sequence": jax.ShapeDtypeStruct((STEPS, 1), jnp.result_type(float)),
        "length": jax.ShapeDtypeStruct((), jnp.int32),
        "label": jax.ShapeDtypeStruct((), jnp.int32),
    }
    return Dataset(spec, SIZE - start, {}, _drawn(start), digest=digest("tones", start))


@shared
def _drawn(start: int) -> Callable:
    def fetch(arrays: Any, indices: Array) -> Batch:
        del arrays
        index = jnp.asarray(indices).astype(jnp.int32) + start
        label, series = jax.vmap(_draw)(index)
        return {
            "sequence": series[..., None].astype(jnp.result_type(float)),
            "length": jnp.full(index.shape, STEPS, jnp.int32),
            "label": label,
        }

    return fetch


def _draw(index: Array) -> tuple[Array, Array]:
    key = jax.random.fold_in(jax.random.key(0, impl="threefry2x32"), index)
    number_key, tone_key, noise_key = jax.random.split(key, 3)
    label = jax.random.randint(number_key, (), 0, MOST_TONES, jnp.int32)
    # float32 whatever the default is: a series does not depend on it but for rounding.
    frequency, amplitude, phase = jax.random.uniform(tone_key, (3, MOST_TONES, 1), jnp.float32)
    present = (jnp.arange(MOST_TONES, dtype=jnp.int32) <= label)[:, None]
    turns = (1 + 5 * frequency) * (jnp.arange(STEPS, dtype=jnp.float32) / STEPS)[None, :]
    tones = (0.2 + 0.8 * amplitude) * jnp.sin(2 * jnp.pi * (turns + phase))
    series = jnp.sum(jnp.where(present, tones, 0), axis=0)
    return label, series + NOISE * jax.random.normal(noise_key, (STEPS,), jnp.float32)
