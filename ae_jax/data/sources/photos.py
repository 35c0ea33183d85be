"""Patches of photographs that libraries ship: colour, edges and textures without a network.

Three come with scikit-learn and matplotlib, eight more with scikit-image. What the packages say of
their origin and licence:

- china, flower (scikit-learn): by danielbuechele and by vultilion (flickr), licence CC BY 2.0,
  https://creativecommons.org/licenses/by/2.0/
- grace_hopper (matplotlib): nothing is said; a portrait of the US Navy, in the public domain.
- astronaut, hubble_deep_field: NASA, public domain.
- chelsea, coffee: CC0, by Stefan van der Walt and by Rachel Michetti.
- retina: CC0, Haeggstroem (2014), Medical gallery, doi:10.15347/wjm/2014.008.
- rocket: SpaceX, released into the public domain.
- ihc, tissue stained (CMMI): no known copyright restrictions.
- motorcycle_left: of the Middlebury stereo benchmark (Scharstein et al., 2014); no licence is said.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.stored import stored

_SCIKIT_LEARN = "sklearn", "datasets/images"
_MATPLOTLIB = "matplotlib", "mpl-data/sample_data"
_SCIKIT_IMAGE = "skimage", "data"
#: The module that a photograph comes with, its folder in that, and its file.
FILES: Mapping[str, tuple[str, str, str]] = {
    "china": (*_SCIKIT_LEARN, "china.jpg"),
    "flower": (*_SCIKIT_LEARN, "flower.jpg"),
    "grace_hopper": (*_MATPLOTLIB, "grace_hopper.jpg"),
    "astronaut": (*_SCIKIT_IMAGE, "astronaut.png"),
    "hubble_deep_field": (*_SCIKIT_IMAGE, "hubble_deep_field.jpg"),
    "ihc": (*_SCIKIT_IMAGE, "ihc.png"),
    "retina": (*_SCIKIT_IMAGE, "retina.jpg"),
    "rocket": (*_SCIKIT_IMAGE, "rocket.jpg"),
    "coffee": (*_SCIKIT_IMAGE, "coffee.png"),
    "chelsea": (*_SCIKIT_IMAGE, "chelsea.png"),
    "motorcycle_left": (*_SCIKIT_IMAGE, "motorcycle_left.png"),
}
_INSTALL = {
    "sklearn": "pip install scikit-learn",
    "matplotlib": "pip install matplotlib",
    "skimage": "pip install 'ae-jax[images]'",
}
#: Which of the eleven are in which split.
ELEVEN = {
    "train": ("china", "flower", "astronaut", "hubble_deep_field", "ihc", "retina", "rocket"),
    "validation": ("coffee",),
    "test": ("grace_hopper", "chelsea", "motorcycle_left"),
}
#: Of the three: train and validation are cut from the same, for lack of more.
THREE = {
    "train": ("china", "flower"),
    "validation": ("china", "flower"),
    "test": ELEVEN["test"][:1],
}
#: Pixels: validation is the right end of both photographs, and the gap before it is in no split.
STRIP, GAP = 128, 32
#: Of larger photographs, the middle, lest one of them be most of the data.
LONGEST = 640


def load(split: str, more: bool = False) -> Dataset:
    """Patches of 32x32 pixels that overlap by half, in colour: of three photographs, or of eleven.

    Args:
      split: train, validation, test or all; as of `photographs`. Of three photographs, 1,450,
        350, 1,116 and 3,066 patches, 9 MB in all; of eleven, 7,889, 864, 2,745 and 11,498, 35 MB.
      more: whether to take eleven.

    Returns:
      A Dataset with `image` [32, 32, 3].

    Raises:
      InputError: a library that the photographs come with is not installed.
    """
    return patches(split, more=more)


def patches(split: str, size: int = 32, stride: int | None = None, more: bool = False) -> Dataset:
    """Square patches of the photographs of a split, on a grid.

    Args:
      split: train, validation, test or all.
      size: of a patch, in pixels a side.
      stride: pixels from one patch to the next, down and across; by default half the size.
      more: whether to take eleven photographs instead of three.

    Returns:
      A Dataset with `image` [size, size, 3], stored as bytes: photograph by photograph in the
      order of `photographs`, row by row.

    Raises:
      InputError: a size or stride below 1, a patch larger than a photograph, or a library is not
        installed.
    """
    stride = max(1, size // 2) if stride is None else stride
    if size < 1 or stride < 1:
        raise InputError(f"patches need a size and a stride of at least 1, got {size} and {stride}")
    whole = photographs(split, more)
    shortest = min(min(picture.shape[:2]) for picture in whole.values())
    if size > shortest:
        raise InputError(f"patches of {size} pixels do not fit photographs of {shortest}")
    cut = []
    for picture in whole.values():
        windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size), axis=(0, 1))
        chosen = np.moveaxis(windows[::stride, ::stride], 2, -1)
        cut.append(chosen.reshape(-1, size, size, 3))
    return stored(np.concatenate(cut), value_range=(0, 255), origin="photos")


def photographs(split: str, more: bool = False) -> dict[str, np.ndarray]:
    """The photographs of a split.

    Three are few: train has the left of two, 480 pixels wide, validation the right, 128 wide,
    after a gap of 32, and test the third. Of eleven, train has seven, validation one and test
    three, those of three where they were: test shows no photograph that any train has.

    Args:
      split: train, validation, test, or all: whole ones, gap included.
      more: whether to take eleven instead of three.

    Returns:
      By name, uint8 [H, W, 3]; of what is higher or wider than 640 pixels, the middle 640.

    Raises:
      InputError: the split is unknown, or a library that they come with is not installed.
    """
    splits = ELEVEN if more else THREE
    names = tuple(dict.fromkeys(sum(splits.values(), ()))) if split == "all" else splits.get(split)
    if names is None:
        raise InputError(f"unknown split {split!r}; choose from {', '.join(splits)}, all")
    found = {name: _photograph(name) for name in names}
    if more or split not in ("train", "validation"):
        return found
    columns = slice(-STRIP - GAP) if split == "train" else slice(-STRIP, None)
    return {name: picture[:, columns] for name, picture in found.items()}


def _photograph(name: str) -> np.ndarray:
    module, folder, file = FILES[name]
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("photos are read by pillow: pip install pillow") from error
    spec = importlib.util.find_spec(module)  # it is not imported
    if spec is None or spec.origin is None:
        raise InputError(f"the photo {name} comes with {module}: {_INSTALL[module]}")
    try:
        with Image.open(Path(spec.origin).parent / folder / file) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise InputError(f"the photo {name} of {module} is not to be read: {error}") from error
    rows, columns = (max(0, length - LONGEST) // 2 for length in pixels.shape[:2])
    return pixels[rows:, columns:][:LONGEST, :LONGEST]
