"""Data sets of the TFDS catalogue: prepared once with TensorFlow, then read without it.

`scripts/prepare_data.py` downloads a data set and writes it in TFDS's array_record format.
The first `load` decodes its images into one uint8 array, kept as a .npy file in the folder
`ae_jax` beside the prepared data and memory-mapped from then on.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.splits import held_out, shuffled
from ae_jax.data.stored import stored, subset

#: Data sets of the catalogue that go by their own name; any other is `tfds:<name>`.
NAMES = ("mnist", "fashion_mnist", "kmnist", "cifar10", "dsprites", "celeb_a")
#: Changes when the decoded arrays do, so that older files are not taken for them.
_CACHE_VERSION = 1


def load(name: str, split: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Loads a prepared data set.

    Args:
      name: a name of the TFDS catalogue, with its configuration where it has several, as in
        emnist/letters.
      split: train, validation, test or all. A split that the data set lacks is cut off the
        end of its train split: a tenth, at most 10,000 examples.
      data_dir: where it was prepared; by default $TFDS_DATA_DIR or ~/tensorflow_datasets.

    Returns:
      A Dataset with `image`, `label` where it has one, and `factors` where it has features
      called label_...: for dsprites shape, scale, orientation, x, y. Images of celeb_a are
      the 140x140 pixels in the middle, resized to 64x64.

    Raises:
      InputError: the data set is unknown, not prepared, or not one of images of equal sizes.
    """
    root = data_directory(data_dir)
    builder = find(name, root)
    if not builder.info.splits:
        raise InputError(
            f"{name} is not prepared in {root}: run `python scripts/prepare_data.py "
            f"{_public(name)}{'' if data_dir is None else f' --data-dir {root}'}`, "
            "or use digits or shapes32, which need no preparation"
        )
    columns = _columns(name, builder.info.features)
    arrays, sizes = _arrays(name, builder, columns, root)
    whole = stored(
        arrays["image"],
        arrays.get("label"),
        arrays.get("factors"),
        factor_sizes=columns.factor_sizes,
        origin=name,
    )
    return subset(whole, _rows(sizes, split, name))


def data_directory(data_dir: str | os.PathLike | None = None) -> str:
    """Where prepared data lie: the argument, or $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return os.path.expanduser(chosen)


def find(name: str, root: str) -> Any:
    """The TFDS builder of a data set; its `info.splits` is empty until it is prepared.

    Raises:
      InputError: TFDS is not installed, or knows no such data set.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(
            f"{name} needs tensorflow-datasets and its readers: pip install tensorflow-datasets "
            f"array-record importlib_resources pillow ({error})"
        ) from error
    try:
        return tfds.builder(name, data_dir=root)
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"TFDS has no data set {name!r}, nor has {root}: {reason}") from error


class _Columns(NamedTuple):
    """Which features become which arrays."""

    shape: tuple[int, int, int]
    transform: Callable[[np.ndarray], np.ndarray]
    label: bool
    factors: tuple[str, ...]
    factor_sizes: Mapping[str, int]


def _columns(name: str, features: Any) -> _Columns:
    if "image" not in features or features["image"].np_dtype != np.uint8:
        raise InputError(f"{name} has no uint8 feature 'image', but {', '.join(features)}")
    shape, transform = tuple(features["image"].shape), lambda image: image
    if name == "celeb_a":
        shape, transform = (64, 64, 3), _middle
    elif name == "dsprites":  # stored as 0 and 1
        transform = lambda image: image * np.uint8(255)  # noqa: E731
    if len(shape) != 3 or None in shape:
        raise InputError(f"{name} has images of shape {shape}; only equal sizes can be stored")
    factors = [
        key
        for key in features
        if key.startswith("label_") and getattr(features[key], "num_classes", None)
    ]
    # TFDS may forget the order of features; this is dSprites' own, then the alphabet's.
    known = ["label_shape", "label_scale", "label_orientation", "label_x_position"]
    order = known if name == "dsprites" else []
    factors.sort(key=lambda key: (order.index(key) if key in order else len(order), key))
    sizes = {
        key.removeprefix("label_").removesuffix("_position"): features[key].num_classes
        for key in factors
    }
    label = "label" in features and np.issubdtype(features["label"].np_dtype, np.integer)
    label = label and not features["label"].shape
    return _Columns(shape, transform, label, tuple(factors), sizes)


def _middle(image: np.ndarray) -> np.ndarray:
    """The 140x140 pixels in the middle, [64, 64, C]."""
    from PIL import Image

    top, left = ((length - 140) // 2 for length in image.shape[:2])
    middle = Image.fromarray(image[top : top + 140, left : left + 140])
    return np.asarray(middle.resize((64, 64), Image.Resampling.BILINEAR))


def _arrays(
    name: str, builder: Any, columns: _Columns, root: str
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """All examples, train before validation before test, and how many of each."""
    sizes = {
        split: builder.info.splits[split].num_examples
        for split in ("train", "validation", "test")
        if split in builder.info.splits and builder.info.splits[split].num_examples
    }
    if "train" not in sizes:
        raise InputError(f"{name} has no train split, but {', '.join(builder.info.splits)}")
    if "://" in root:  # a remote store has no files to map
        return _decode(name, builder, columns, sizes, None), sizes
    folder = Path(root, "ae_jax", builder.info.full_name.replace("/", "-") + f"-{_CACHE_VERSION}")
    arrays = _read(folder, sizes)
    if arrays is None:
        arrays = _write(folder, sizes, lambda to: _decode(name, builder, columns, sizes, to))
    return arrays, sizes


def _read(folder: Path, sizes: Mapping[str, int]) -> dict[str, np.ndarray] | None:
    """The arrays kept in a folder; None where they are absent, damaged or of other data."""
    try:
        if json.loads((folder / "sizes.json").read_text()) != sizes:
            return None
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
    except (OSError, ValueError):
        return None
    return arrays if "image" in arrays else None


def _write(
    folder: Path,
    sizes: Mapping[str, int],
    decode: Callable[[Path | None], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Keeps what `decode` gives in a folder that appears complete or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    except OSError:  # a shared folder that only others may write
        return decode(None)
    try:
        decode(scratch)
        (scratch / "sizes.json").write_text(json.dumps(sizes))
        scratch.chmod(0o755)
        if folder.exists() and _read(folder, sizes) is None:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            scratch.rename(folder)
        except OSError:  # another process was first
            pass
        arrays = _read(folder, sizes)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if arrays is None:
        raise InputError(f"cannot read back the images kept in {folder}; delete it and try again")
    return arrays


def _decode(
    name: str, builder: Any, columns: _Columns, sizes: Mapping[str, int], folder: Path | None
) -> dict[str, np.ndarray]:
    """Decodes every example, into files of the folder or, without one, into memory."""
    from tqdm import tqdm

    total = sum(sizes.values())
    shapes = {"image": (total, *columns.shape)}
    shapes |= {"label": (total,)} if columns.label else {}
    shapes |= {"factors": (total, len(columns.factors))} if columns.factors else {}
    dtypes = {"image": np.uint8, "label": np.int32, "factors": np.int32}
    arrays = {
        key: np.empty(shape, dtypes[key])
        if folder is None
        else np.lib.format.open_memmap(folder / f"{key}.npy", "w+", dtypes[key], shape)
        for key, shape in shapes.items()
    }
    row = 0
    # disable=None: no bar where the output is not a terminal.
    with tqdm(total=total, desc=f"decoding {name}", unit="image", disable=None) as bar:
        for split, size in sizes.items():
            source = _source(name, builder, split)
            # TFDS shuffles as it prepares, unless told not to; validation needs it shuffled.
            order = shuffled(size) if builder.info.disable_shuffling else np.arange(size)
            for index in order.tolist():
                example = source[index]
                arrays["image"][row] = columns.transform(example["image"])
                if columns.label:
                    arrays["label"][row] = example["label"]
                if columns.factors:
                    arrays["factors"][row] = [example[key] for key in columns.factors]
                row += 1
                bar.update()
    for array in arrays.values():
        if isinstance(array, np.memmap):
            array.flush()
    return arrays


def _source(name: str, builder: Any, split: str) -> Any:
    try:
        return builder.as_data_source(split)
    except NotImplementedError as error:
        raise InputError(
            f"{name} is prepared in {builder.data_dir} in a format that only TensorFlow reads: "
            "delete that folder, or choose another data directory, and prepare it again with "
            f"`python scripts/prepare_data.py {_public(name)}`"
        ) from error


def _rows(sizes: Mapping[str, int], split: str, name: str) -> slice:
    """Where a split lies among all examples; what is missing is cut off the end of train."""
    cut = held_out(sizes["train"])
    held = sorted(("validation", "test"), key=lambda part: part in sizes)  # the missing first
    lengths = [sizes.get(part, cut) for part in held]
    total = sum(sizes.values())
    train = total - sum(lengths)
    if split == "all":
        return slice(0, total)
    if train < 1:
        raise InputError(f"{name}: {total} examples are too few to split; load split='all'")
    if split == "train":
        return slice(0, train)
    start = train if split == held[0] else train + lengths[0]
    return slice(start, start + lengths[held.index(split)])


def _public(name: str) -> str:
    return name if name in NAMES else f"tfds:{name}"
