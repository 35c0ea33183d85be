"""Windows of recordings in time: `series:<path>`, of a user's own, and `eeg`, with matplotlib."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset, InputError
from ae_jax.data import tables
from ae_jax.data.content import digest, shared
from ae_jax.data.parts import existing
from ae_jax.data.stored import gather

#: Steps of a window where the name does not say it, and of the EEG's: 0.4 seconds.
WINDOW, EEG_WINDOW = 64, 32
#: Of a split; windows of longer recordings begin so many steps apart that there are no more.
MOST_WINDOWS = 10_000


def load(path: str, split: str, window: int = WINDOW) -> Dataset:
    """Windows of the recording in a file.

    Args:
      path: a CSV file, of which each column of numbers is a channel and each row a step; columns of
        text, such as dates, or without a value are left out with a warning. Or an NPZ file with one
        array [T, D].
      split: as for `windows`.
      window: steps of each.

    Raises:
      InputError: it cannot be read, or a value is missing; as `windows`.
    """
    file = existing(path, "file")
    if file is None:
        raise InputError(f"there is no file {path}")
    table = tables.read(file)
    if table.notes:
        warnings.warn(f"{path}: {'; '.join(table.notes)}", stacklevel=2)
    if (missing := np.isnan(table.values).any(axis=1)).any():
        raise InputError(
            f"{path}: row {table.places[missing][0]} has a missing value: fill it in, or give the "
            "part before or after it"
        )
    return windows(table.values, split, window, path)


def eeg(split: str) -> Dataset:
    """Windows of ten seconds of an electroencephalogram that come with matplotlib.

    Four channels, 800 steps; 32 steps a window. The calibrating and the testing part have blinks of
    the eyes, of which the training part has less.

    Args:
      split: as for `windows`.

    Raises:
      InputError: this matplotlib comes without it.
    """
    from matplotlib import cbook

    try:
        values = np.fromfile(cbook.get_sample_data("eeg.dat", asfileobj=False))
    except OSError:
        raise InputError(
            "eeg is a file of matplotlib's that this one lacks: use series:<path>"
        ) from None
    return windows(values.reshape(-1, 4), split, EEG_WINDOW, "eeg")


def windows(values: np.ndarray, split: str, window: int, origin: str = "series") -> Dataset:
    """Overlapping windows of a recording, split in time.

    Each channel is standardised by the mean and the deviation of the training part. No window has
    steps of two parts, but the last windows of one and the first of the next are close in time.

    Args:
      values: finite, [T, D].
      split: train, the first three fifths; validation, the next; test, the last; or all, windows of
        the whole.
      window: W, steps of each.
      origin: where the recording comes from, to open a message with.

    Returns:
      A Dataset in the order of time, with `sequence` [W, D] and `length`, always W: all windows of
      the part, or 10,000 at most, evenly spaced.

    Raises:
      InputError: if a part is shorter than a window, or nothing changes in the training part.
    """
    steps, channels = values.shape
    fifth = steps // 5
    if fifth < window:
        raise InputError(
            f"{origin}: {steps} steps are too few for windows of {window}, since a fifth is a "
            f"split: give {5 * window}, or shorter windows, as series{max(fifth, 1)}:<path>"
        )
    ends = {
        "train": (0, steps - 2 * fifth),
        "validation": (steps - 2 * fifth, steps - fifth),
        "test": (steps - fifth, steps),
        "all": (0, steps),
    }
    values = values / tables.units(values)
    train = values[slice(*ends["train"])]
    changing = np.ptp(train, axis=0) > 0
    if not changing.any():
        raise InputError(f"{origin}: nothing changes in the first three fifths, which are learned")
    standard = (values - train.mean(axis=0)) / np.where(changing, train.std(axis=0), 1)
    part = standard[slice(*ends[split])]
    every = np.lib.stride_tricks.sliding_window_view(part, window, axis=0).swapaxes(1, 2)
    apart = -(-len(every) // MOST_WINDOWS)
    arrays = {"sequence": every[::apart].astype(jnp.result_type(float))}
    spec = {
        "sequence": jax.ShapeDtypeStruct((window, channels), jnp.result_type(float)),
        "length": jax.ShapeDtypeStruct((), jnp.int32),
    }
    content = digest("series", arrays["sequence"])
    return Dataset(spec, len(arrays["sequence"]), arrays, _stored(window), digest=content)


@shared
def _stored(window: int) -> Callable:
    def fetch(arrays: Any, indices: Array) -> Batch:
        sequence = gather(arrays["sequence"], indices).astype(jnp.result_type(float))
        return {"sequence": sequence, "length": jnp.full(indices.shape, window, jnp.int32)}

    return fetch
