"""Data of which some examples were spoiled for good."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Dataset, InputError
from ae_jax.corruptions import CORRUPTIONS, Corruption
from ae_jax.data.content import derived, digest_of_arrays
from ae_jax.data.stored import scaled

#: Examples that are held on the device at a time.
CHUNK = 1000


class Condition(NamedTuple):
    """How images were spoiled: by which of `CORRUPTIONS`, at what level, what part of them."""

    contamination: str
    level: float
    fraction: float


def conditions(
    key: Array,
    datasets: Sequence[Dataset],
    contaminations: Sequence[str],
    levels: Sequence[float],
    fractions: Sequence[float] = (1.0,),
) -> dict[Condition, list[Dataset]]:
    """Contaminates data sets in every way that is to be compared, as `contaminate` does.

    Args:
      key: PRNG key, of which each data set has its own; it is the same under all conditions.
      datasets: clean ones: training and validation images, say.
      contaminations: names of `CORRUPTIONS`.
      levels: theirs.
      fractions: of the examples.

    Returns:
      The product of the three, the last varying fastest -> the data sets under that condition.

    Raises:
      InputError: as `contaminate`, or for an unknown name.
    """
    if unknown := sorted(set(contaminations) - set(CORRUPTIONS)):
        raise InputError(f"unknown corruption {unknown[0]}: use {', '.join(CORRUPTIONS)}")
    keys = jax.random.split(key, len(datasets))
    return {
        Condition(name, level, fraction): [
            contaminate(own, dataset, CORRUPTIONS[name], level, fraction)
            for own, dataset in zip(keys, datasets, strict=True)
        ]
        for name, level, fraction in itertools.product(contaminations, levels, fractions)
    }


def contaminate(
    key: Array,
    dataset: Dataset,
    corruption: Corruption,
    level: Array | float,
    fraction: float = 1.0,
) -> Dataset:
    """Corrupts some of a data set's images once and for all.

    A denoising autoencoder gets a fresh corruption of clean data at every step; here the
    clean images are lost, as they are where the data were spoiled before one had them.

    Args:
      key: PRNG key, which picks the examples and corrupts them.
      dataset: any with images; rendered ones are drawn and stored, so take a `subset` of
        many first.
      corruption: one of `CORRUPTIONS`, or one of your own.
      level: the corruption's.
      fraction: of the examples, in [0, 1]; that of `size` is rounded.

    Returns:
      A Dataset whose images lie on the host as floats: corrupted ones as the corruption
      leaves them, in [0, 1] or not, and the others unchanged.

    Raises:
      InputError: the data set has no images, or the fraction or the level is out of range.
    """
    if "image" not in dataset.spec:
        raise InputError(f"contaminate needs images; the data set has {', '.join(dataset.spec)}")
    if not 0 <= fraction <= 1:
        raise InputError(f"the fraction of contaminated examples is {fraction:g}; use 0 to 1")
    image = jax.ShapeDtypeStruct((1, *dataset.spec["image"].shape), jnp.result_type(float))
    jax.eval_shape(lambda key, x: corruption(key, x, level), key, image)  # may refuse the level
    choice_key, noise_key = jax.random.split(key)
    everything = np.arange(dataset.size, dtype=np.int32)
    batches = [
        jax.device_get(dict(dataset.fetch(dataset.arrays, rows))) for rows in _chunks(everything)
    ]
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    order = np.asarray(jax.random.permutation(choice_key, dataset.size))
    chosen = np.sort(order[: round(fraction * dataset.size)])
    corrupt = jax.jit(corruption)
    for number, rows in enumerate(_chunks(chosen)):
        chunk_key = jax.random.fold_in(noise_key, number)
        columns["image"][rows] = corrupt(chunk_key, columns["image"][rows], level)
    known = [name for name, function in CORRUPTIONS.items() if function is corruption]
    if known:  # not of the values, whose last bits may be another device's
        made = *known, float(level), float(fraction), jax.random.key_data(key).tolist()
        name = derived([dataset.digest], "contaminated", *made)
    else:
        name = digest_of_arrays(columns)
    return dataset._replace(arrays=columns, fetch=scaled(0.0, 1.0), digest=name)


def _chunks(indices: np.ndarray) -> list[np.ndarray]:
    return [indices[start : start + CHUNK] for start in range(0, len(indices), CHUNK)]
