"""The Poincare ball of curvature -c: points of R^Z whose norm is below 1 / sqrt(c).

Lengths near x are lambda(x) = 2 / (1 - c |x|^2) times what they are in R^Z, 2 times at the origin.
Tangent vectors are those of R^Z, but for `reached` and `seen`, whose vectors have the length that
is measured there. Where c is 0 the ball is all of R^Z, and distances are twice what they are there.

Differences are taken before they are divided by 1 - c |x|^2, so that points near the boundary, of
which single precision tells those apart that are up to 12 / sqrt(c) from the origin, keep their
digits.

Reference:
  Ganea, Becigneul and Hofmann (2018), Hyperbolic Neural Networks, section 2; Ungar (2008), A
  Gyrovector Space Approach to Hyperbolic Geometry.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ae_jax.core import NOT_NEGATIVE, Array, InputError
from ae_jax.probability._examples import matched


def require_curvature(curvature: Array | float) -> None:
    """Raises InputError where a curvature's c, unless it is traced, is no number of 0 or more."""
    if not isinstance(curvature, jax.core.Tracer) and curvature not in NOT_NEGATIVE:
        raise InputError(f"curvature is {curvature!r}: use 0 or more, as it is taken negative")


def conformal_factor(x: Array, curvature: Array | float) -> Array:
    """By how much lengths are longer at x than in R^Z.

    Args:
      x: [..., Z], of the ball.
      curvature: c, 0 or more; as in all functions here.

    Returns:
      [...], 2 / (1 - c |x|^2).
    """
    return 2 / _room(x, curvature)[..., 0]


def mobius_add(x: Array, y: Array, curvature: Array | float) -> Array:
    """The sum of two points: y, after the move along geodesics that takes the origin to x.

    Args:
      x: [..., Z], of the ball.
      y: [..., Z], likewise.
      curvature: c.

    Returns:
      [..., Z].

    Reference:
      Ganea, Becigneul and Hofmann (2018), equation 4.
    """
    # ((1 + 2 c x.y + c |y|^2) x + (1 - c |x|^2) y) / (1 + 2 c x.y + c^2 |x|^2 |y|^2)
    total, room = x + y, _room(x, curvature)
    square = curvature * _square(total)
    return (room * total + square * x) / (room * _room(y, curvature) + square)


def distance(x: Array, y: Array, curvature: Array | float) -> Array:
    """The length of the geodesic between two points.

    Args:
      x: [..., Z], of the ball.
      y: [..., Z], likewise.
      curvature: c.

    Returns:
      [...]; its slope is unbounded where the points are one.

    Reference:
      Nickel and Kiela (2017), Poincare Embeddings for Learning Hierarchical Representations,
      equation 1, where c is 1.
    """
    u = seen(x, y, curvature)
    return jnp.sqrt(jnp.sum(u**2, axis=-1))


def reached(x: Array, u: Array, curvature: Array | float) -> Array:
    """The point that a geodesic from x reaches, which goes as far as u is long.

    Args:
      x: [..., Z], of the ball.
      u: [..., Z], in the directions of R^Z and of the length measured in the ball.
      curvature: c.

    Returns:
      [..., Z], inside the ball by `inside`'s margin.
    """
    # x + tanh(sqrt(c) |u| / 2) u / (sqrt(c) |u|)
    step = _tanh(curvature * _square(u) / 4) * u / 2
    return inside(mobius_add(x, inside(step, curvature), curvature), curvature)


def seen(x: Array, y: Array, curvature: Array | float) -> Array:
    """Where y lies as seen from x: the inverse of `reached`.

    Args:
      x: [..., Z], of the ball.
      y: [..., Z], likewise.
      curvature: c.

    Returns:
      [..., Z], as long as the points are apart.
    """
    s = _apart(x, y, curvature)
    # 2 asinh(sqrt(s)) / sqrt(c) along (-x) + y = ((y - x) / (1 - c |y|^2) - s x) / (1 + s), whose
    # norm is sqrt(s / (1 + s) / c)
    return 2 * _asinh(s) * jax.lax.rsqrt(1 + s) * ((y - x) / _room(y, curvature) - s * x)


def exp_map(x: Array, v: Array, curvature: Array | float) -> Array:
    """The exponential map: where a geodesic from x with the velocity v is after a time of 1.

    Args:
      x: [..., Z], of the ball.
      v: [..., Z], a tangent vector at x, of R^Z.
      curvature: c.

    Returns:
      [..., Z].

    Reference:
      Ganea, Becigneul and Hofmann (2018), equation 12.
    """
    return reached(x, conformal_factor(x, curvature)[..., None] * v, curvature)


def log_map(x: Array, y: Array, curvature: Array | float) -> Array:
    """The logarithmic map, the inverse of `exp_map`: the velocity at x that leads to y.

    Args:
      x: [..., Z], of the ball.
      y: [..., Z], likewise.
      curvature: c.

    Returns:
      [..., Z].

    Reference:
      Ganea, Becigneul and Hofmann (2018), equation 12.
    """
    return seen(x, y, curvature) / conformal_factor(x, curvature)[..., None]


def parallel_transport(x: Array, y: Array, v: Array, curvature: Array | float) -> Array:
    """A tangent vector at x, carried along the geodesic to y.

    Args:
      x: [..., Z], of the ball.
      y: [..., Z], likewise.
      v: [..., Z], at x.
      curvature: c.

    Returns:
      [..., Z], at y, as long there as v is at x.

    Reference:
      Ganea, Becigneul and Hofmann (2018), theorem 4; Ungar (2008), equation 2.114.
    """
    # lambda(x) / lambda(y) gyr[y, -x] v, of which gyr[a, b] is linear:
    # gyr[a, b] v = v + 2 (A a + B b) / (1 + 2 c a.b + c^2 |a|^2 |b|^2)
    a, b, c = y, -x, curvature
    of_a, of_b, both = _dot(a, v), _dot(b, v), _dot(a, b)
    first = -(c**2) * of_a * _square(b) + c * of_b + 2 * c**2 * both * of_b
    second = -(c**2) * of_b * _square(a) - c * of_a
    turned = v + 2 * (first * a + second * b) / (1 + 2 * c * both + c**2 * _square(a) * _square(b))
    return turned * _room(y, c) / _room(x, c)


def geodesic(x: Array, y: Array, share: Array | float, curvature: Array | float) -> Array:
    """The point that lies a share of the way from x to y, along their geodesic.

    Args:
      x: [..., Z], of the ball.
      y: [..., Z], likewise.
      share: a number, or one for each, [..., 1]: 0 is x, 1 is y.
      curvature: c.

    Returns:
      [..., Z].
    """
    return reached(x, share * seen(x, y, curvature), curvature)


def from_plane(x: Array, point: Array, normal: Array, curvature: Array | float) -> Array:
    """How far points are from a plane of geodesics, times the length of its normal in R^Z.

    Args:
      x: [..., Z], of the ball.
      point: [..., Z], which the plane passes through.
      normal: [..., Z], to which its geodesics are orthogonal there.
      curvature: c.

    Returns:
      [...], positive on the side that the normal points to.

    Reference:
      Ganea, Becigneul and Hofmann (2018), theorem 5.
    """
    # |a| asinh(sqrt(c) q / |a|) / sqrt(c), q = 2 (1 + s) <(-point) + x, a>
    towards = _dot(x - point, normal) / _room(x, curvature)
    q = 2 * (towards - _apart(point, x, curvature) * _dot(point, normal))
    square = jnp.maximum(_square(normal), float(jnp.finfo(normal.dtype).eps) ** 2)
    return (q * _asinh(curvature * q**2 / square))[..., 0]


def inside(x: Array, curvature: Array | float) -> Array:
    """Points nearest to x in R^Z of which c |x|^2 is below 1 by a margin that rounding leaves.

    Args:
      x: [..., Z].
      curvature: c.

    Returns:
      [..., Z], unchanged where they are inside. The margin is eps^(2/3), which is 12.0 / sqrt(c)
      from the origin in single precision and 25.4 / sqrt(c) in double.
    """
    most = 1 - float(jnp.finfo(x.dtype).eps) ** (2 / 3)
    square = curvature * _square(x)
    beyond = square > most
    return jnp.where(beyond, x * jnp.sqrt(most / jnp.where(beyond, square, 1)), x)


def log_stretch(u: Array, curvature: Array | float) -> Array:
    """By how much volume `reached` makes of volume about u, in nats.

    Args:
      u: [B, Z].
      curvature: c.

    Returns:
      [B], (Z - 1) log(sinh(sqrt(c) |u|) / (sqrt(c) |u|)).
    """
    return (u.shape[1] - 1) * log_sinhc(curvature * jnp.sum(u**2, axis=1))


def points(names: str, *arrays: Array) -> list[Array]:
    """Returns arrays [B, Z] in one type, float32 at least.

    Raises:
      InputError: if their shapes differ, or are of another rank.
    """
    arrays = list(matched(names, *arrays))
    if arrays[0].ndim != 2:
        raise InputError(f"points of a ball are [B, Z], got {list(arrays[0].shape)}")
    return arrays


def _dot(x: Array, y: Array) -> Array:
    return jnp.sum(x * y, axis=-1, keepdims=True)


def _square(x: Array) -> Array:
    return _dot(x, x)


def _room(x: Array, curvature: Array | float) -> Array:
    return 1 - curvature * _square(x)


def _apart(x: Array, y: Array, curvature: Array | float) -> Array:
    """sinh^2 of half the distance times sqrt(c), [..., 1]."""
    return curvature * _square(x - y) / (_room(x, curvature) * _room(y, curvature))


def _even(function: Callable[[Array], Array], *series: float) -> Callable[[Array], Array]:
    """A function of s = x^2 >= 0, by its series where that is small: it has slopes at 0."""

    def of_square(s: Array) -> Array:
        small = s < jnp.asarray(float(jnp.finfo(s.dtype).eps) ** 0.25, s.dtype)
        near = jnp.full_like(s, series[-1])
        for factor in series[-2::-1]:
            near = near * s + factor
        return jnp.where(small, near, function(jnp.sqrt(jnp.where(small, 1, s))))

    return of_square


#: tanh(x) / x, asinh(x) / x and log(sinh(x) / x), of x^2.
_tanh = _even(lambda x: jnp.tanh(x) / x, 1, -1 / 3, 2 / 15, -17 / 315)
_asinh = _even(lambda x: jnp.arcsinh(x) / x, 1, -1 / 6, 3 / 40, -5 / 112)
log_sinhc = _even(
    # sinh(x) / x = e^x (1 - e^(-2 x)) / (2 x)
    lambda x: x + jnp.log(-jnp.expm1(-2 * x) / (2 * x)),
    *(0, 1 / 6, -1 / 180, 1 / 2835),
)
