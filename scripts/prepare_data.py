"""Downloads data sets of the TFDS catalogue and prepares them for `ae_jax.data.load`.

    pip install 'ae-jax[prepare]'
    python scripts/prepare_data.py mnist dsprites tfds:emnist/letters

It needs the network, and TensorFlow, which nothing else here does. A data set that is already
prepared is skipped. After an interruption the same command starts again: finished downloads are
kept, and a data set appears in its folder only when it is complete.
"""

import importlib.util
import sys
from typing import Annotated

import tyro

from ae_jax.core import InputError
from ae_jax.data import load, names
from ae_jax.data.sources import prepared

_SPLITS = ("train", "validation", "test")


def main(
    data_sets: Annotated[tuple[str, ...], tyro.conf.Positional],
    /,
    data_dir: str | None = None,
) -> None:
    """Prepares data sets.

    Args:
      data_sets: mnist, fashion_mnist, kmnist, cifar10, dsprites, celeb_a or tfds:<name>.
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
      InputError: a name is unknown or TensorFlow is missing, before anything is downloaded;
        or one cannot be downloaded or read.
    """
    if not data_sets:
        raise InputError(f"name a data set: {', '.join(prepared.NAMES)} or tfds:<name>")
    root = prepared.data_directory(data_dir)
    builders = {name: prepared.find(_catalogue_name(name), root) for name in data_sets}
    missing = [name for name, builder in builders.items() if not builder.info.splits]
    if missing and importlib.util.find_spec("tensorflow") is None:
        raise InputError(f"preparing {missing[0]} needs TensorFlow: pip install 'ae-jax[prepare]'")
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
        sizes = [f"{split} {load(name, split, data_dir).size:,}" for split in _SPLITS]
        print(f"{step}: ready in {builder.data_dir}: {', '.join(sizes)}", flush=True)


def _catalogue_name(name: str) -> str:
    if name in prepared.NAMES:
        return name
    if name.startswith("tfds:") and name != "tfds:":
        return name.removeprefix("tfds:")
    if name in names():
        raise InputError(f"{name} needs no preparation")
    raise InputError(
        f"unknown data set {name!r}; choose from {', '.join(prepared.NAMES)} or tfds:<name>"
    )


if __name__ == "__main__":
    tyro.cli(main)
