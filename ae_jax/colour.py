"""Colour spaces: sRGB, linear light, XYZ and CIE Lab, of which a distance is how unlike we see it.

All are pure functions of colours [..., 3], differentiable everywhere with finite gradients. Half
precision is computed, and comes back, as float32. sRGB and linear light are in [0, 1] on a screen
and not clipped: what a network makes of Lab may have no such colour (`jnp.clip` gives the nearest
by channel). XYZ has the Y of white at 1. Lab has L in [0, 100], and of sRGB a in [-86.2, 98.2] and
b in [-107.9, 94.5]: a network's range is rather scaled by 110 than rectified, which loses blue and
green.

Reference:
  IEC 61966-2-1 (1999), sRGB; ITU-R Recommendation BT.709, of the primaries; ISO/CIE 11664-4, Lab.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

from ae_jax.core import POSITIVE, Array, InputError

#: XYZ of linear red, green and blue, a column each: the primaries of BT.709, with white at D65.
XYZ_OF_RGB = np.array(
    [
        (0.412453, 0.357580, 0.180423),
        (0.212671, 0.715160, 0.072169),
        (0.019334, 0.119193, 0.950227),
    ]
)
#: XYZ of white: that of the matrix, so that greys have a = b = 0 and no rounding is seen as a hue.
D65 = tuple(map(float, XYZ_OF_RGB.sum(axis=1)))
#: What `chroma` divides a and b by, so that they lie between -1 and 1.
SCALE = 110.0
#: Where the cube root of Lab begins, and a straight line ends that has its value and slope there.
_KNEE = 6 / 29


def srgb_to_linear(srgb: Array) -> Array:
    """Linear light [..., 3] of sRGB, as pixels store it; below 0 the line goes on."""
    srgb = _colours(srgb)
    curve = ((jnp.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4
    return jnp.where(srgb > 0.04045, curve, srgb / 12.92)


def linear_to_srgb(linear: Array) -> Array:
    """sRGB [..., 3] of linear light; below 0 the line goes on."""
    linear = _colours(linear)
    curve = 1.055 * jnp.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return jnp.where(linear > 0.0031308, curve, 12.92 * linear)


def linear_to_xyz(linear: Array) -> Array:
    """XYZ [..., 3] of linear light."""
    return _mixed(_colours(linear), XYZ_OF_RGB)


def xyz_to_linear(xyz: Array) -> Array:
    """Linear light [..., 3] of XYZ."""
    return _mixed(_colours(xyz), np.linalg.inv(XYZ_OF_RGB))


def xyz_to_lab(xyz: Array, white: tuple[float, float, float] = D65) -> Array:
    """CIE Lab [..., 3] of XYZ.

    Args:
      xyz: [..., 3].
      white: XYZ of what is white. Other programs round D65 otherwise; scikit-image's
        (0.95047, 1, 1.08883) moves a and b by up to 0.005.
    """
    xyz = _colours(xyz)
    part = _mixed(xyz, np.diag(1 / _white(white)))
    root = jnp.cbrt(jnp.maximum(part, _KNEE**3))
    f = jnp.where(part > _KNEE**3, root, part / (3 * _KNEE**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return jnp.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_xyz(lab: Array, white: tuple[float, float, float] = D65) -> Array:
    """XYZ [..., 3] of CIE Lab, for the same `white` as `xyz_to_lab`."""
    lab = _colours(lab)
    y = (lab[..., 0] + 16) / 116
    f = jnp.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    part = jnp.where(f > _KNEE, f**3, 3 * _KNEE**2 * (f - 4 / 29))
    return _mixed(part, np.diag(_white(white)))


def rgb_to_lab(srgb: Array) -> Array:
    """CIE Lab of sRGB.

    Args:
      srgb: float [..., 3] in [0, 1], as of a data set's images.

    Returns:
      [..., 3]: L, how light, from 0 to 100; a, from green to red; b, from blue to yellow.

    Raises:
      InputError: colours are bytes, or have not three numbers.
    """
    return xyz_to_lab(linear_to_xyz(srgb_to_linear(srgb)))


def lab_to_rgb(lab: Array) -> Array:
    """sRGB [..., 3] of CIE Lab, which leaves [0, 1] where no screen shows the colour.

    Raises:
      InputError: colours are integers, or have not three numbers.
    """
    return linear_to_srgb(xyz_to_linear(lab_to_xyz(lab)))


def lightness(srgb: Array) -> Array:
    """L of CIE Lab [..., 1] of sRGB, from -1 to 1: what colours are to be told by."""
    return rgb_to_lab(srgb)[..., :1] / 50 - 1


def chroma(srgb: Array) -> Array:
    """The a and b of CIE Lab [..., 2] of sRGB over `SCALE`."""
    return rgb_to_lab(srgb)[..., 1:] / SCALE


def coloured(srgb: Array, found: Array) -> Array:
    """SRGB [..., 3] of images' own lightness, and of colours as `chroma` has them; not clipped."""
    own, found = rgb_to_lab(srgb)[..., :1], jnp.asarray(found)
    if found.shape != (*own.shape[:-1], 2) or not jnp.issubdtype(found.dtype, jnp.floating):
        raise InputError(
            f"colours as of chroma are floats {[*own.shape[:-1], 2]} here, got {found.dtype} "
            f"{list(found.shape)}"
        )
    return lab_to_rgb(jnp.concatenate([own, SCALE * found.astype(own.dtype)], axis=-1))


def delta_e(lab: Array, other: Array) -> Array:
    """How unlike two colours look: their distance in Lab, of which about 2.3 is just noticed.

    Args:
      lab: [..., 3].
      other: [..., 3].

    Returns:
      [...]; its gradient is 0 where the two are equal.

    Raises:
      InputError: the shapes differ, colours are integers or have not three numbers.

    Reference:
      CIE 15 (1976), the difference CIE76.
    """
    lab, other = _colours(lab), _colours(other)
    if lab.shape != other.shape:
        raise InputError(f"colours of shapes {lab.shape} and {other.shape} have no difference")
    square = jnp.sum((lab - other) ** 2, axis=-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _white(white: tuple[float, float, float]) -> np.ndarray:
    """XYZ of what is white, three numbers above 0."""
    numbers = np.asarray(white, float)
    if numbers.shape != (3,) or not all(number in POSITIVE for number in numbers):
        raise InputError(f"white is {white}: use its X, Y and Z, each more than 0")
    return numbers


def _mixed(colours: Array, matrix: np.ndarray) -> Array:
    """A matrix times each colour, in full precision on every device."""
    transposed = jnp.asarray(matrix.T, colours.dtype)
    return jnp.matmul(colours, transposed, precision=lax.Precision.HIGHEST)


def _colours(values: Array) -> Array:
    values = jnp.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise InputError(f"colours are floats, got {values.dtype}; scale images to [0, 1]")
    if values.ndim == 0 or values.shape[-1] != 3:
        raise InputError(f"colours have three numbers [..., 3], got shape {list(values.shape)}")
    return values.astype(np.promote_types(values.dtype, np.float32))
