"""`npz:<path>`: a researcher's own arrays."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.splits import held_out, part, shuffled, stratified
from ae_jax.data.stored import stored, subset


def load(path: str, split: str) -> Dataset:
    """Loads an .npz archive, as `numpy.savez` writes it, without pickle.

    It holds either
      x_train: images, and optionally y_train: labels, x_test, y_test; or
      image: images, and optionally label, factors.
    Images are uint8, bool, or float in [0, 1], of shape [N, H, W] or [N, H, W, C]; labels int
    [N]; factors int [N, K], each counting from 0. A split that the archive lacks is a tenth of
    the images, at most 10,000, chosen at random once and for all, with each label in its
    proportion where there are labels.

    Args:
      path: the archive.
      split: train, validation, test or all.

    Returns:
      A Dataset with `image`, and `label` and `factors` where the archive has them.

    Raises:
      InputError: the file or an array is missing, or cannot be used.
    """
    arrays = _read(path)
    label_of = {"x_train": "y_train", "image": "label"}
    key = next((key for key in label_of if key in arrays), None)
    if key is None:
        raise InputError(
            f"{path} has neither 'x_train' nor 'image', but {', '.join(arrays) or 'no arrays'}"
        )
    factors = arrays.get("factors") if key == "image" else None
    first = stored(arrays[key], arrays.get(label_of[key]), factors, origin=f"{path}: {key}")
    if key == "image" or "x_test" not in arrays:
        cut = held_out(first.size)
        return subset(first, part(_order(first), split, (cut, cut), path))
    if split in ("train", "validation"):
        return subset(first, part(_order(first), split, (held_out(first.size), 0), path))
    test = stored(arrays["x_test"], arrays.get("y_test"), origin=f"{path}: x_test")
    if test.spec["image"] != first.spec["image"]:
        raise InputError(
            f"{path}: images of x_train are {first.spec['image'].shape}, "
            f"of x_test {test.spec['image'].shape}"
        )
    return test if split == "test" else _joined(first, test, path)


def _order(data: Dataset) -> np.ndarray:
    label = data.arrays.get("label")
    return shuffled(data.size) if label is None else stratified(label)


def _joined(first: Dataset, second: Dataset, path: str) -> Dataset:
    if first.arrays["image"].dtype != second.arrays["image"].dtype:
        raise InputError(f"{path}: x_train and x_test have different types")
    keys = [key for key in first.arrays if key in second.arrays]
    joined = {key: np.concatenate([first.arrays[key], second.arrays[key]]) for key in keys}
    return stored(joined["image"], joined.get("label"), origin=path)


def _read(path: str) -> Mapping[str, np.ndarray]:
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds a single array; write an archive with numpy.savez")
            return {key: archive[key] for key in archive.files}
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, OSError, ValueError: whatever damage brings
        reason = str(error).split("\n")[0]
        if "allow_pickle" in reason:
            reason = "it holds Python objects; store plain arrays of numbers"
        raise InputError(f"cannot read {path}: {reason}") from error
