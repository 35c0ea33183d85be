"""Densities that latents may be drawn from, some of which say where a class belongs.

Each is called as `jax.random.normal` is, `(key, (B, Z)) -> [B, Z]`, and may be told labels.
"""

import math
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, POSITIVE, Array, Domain, InputError
from ae_jax.probability import gaussian
from ae_jax.probability import sphere as unit_sphere
from ae_jax.probability._examples import widened


class Draw(Protocol):
    """How latents are drawn."""

    def __call__(self, key: Array, shape: tuple[int, int], label: Array | None = None) -> Array:
        """(B, Z), and int [B] or None -> [B, Z]."""


class LogProb(Protocol):
    """The logarithm of a density."""

    def __call__(self, z: Array, label: Array | None = None) -> Array:
        """[B, Z], and int [B] or None -> [B], nats; given the label, where there is one."""


class Prior(NamedTuple):
    """A density of latents; called, it draws some.

    Attributes:
      draw: (key, (B, Z), label) -> [B, Z]. A label below 0 is not known: any class's. What is no
        class has no latents: NaN, so that nobody misses it.
      log_prob: (z [B, Z], label) -> [B], nats.
      classes: how many labels it tells apart; 0 where it looks at none.
      centres: [classes, components, Z], of the Gaussians of equal weight that a mixture consists
        of; None for what is none.
    """

    draw: Draw
    log_prob: LogProb
    classes: int = 0
    centres: np.ndarray | None = None

    def __call__(self, key: Array, shape: tuple[int, int], label: Array | None = None) -> Array:
        """Draws latents [B, Z], of classes where it tells them apart."""
        return self.draw(key, shape, label)


def normal() -> Prior:
    """The standard Gaussian, of any number of dimensions, for all classes alike."""

    def log_prob(z: Array, label: Array | None = None) -> Array:
        return gaussian.log_prob(z, jnp.zeros_like(z), jnp.zeros_like(z))

    def draw(key: Array, shape: tuple[int, int], label: Array | None = None) -> Array:
        return jax.random.normal(key, shape, jnp.result_type(float))

    return Prior(draw, log_prob)


def uniform(low: float = -1.0, high: float = 1.0) -> Prior:
    """Uniform in a cube, of any number of dimensions, for all classes alike.

    Raises:
      InputError: if `high` is not above `low`.
    """
    if not low < high:
        raise InputError(f"a uniform prior needs low < high, got {low} and {high}")

    def draw(key: Array, shape: tuple[int, int], label: Array | None = None) -> Array:
        return jax.random.uniform(key, shape, jnp.result_type(float), low, high)

    def log_prob(z: Array, label: Array | None = None) -> Array:
        inside = jnp.all((z >= low) & (z <= high), axis=1)
        nats = jnp.asarray(-z.shape[1] * math.log(high - low), widened(z).dtype)
        return jnp.where(inside, nats, -jnp.inf)

    return Prior(draw, log_prob)


def mixture(centres: np.ndarray, deviation: float) -> Prior:
    """Isotropic Gaussians of equal weight, as many for each class.

    Args:
      centres: [classes, components, Z].
      deviation: of each Gaussian, in each dimension.

    Raises:
      InputError: if the centres have another shape or the deviation is not positive; when drawn
        from, for another Z.
    """
    centres = np.asarray(centres, np.float64)
    if centres.ndim != 3 or not centres.size:
        raise InputError(f"centres must be [classes, components, Z], got {list(centres.shape)}")
    _require(POSITIVE, deviation=deviation)
    classes, components, size = centres.shape

    def draw(key: Array, shape: tuple[int, int], label: Array | None = None) -> Array:
        _require_size(shape, size)
        keys, rows, dtype = jax.random.split(key, 3), shape[:1], jnp.result_type(float)
        which = jax.random.randint(keys[0], rows, 0, classes)
        if label is not None:
            which = jnp.where(label < 0, which, label.astype(which.dtype))
        of_class = jax.random.randint(keys[1], rows, 0, components)
        places = jnp.asarray(centres, dtype).at[which, of_class]
        centre = places.get(mode="fill", fill_value=jnp.nan)
        return centre + deviation * jax.random.normal(keys[2], shape, dtype)

    def log_prob(z: Array, label: Array | None = None) -> Array:
        _require_size(z.shape, size)
        z = widened(z)
        flat = jnp.asarray(centres.reshape(-1, size), z.dtype)
        squares = jnp.sum((z[:, None] - flat[None]) ** 2, axis=-1)
        exponents = jnp.reshape(-squares / (2 * deviation**2), (-1, classes, components))
        # log(1/K sum_k N(z; c_k, s^2 I)), over one class's components and then over classes
        of_class = jax.nn.logsumexp(exponents, axis=2) - math.log(components)
        constant = size / 2 * (gaussian.LOG_2PI + 2 * math.log(deviation))
        whole = jax.nn.logsumexp(of_class, axis=1) - math.log(classes)
        if label is None:
            return whole - constant
        own = jnp.take_along_axis(of_class, label[:, None].astype(int), 1, mode="fill")[:, 0]
        return jnp.where(label < 0, whole, own) - constant

    return Prior(draw, log_prob, classes, centres)


def correlated_mixture(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Prior:
    """Gaussians of any weights and covariances, for all classes alike.

    Args:
      weights: [K], positive, of sum 1.
      means: [K, Z].
      covariances: [K, Z, Z].

    Raises:
      InputError: if the shapes differ, or a covariance is that of no density; when drawn from, for
        another Z.
    """
    weights, means, covariances = (
        np.asarray(given, np.float64) for given in (weights, means, covariances)
    )
    size = means.shape[-1]
    if means.shape != (*weights.shape, size) or covariances.shape != (*means.shape, size):
        raise InputError(
            f"a mixture has weights [K], means [K, Z] and covariances [K, Z, Z], got "
            f"{list(weights.shape)}, {list(means.shape)} and {list(covariances.shape)}"
        )
    try:
        triangles = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise InputError("a covariance is not positive definite, and has no density") from None
    # log w_k - log |L_k| - Z/2 log 2 pi
    constants = np.log(weights) - np.log(np.diagonal(triangles, axis1=1, axis2=2)).sum(axis=1)
    constants -= size / 2 * gaussian.LOG_2PI
    whitening = np.linalg.inv(triangles)

    def draw(key: Array, shape: tuple[int, int], label: Array | None = None) -> Array:
        _require_size(shape, size)
        which_key, noise_key = jax.random.split(key)
        dtype = jnp.result_type(float)
        logits = jnp.log(jnp.asarray(weights, dtype))
        which = jax.random.categorical(which_key, logits, shape=shape[:1])
        centre, triangle = jnp.asarray(means, dtype)[which], jnp.asarray(triangles, dtype)[which]
        noise = jax.random.normal(noise_key, shape, dtype)
        return centre + jnp.einsum("bij,bj->bi", triangle, noise, precision="highest")

    def log_prob(z: Array, label: Array | None = None) -> Array:
        _require_size(z.shape, size)
        z = widened(z)
        away = z[:, None] - jnp.asarray(means, z.dtype)[None]
        white = jnp.einsum(
            "kij,bkj->bki", jnp.asarray(whitening, z.dtype), away, precision="highest"
        )
        exponents = jnp.asarray(constants, z.dtype)[None] - jnp.sum(white**2, axis=2) / 2
        return jax.nn.logsumexp(exponents, axis=1)

    return Prior(draw, log_prob)


def sphere() -> Prior:
    """Uniform on the unit sphere, of any number of dimensions, for all classes alike.

    The density is with respect to the sphere's area.
    """
    return Prior(
        lambda key, shape, label=None: unit_sphere.sample(key, shape),
        lambda z, label=None: unit_sphere.log_prob(z),
    )


def ring(modes: int = 10, radius: float = 2.0, deviation: float = 0.2) -> Prior:
    """Gaussians on a circle in the plane, counter-clockwise from (radius, 0): one for each class.

    Reference:
      Makhzani et al. (2016), Adversarial Autoencoders, section 2.3, which has elongated ones.
    """
    _require(COUNT, modes=modes)
    _require(POSITIVE, radius=radius)
    angle = 2 * np.pi * np.arange(modes) / modes
    return mixture(radius * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None], deviation)


def swiss_roll(classes: int = 10, radius: float = 3.0, deviation: float = 0.1) -> Prior:
    """A roll of one and a half turns in the plane, one stretch for each class, from the inside.

    Of almost equal density along its length: so many Gaussians that it is a curve with noise on it.

    Args:
      classes: how many stretches of equal mass.
      radius: of the outer end; the inner one is at a third of it.
      deviation: of the noise.

    Reference:
      Makhzani et al. (2016), Adversarial Autoencoders, section 2.3.
    """
    _require(COUNT, classes=classes)
    _require(POSITIVE, radius=radius)
    components = -(-1024 // classes)  # much nearer to each other than they are wide
    u = (np.arange(classes * components) + 0.5) / (classes * components)
    # the arc of t (cos t, sin t) is about t^2 / 2 long, and t goes from 3 pi / 2 to 9 pi / 2
    t = 1.5 * np.pi * np.sqrt(1 + 8 * u)
    curve = radius / (4.5 * np.pi) * t[:, None] * np.stack([np.cos(t), np.sin(t)], -1)
    return mixture(curve.reshape(classes, components, 2), deviation)


def likeliest_class(prior: Prior, z: Array) -> Array:
    """The class at which each latent is the most likely: of a ring that of the nearest mode.

    Args:
      prior: that tells classes apart.
      z: [B, Z].

    Returns:
      int [B].

    Raises:
      InputError: if the prior looks at no label.
    """
    if not prior.classes:
        raise InputError("this prior has no classes: use a mixture, such as ring or swiss_roll")

    def given(k: Array) -> Array:
        return prior.log_prob(z, jnp.broadcast_to(k, z.shape[:1]))

    return jnp.argmax(jax.vmap(given)(jnp.arange(prior.classes)), axis=0)


def _require_size(shape: tuple[int, int], size: int) -> None:
    if tuple(shape[1:]) != (size,):
        raise InputError(
            f"this prior has {size} dimensions: use latents of size {size}, not "
            f"{'x'.join(map(str, shape[1:]))}"
        )


def _require(domain: Domain, **values: float) -> None:
    for name, value in values.items():
        if value not in domain:
            raise InputError(f"{name} of a prior is {value!r}: use {domain}")
