"""Data sets of the TFDS catalogue: prepared once with TensorFlow, then read without it.

`scripts/prepare_data.py` downloads a data set and writes it in TFDS's array_record format.
The first `load` decodes its images into one uint8 array, kept as a .npy file in the folder
`ae_jax` beside the prepared data and memory-mapped from then on.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.content import digest_of_arrays
from ae_jax.data.parts import reason, usual_scale
from ae_jax.data.splits import held_out, shuffled
from ae_jax.data.stored import assembled
from ae_jax.data.transforms import subset

#: Data sets of the catalogue that go by their own name; any other is `tfds:<name>`.
NAMES = ("mnist", "fashion_mnist", "kmnist", "cifar10", "dsprites", "celeb_a")
#: The features that are factors, in the order of the data's authors, which TFDS may forget; of
#: other data sets those called label_..., in the alphabet's.
_FACTORS = {
    "dsprites": ("shape", "scale", "orientation", "x_position", "y_position"),
    "smallnorb": ("category", "instance", "elevation", "azimuth", "lighting"),
    "shapes3d": ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
}
#: Changes when the decoded arrays do, so that older files are not taken for them.
_CACHE_VERSION = 1


def load(
    name: str,
    split: str,
    data_dir: str | os.PathLike | None = None,
    value_range: tuple[float, float] | None = None,
) -> Dataset:
    """Loads a prepared data set.

    Args:
      name: a name of the TFDS catalogue, with its configuration where it has several, as in
        emnist/letters.
      split: train, validation, test or all. A split that the data set lacks is cut off the
        end of its train split: a tenth, at most 10,000 examples.
      data_dir: where it was prepared; by default $TFDS_DATA_DIR or ~/tensorflow_datasets.
      value_range: the values of images that stand for 0 and 1, where they are not 0 and 255, or
        0 and 1 if there are no others.

    Returns:
      A Dataset with `image`, `label` where it has one, and `factors` where it has features
      called label_...: for dsprites shape, scale, orientation, x, y; for shapes3d hues of floor,
      wall and object, scale, shape, orientation; for smallnorb category, instance, elevation,
      azimuth, lighting, of which `all` has every combination. Images of celeb_a are the 140x140
      pixels in the middle, resized to 64x64.

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
    kept = _kept(name, builder, columns, root)
    low, high = kept.facts["extremes"]
    scale = usual_scale(np.dtype(np.uint8), low, high, value_range, name)
    whole = assembled(kept.arrays, scale, columns.factor_sizes, kept.facts["digest"])
    return subset(whole, _rows(kept.facts["sizes"], split, name))


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
        raise InputError(
            f"TFDS has no data set {name!r}, nor has {root}: {reason(error)}"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read what is prepared in {root}: {reason(error)}") from error


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
    classes = {key: getattr(features[key], "num_classes", None) for key in features}
    known = _FACTORS.get(name.partition("/")[0].partition(":")[0], ())
    factors = [key for part in known for key in (f"label_{part}", part) if classes.get(key)]
    factors = factors or sorted(key for key in classes if key.startswith("label_") and classes[key])
    sizes = {key.removeprefix("label_").removesuffix("_position"): classes[key] for key in factors}
    label = "label" in features and np.issubdtype(features["label"].np_dtype, np.integer)
    label = label and not features["label"].shape
    return _Columns(shape, transform, label, tuple(factors), sizes)


def _middle(image: np.ndarray) -> np.ndarray:
    """The 140x140 pixels in the middle, [64, 64, C]."""
    from PIL import Image

    top, left = ((length - 140) // 2 for length in image.shape[:2])
    middle = Image.fromarray(image[top : top + 140, left : left + 140])
    return np.asarray(middle.resize((64, 64), Image.Resampling.BILINEAR))


class _Kept(NamedTuple):
    """All examples, train before validation before test, and what is known of them.

    Facts: `sizes` and `bytes` of each split, as TFDS has them, `shapes` of the arrays; the
    `extremes` of the images and the `digest` of the arrays, found once, when they are written.
    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def _kept(name: str, builder: Any, columns: _Columns, root: str) -> _Kept:
    splits = {
        split: builder.info.splits[split]
        for split in ("train", "validation", "test")
        if split in builder.info.splits and builder.info.splits[split].num_examples
    }
    if "train" not in splits:
        raise InputError(f"{name} has no train split, but {', '.join(builder.info.splits)}")
    total = sum(info.num_examples for info in splits.values())
    shapes = {"image": [total, *columns.shape]}
    shapes |= {"label": [total]} if columns.label else {}
    shapes |= {"factors": [total, len(columns.factors)]} if columns.factors else {}
    source = {
        "sizes": {split: info.num_examples for split, info in splits.items()},
        "bytes": {split: info.num_bytes for split, info in splits.items()},
        "shapes": shapes,
    }
    source |= {"factors": list(columns.factors)} if columns.factors else {}

    def decode(folder: Path | None) -> _Kept:
        arrays = _allocated(shapes, folder)
        _decode(name, builder, columns, source["sizes"], arrays)
        extremes = [int(arrays["image"].min()), int(arrays["image"].max())]
        return _Kept(arrays, {**source, "extremes": extremes, "digest": digest_of_arrays(arrays)})

    if "://" in root:  # a remote store has no files to map
        return decode(None)
    folder = Path(root, "ae_jax", builder.info.full_name.replace("/", "-") + f"-{_CACHE_VERSION}")
    return _read(folder, source) or _write(folder, source, decode)


def _read(folder: Path, source: Mapping[str, Any]) -> _Kept | None:
    """What is kept in a folder; None where it is absent, damaged or of other data.

    Raises:
      InputError: it cannot be read for another reason, and may be whole.
    """
    try:
        facts = json.loads((folder / "facts.json").read_text())
        if {key: facts[key] for key in source} != source:
            return None
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
        whole = {key: list(array.shape) for key, array in arrays.items()} == source["shapes"]
        return _Kept(arrays, facts) if whole and {"extremes", "digest"} <= facts.keys() else None
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, EOFError):
        return None
    except OSError as error:
        raise InputError(f"cannot read {folder}: {reason(error)}") from error


def _write(
    folder: Path, source: Mapping[str, Any], decode: Callable[[Path | None], _Kept]
) -> _Kept:
    """Keeps what `decode` gives in a folder that appears complete or not at all."""
    with contextlib.ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            facts = decode(scratch).facts
            (scratch / "facts.json").write_text(json.dumps(facts))
            scratch.chmod(0o755)
        except OSError as error:  # a shared folder that only others may write, a full disk
            stack.close()
            warnings.warn(
                f"the decoded images cannot be kept in {folder.parent} ({reason(error)}), and "
                "are decoded again whenever they are loaded",
                stacklevel=2,
            )
            return decode(None)
        if _read(folder, source) is None:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            scratch.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was first
                raise InputError(f"cannot write {folder}: {reason(error)}") from error
        kept = _read(folder, source)
    if kept is None:
        raise InputError(f"cannot read back the images kept in {folder}; delete it and try again")
    return kept


def _allocated(shapes: Mapping[str, list[int]], folder: Path | None) -> dict[str, np.ndarray]:
    """Arrays for all examples, in files of the folder or, without one, in memory."""
    dtypes = {"image": np.uint8, "label": np.int32, "factors": np.int32}
    if folder is None:
        return {key: np.empty(shape, dtypes[key]) for key, shape in shapes.items()}
    arrays = {}
    for key, shape in shapes.items():
        path = folder / f"{key}.npy"
        arrays[key] = np.lib.format.open_memmap(path, "w+", dtypes[key], tuple(shape))
        if hasattr(os, "posix_fallocate"):  # a full disk would end the process where it is mapped
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return arrays


def _decode(
    name: str,
    builder: Any,
    columns: _Columns,
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Decodes every example into the arrays."""
    from tqdm import tqdm

    row = 0
    # disable=None: no bar where the output is not a terminal.
    with tqdm(
        total=len(arrays["image"]), desc=f"decoding {name}", unit="image", disable=None
    ) as bar:
        for split, size in sizes.items():
            source = _source(name, builder, split)
            # TFDS shuffles as it prepares, unless told not to; validation needs it shuffled.
            order = shuffled(size) if builder.info.disable_shuffling else np.arange(size)
            for index in order.tolist():
                try:
                    example = source[index]
                    arrays["image"][row] = columns.transform(example["image"])
                except Exception as error:  # the reader's of records, the decoder's of images
                    raise InputError(
                        f"cannot decode image {index} of {name}'s {split}: {reason(error)}"
                    ) from error
                if columns.label:
                    arrays["label"][row] = example["label"]
                if columns.factors:
                    arrays["factors"][row] = [example[key] for key in columns.factors]
                row += 1
                bar.update()
    for array in arrays.values():
        if isinstance(array, np.memmap):
            array.flush()


def _source(name: str, builder: Any, split: str) -> Any:
    try:
        return builder.as_data_source(split)
    except NotImplementedError as error:
        raise InputError(
            f"{name} is prepared in {builder.data_dir} in a format that only TensorFlow reads: "
            "delete that folder, or choose another data directory, and prepare it again with "
            f"`python scripts/prepare_data.py {_public(name)}`"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {builder.data_dir}: {reason(error)}") from error


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
