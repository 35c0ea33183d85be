"""`images:<folder>`: a folder of pictures of one size."""

from pathlib import Path

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.splits import held_out, part, shuffled, stratified
from ae_jax.data.stored import stored, subset

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_GREY, _COLOUR = {"1", "L"}, {"P", "RGB", "RGBA", "CMYK", "YCbCr", "LA", "PA"}


def load(folder: str, split: str) -> Dataset:
    """Loads all pictures of a folder and its subfolders, in the order of their paths.

    Where every picture lies in a subfolder, the subfolders, sorted, are the labels. Pictures
    become grey if all of them are, RGB otherwise; transparency is dropped.

    Args:
      folder: its path.
      split: validation and test (a tenth each, at most 10,000, chosen at random once and for
        all, with each label in its proportion), train (the rest), or all.

    Returns:
      A Dataset with `image` and perhaps `label`.

    Raises:
      InputError: no folder or no pictures, an unreadable one, or different sizes.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("images: needs Pillow: pip install pillow") from error

    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"there is no folder {folder}")
    paths = sorted(
        (path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES),
        key=lambda path: path.parts,
    )
    if not paths:
        raise InputError(f"there are no pictures ({', '.join(sorted(_SUFFIXES))}) in {folder}")

    # Sizes and modes are in the headers: a folder that does not fit is refused at once.
    headers = [_open(Image, root, path, lambda image: (image.size, image.mode)) for path in paths]
    for path, (size, mode) in zip(paths, headers, strict=True):
        if size != headers[0][0]:
            raise InputError(
                f"pictures must have one size: {root / paths[0]} is {_by(headers[0][0])}, "
                f"{root / path} is {_by(size)}"
            )
        if mode not in _GREY | _COLOUR:
            raise InputError(f"{root / path} is of mode {mode}; convert it to 8 bits per channel")
    mode = "L" if all(mode in _GREY for _, mode in headers) else "RGB"
    (width, height), _ = headers[0]
    images = np.empty((len(paths), height, width, len(mode)), np.uint8)
    for index, path in enumerate(paths):
        pixels = _open(Image, root, path, lambda image: np.asarray(image.convert(mode)))
        images[index] = pixels.reshape(images.shape[1:])

    label = None
    if all(len(path.parts) > 1 for path in paths):
        label = np.unique([path.parts[0] for path in paths], return_inverse=True)[1]
    whole = stored(images, label, origin=folder)
    order = shuffled(whole.size) if label is None else stratified(label)
    cut = held_out(whole.size)
    return subset(whole, part(order, split, (cut, cut), folder))


def _open(Image, root: Path, path: Path, read):
    try:
        with Image.open(root / path) as image:
            return read(image)
    except Exception as error:  # PIL raises nearly anything on damaged files
        reason = str(error).split("\n")[0]
        raise InputError(f"cannot read the picture {root / path}: {reason}") from error


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
