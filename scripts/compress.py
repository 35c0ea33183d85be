"""Compresses pictures with a trained model, and makes pictures of its files again.

    python experiments/image_compression.py --out runs/codec
    python scripts/compress.py encode runs/codec photo.png scan.jpg --lane 3
    python scripts/compress.py decode runs/codec photo.png.aej scan.jpg.aej

`encode` writes NAME.aej beside NAME, `decode` NAME.decoded.png beside NAME.aej; no file is written
over. A picture of any size is cut into tiles of the size that the model was trained on. A file says
which model wrote it, so that `decode` needs the run and no lane, and gives the same pixels
every time.
"""

import contextlib
import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tqdm
import tyro

from ae_jax import coding, metrics
from ae_jax.core import InputError
from ae_jax.experiment import codecs

SUFFIX = ".aej"
#: Modes of Pillow with 8 bits for a channel, or fewer.
_GREY, _COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def main(
    action: Annotated[Literal["encode", "decode"], tyro.conf.Positional],
    run: Annotated[Path, tyro.conf.Positional],
    files: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    lane: int | None = None,
) -> None:
    """Compresses pictures, or makes pictures of what was compressed.

    Args:
      action: encode or decode.
      run: the directory of a finished run of experiments/image_compression.py.
      files: PNG or JPEG pictures to encode, or files to decode.
      lane: whose model encodes; needed where the run has several.
    """
    try:
        (encode if action == "encode" else decode)(run, files, lane)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: repeat the command with the files that are left", file=sys.stderr)
        sys.exit(130)


def encode(run: Path, files: tuple[Path, ...], lane: int | None = None) -> None:
    """Writes a file for each picture; see `main`.

    Raises:
      InputError: before anything is written, if a picture cannot be read, a file is there already,
        or the run has not this one codec.
    """
    pictures = {path: read(path) for path in named(files)}
    targets = new(files, lambda path: path.name + SUFFIX)
    found = codecs.opened(run, lane)
    if len(found) > 1:
        raise InputError(f"{run} has lanes {', '.join(map(str, found))}: choose one, as --lane 0")
    (codec,) = found.values()
    for path, target in step_by_step(targets):
        pixels = pictures[path]
        content = coding.compress(codec, pixels, bar)
        write(target, content)
        bits = metrics.bits_per_pixel(8 * len(content), pixels.shape)
        print(f"{target}: {len(content):,} bytes, {bits:.3f} bits per pixel", flush=True)


def decode(run: Path, files: tuple[Path, ...], lane: int | None = None) -> None:
    """Makes a picture of each file; see `main`.

    Raises:
      InputError: before anything is written, if a file cannot be read, is damaged or of another
        model, or a picture is there already.
    """
    from PIL import Image

    contents = {path: whole(path) for path in named(files)}
    targets = new(files, lambda path: path.name.removesuffix(SUFFIX) + ".decoded.png")
    models = {codec.digest: codec for codec in codecs.opened(run, lane).values()}
    for path, content in contents.items():
        if coding.unpack(content).model not in models:
            which, advice = f"those of {run}", "give its run"
            if lane is not None:
                which, advice = f"lane {lane} of {run}", "leave out --lane, or give its run"
            raise InputError(f"{path}: another model wrote it than {which}: {advice}")
    for path, target in step_by_step(targets):
        codec = models[coding.unpack(contents[path]).model]
        pixels = coding.decompress(codec, contents[path], bar)
        made = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(made, "PNG")
        write(target, made.getvalue())
        print(f"{target}: {pixels.shape[1]} x {pixels.shape[0]} pixels", flush=True)


def read(path: Path) -> np.ndarray:
    """Returns a picture as it is seen, uint8 [H, W, 1 or 3].

    Raises:
      InputError: if it is none, has more than 8 bits for a channel, or is transparent.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            image = ImageOps.exif_transpose(image)
            mode, clear = image.mode, False
            if image.has_transparency_data:
                clear = image.convert("RGBA").getchannel("A").getextrema()[0] < 255
            pixels = np.asarray(image.convert("L" if mode in _GREY else "RGB"))
    except Exception as error:  # Pillow raises nearly anything on damaged files
        reason = getattr(error, "strerror", None) or "it is no whole PNG or JPEG"
        raise InputError(f"cannot read the picture {path}: {reason}") from error
    if mode not in (*_GREY, *_COLOUR):
        raise InputError(f"{path} is of mode {mode}: convert it to 8 bits for a channel")
    if clear:
        raise InputError(f"{path} is transparent, which files do not keep: put it on a background")
    return pixels.reshape(*pixels.shape[:2], -1)


def whole(path: Path) -> bytes:
    """Returns the bytes of a compressed picture.

    Raises:
      InputError: if there is none, or it is not whole.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    try:
        coding.unpack(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return content


def named(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Returns the files, of which there is at least one."""
    if not files:
        raise InputError("name a file")
    return files


def new(files: tuple[Path, ...], name) -> dict[Path, Path]:
    """Returns where each file's result goes, beside it.

    Raises:
      InputError: if there is something.
    """
    targets = {path: path.with_name(name(path)) for path in files}
    if len({*targets.values()}) < len(files):
        raise InputError("a file is named twice: name each once")
    for target in targets.values():
        if target.exists():
            raise InputError(f"{target} is there already: move it first")
    return targets


def write(target: Path, content: bytes) -> None:
    """Writes a new file, or nothing."""
    try:
        with target.open("xb") as file:
            try:
                file.write(content)
            except BaseException:
                target.unlink()
                raise
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None


def step_by_step(targets: dict[Path, Path]) -> Iterable[tuple[Path, Path]]:
    """Yields the files and their targets, and says which it is at."""
    for count, (path, target) in enumerate(targets.items(), 1):
        print(f"[{count}/{len(targets)}] {path}", flush=True)
        yield path, target


def bar(batches: Iterable) -> Iterable:
    """Shows how many batches of tiles are done, on a terminal."""
    return tqdm.tqdm(batches, leave=False, disable=None)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        tyro.cli(main)
