"""What images take in files of a codec: trained, in closed form, or anybody's."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax import coding, metrics
from ae_jax.coding import Codec
from ae_jax.core import InputError

#: Pillow's formats by name, and what turns a setting into its options; colours are not subsampled
#: where a format lets one choose.
FORMATS: Mapping[str, Any] = {
    "JPEG": lambda quality: {"quality": quality, "optimize": True, "subsampling": 0},
    "WebP": lambda quality: {"quality": quality, "method": 6},
    "JPEG 2000": lambda decibels: {
        "quality_mode": "dB",
        "quality_layers": [decibels],
        "irreversible": True,
        "no_jp2": True,
    },
}


def measured(
    shown: np.ndarray, images: np.ndarray, bits: float, header_bits: float
) -> dict[str, float]:
    """Returns the figures of a codec.

    Args:
      shown: uint8 [N, H, W, C], what it made of them.
      images: uint8 [N, H, W, C].
      bits: that all of them took, without the header.
      header_bits: of the one file that they are in.
    """
    error = np.mean((shown.astype(np.float64) - images) ** 2) / 255**2
    return {
        "bits": bits / len(images),
        "file_bits": (bits + header_bits) / len(images),
        "psnr": float(-10 * np.log10(max(error, 1e-12))),
    }


def of_model(made: Codec, images: np.ndarray) -> dict[str, float]:
    """Returns the figures of a trained codec, in one file of all images.

    Args:
      made: the codec.
      images: uint8 [N, H, W, C].
    """
    tiles = coding.cut(coding.unit(images), made.tile)
    codes = coding.in_batches(made.encode, tiles)
    shown = coding.to_bytes(coding.joined(coding.in_batches(made.decode, codes), images.shape))
    bits = 8 * len(coding.encode(made.tables, codes))
    return measured(shown, images, bits, 8 * coding.HEADER_BYTES)


def of_format(name: str, setting: float, images: np.ndarray) -> dict[str, float]:
    """Returns the figures of one of `FORMATS`, in one file of all images side by side.

    Its header is what a file of a single black tile takes.

    Args:
      name: the format's.
      setting: quality, or decibels.
      images: uint8 [N, H, W, 1 or 3].
    """
    mosaic = _mosaic(images)
    black = _saved(name, setting, np.zeros_like(mosaic[:8, :8]))
    content = _saved(name, setting, mosaic)
    shown = _read(content, images.shape[-1])
    shown = coding.cut(shown[None], images.shape[1:])[: len(images)]
    header = 8 * len(black)
    return measured(shown, images, 8 * len(content) - header, header)


def of_transform(
    basis: np.ndarray, mean: np.ndarray, step: float, seen: np.ndarray, images: np.ndarray
) -> dict[str, float]:
    """Returns the figures of a uniform quantiser of coordinates, and the range coder.

    Args:
      basis: [K, D], orthonormal rows.
      mean: [D], in [0, 1].
      step: of the quantiser.
      seen: uint8 [M, h, w, C], tiles which tables are counted on.
      images: uint8 [N, H, W, C], which are cut into such tiles.
    """

    def codes(x: np.ndarray) -> np.ndarray:
        return np.rint((x.reshape(len(x), -1) / 255 - mean) @ basis.T / step).astype(np.int64)

    tables, own = coding.counted(codes(seen)), codes(coding.cut(images, seen.shape[1:]))
    decoded = ((own * step) @ basis + mean).reshape(-1, *seen.shape[1:])
    shown = coding.to_bytes(coding.joined(decoded, images.shape))
    bits = 8 * len(coding.encode(tables, own))
    return measured(shown, images, bits, 8 * coding.HEADER_BYTES)


def cosines(shape: Sequence[int]) -> np.ndarray:
    """Returns the discrete cosine transform of images (H, W, C), colours included, [D, D] rows."""
    from scipy.fft import dctn

    size = int(np.prod(shape))
    units = np.eye(size).reshape(size, *shape)
    return dctn(units, axes=(1, 2, 3), norm="ortho").reshape(size, size).T


def _mosaic(images: np.ndarray) -> np.ndarray:
    """All images side by side, and black where there are none left: [H, W, C]."""
    columns = math.isqrt(len(images) - 1) + 1
    rows = -(-len(images) // columns)
    black = np.zeros((rows * columns - len(images), *images.shape[1:]), np.uint8)
    height, width, channels = images.shape[1:]
    whole = (1, rows * height, columns * width, channels)
    return coding.joined(np.concatenate([images, black]), whole)[0]


def _saved(name: str, setting: float, pixels: np.ndarray) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.save(content, name.replace(" ", ""), **FORMATS[name](setting))
    return content.getvalue()


def _read(content: bytes, channels: int) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[list[float], list[float]]]]:
    """Returns bits and PSNR [K] of each codec, for each seed and learning rate.

    Points of several trainings on one curve would be the best of them on what they are tested on.

    Args:
      rows: with `codec`, `seed` and `learning_rate` where there are several, `bits` and `psnr`;
        others are left out.
    """
    found: dict[str, dict[Any, list[tuple[float, float]]]] = {}
    for row in rows:
        if row.get("bits", 0) > 0:
            training = row.get("seed"), row.get("learning_rate")
            points = found.setdefault(row["codec"], {}).setdefault(training, [])
            points.append((row["bits"], row["psnr"]))
    return {
        name: [tuple(map(list, zip(*points, strict=True))) for points in own.values()]
        for name, own in found.items()
    }


def compared(
    rows: Sequence[Mapping[str, Any]], ours: str, closest: str, decibels: Sequence[float]
) -> list[str]:
    """Says what codecs take at some qualities, and one of them less than the others.

    Args:
      rows: as for `curves`.
      ours: the codec that is compared.
      closest: the one of whose bits its share is said.
      decibels: the qualities.
    """
    found = {ours: [], **curves(rows)}
    said = []
    for level in decibels:
        at = {
            name: _mean(lambda curve, level=level: metrics.rate_at(*curve, level), own)
            for name, own in found.items()
        }
        words = ", ".join(f"{name} {text}" for name, (_, text) in at.items())
        share = f"{at[ours][0] / at[closest][0]:.2f}".replace("nan", "-")
        said.append(f"bits at {level:g} dB: {words}; {ours} by {closest} {share}.")
    against = {
        name: _mean(lambda curve, own=own: metrics.bd_rate(own[0], curve), found[ours])[1]
        for name, own in found.items()
        if name != ours
    }
    words = ", ".join(f"{name} {text}" for name, text in against.items())
    return [*said, f"bits of {ours} more than others' at equal PSNR (BD-rate, %): {words}."]


def _mean(
    measure: Callable[[tuple[list[float], list[float]]], float],
    own: Sequence[tuple[list[float], list[float]]],
) -> tuple[float, str]:
    """The mean over a codec's curves, and it in words with the spread."""
    try:
        values = np.array([measure(curve) for curve in own])
    except InputError:
        values = np.array([])
    if not values.size or not np.isfinite(values).all():
        return math.nan, "-"
    spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return float(values.mean()), f"{values.mean():.1f}{spread}"
