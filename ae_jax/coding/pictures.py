"""Pictures of any size by models of one: cut into tiles, encoded, and put together again."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ae_jax.coding import tables as coder
from ae_jax.coding.container import Container, pack, unpack
from ae_jax.core import InputError

#: So many tiles are encoded at once: always as many, so that a tile's pixels never depend on the
#: size of its picture.
BATCH = 1024


class Codec(NamedTuple):
    """A model that is ready to write files.

    Attributes:
      tile: height, width and channels of what it encodes, grey or RGB.
      encode: floats in [0, 1] [B, *tile] -> int [B, Z].
      decode: int [B, Z] -> floats [B, *tile].
      tables: of its latents.
      digest: names it, 8 bytes: of another one files are refused.
    """

    tile: tuple[int, int, int]
    encode: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[np.ndarray], np.ndarray]
    tables: Sequence[coder.Table]
    digest: bytes


def compress(
    codec: Codec, pixels: np.ndarray, progress: Callable[[Iterable], Iterable] = iter
) -> bytes:
    """Returns a picture as the bytes of a file.

    Its right and lower edges are repeated up to whole tiles. Of a colour picture a grey model
    encodes each channel, of a grey one a colour model encodes three equal ones.

    Args:
      codec: the model.
      pixels: uint8 [H, W, 1 or 3].
      progress: told of the batches, such as `tqdm.tqdm`.

    Raises:
      InputError: if it is no such picture, or as `coding.encode`.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise InputError(
            f"a picture must be uint8 [H, W, 1 or 3], got {pixels.dtype} {list(pixels.shape)}"
        )
    if not pixels.size:
        raise InputError("a picture has no pixels")
    tiles = cut(_planes(pixels, codec.tile), codec.tile)
    codes = in_batches(codec.encode, unit(tiles), progress)
    return pack(Container(codec.digest, pixels.shape, coder.encode(codec.tables, codes)))


def decompress(
    codec: Codec, content: bytes, progress: Callable[[Iterable], Iterable] = iter
) -> np.ndarray:
    """Returns the picture of a file, uint8 [H, W, 1 or 3].

    Args:
      codec: what wrote it.
      content: the file's bytes.
      progress: told of the batches.

    Raises:
      InputError: if another model wrote it, it cannot be read, as `container.unpack`, or the model
        makes no such tiles.
    """
    model, shape, payload = unpack(content)
    if model != codec.digest:
        raise InputError("another model wrote it: decode it with that model's run")
    planes = shape[2] if codec.tile[2] == 1 else 1
    wanted = (planes, *shape[:2], codec.tile[2])
    codes = coder.decode(codec.tables, payload, count(wanted, codec.tile))
    tiles = in_batches(codec.decode, codes, progress)
    if tiles.shape[1:] != tuple(codec.tile) or not np.isfinite(tiles).all():
        raise InputError(
            f"the model makes tiles {list(tiles.shape[1:])}, or numbers that are not finite, where "
            f"its codec says {[*codec.tile]}: use its own"
        )
    images = joined(tiles, wanted)
    picture = np.concatenate([*images], axis=-1)
    if picture.shape[2] > shape[2]:  # a grey one of a colour model
        picture = picture.mean(axis=-1, keepdims=True)
    return to_bytes(picture)


def unit(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8 as floats in [0, 1]."""
    return pixels.astype(np.float32) * np.float32(1 / 255)


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Returns floats as they are shown, uint8: 0 for 0 and less, 255 for 1 and more."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def _planes(pixels: np.ndarray, tile: tuple[int, int, int]) -> np.ndarray:
    """Pictures [P, H, W, C] of as many channels as a tile has."""
    if tile[2] == pixels.shape[2]:
        return pixels[None]
    if tile[2] == 1:
        return np.moveaxis(pixels, -1, 0)[..., None]
    return np.repeat(pixels[None], tile[2], axis=-1)


def cut(planes: np.ndarray, tile: tuple[int, int, int]) -> np.ndarray:
    """Cuts images [P, H, W, C] into tiles [N, *tile], row by row; edges are repeated."""
    height, width, channels = tile
    short = [(0, -size % side) for size, side in zip(planes.shape[1:], tile[:2], strict=False)]
    padded = np.pad(planes, [(0, 0), *short, (0, 0)], mode="edge")
    grid = padded.reshape(
        len(planes), padded.shape[1] // height, height, padded.shape[2] // width, width, channels
    )
    return grid.swapaxes(2, 3).reshape(-1, *tile)


def count(shape: Sequence[int], tile: Sequence[int]) -> int:
    """Returns into how many tiles images [P, H, W, C] are cut."""
    return shape[0] * -(-shape[1] // tile[0]) * -(-shape[2] // tile[1])


def joined(tiles: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Puts the images [P, H, W, C] together again that `cut` made tiles of."""
    images, height, width, channels = shape
    _, high, wide, _ = tiles.shape
    rows, columns = -(-height // high), -(-width // wide)
    grid = tiles.reshape(images, rows, columns, high, wide, channels).swapaxes(2, 3)
    return grid.reshape(images, rows * high, columns * wide, channels)[:, :height, :width]


def in_batches(
    f: Callable[[Any], Any],
    given: np.ndarray,
    progress: Callable[[Iterable], Iterable] = iter,
) -> np.ndarray:
    """Returns f of examples [N, ...], of `BATCH` at a time, of which the last ones may be zeros."""
    found = []
    for start in progress(range(0, len(given), BATCH)):
        batch = given[start : start + BATCH]
        missing = [(0, BATCH - len(batch))] + [(0, 0)] * (given.ndim - 1)
        found.append(np.asarray(f(np.pad(batch, missing)))[: len(batch)])
    return np.concatenate(found)
