"""Filling images by closed forms: means, neighbours, Laplace's equation, Gaussians, subspaces.

Each takes images [B, H, W, C], of which the unknown pixels may have any values, and a mask as for
`known_pixels`, and returns images whose known pixels are the same bit for bit. Nothing is clipped.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax.core import NOT_NEGATIVE, Array, InputError
from ae_jax.inversion.masks import composed, known_pixels, mean_of_known


def mean(images: Array, mask: Array, average: Array | None = None) -> Array:
    """Fills with the mean of other images, or of each image's own known pixels.

    Args:
      images: [B, H, W, C].
      mask: as for `known_pixels`.
      average: [H, W, C]; None for the image's own, by channel.

    Returns:
      [B, H, W, C].

    Raises:
      InputError: as `known_pixels`, or if the average has another size.
    """
    known, images = known_pixels(images, mask), jnp.asarray(images)
    if average is None:
        return composed(images, known, mean_of_known(images, known))
    if np.shape(average) != images.shape[1:]:
        raise InputError(
            f"the mean of images {list(images.shape)} is {list(images.shape[1:])}, got "
            f"{list(np.shape(average))}"
        )
    return composed(images, known, jnp.broadcast_to(jnp.asarray(average)[None], images.shape))


def nearest(images: Array, mask: Array, examples: Array) -> Array:
    """Fills from the example whose known pixels are nearest, by squared error; the first of equals.

    Args:
      images: [B, H, W, C].
      mask: as for `known_pixels`.
      examples: [N, H, W, C].

    Returns:
      [B, H, W, C].

    Raises:
      InputError: as `known_pixels`, or if the examples are of another size, or not finite.
    """
    known, images, examples = known_pixels(images, mask), jnp.asarray(images), jnp.asarray(examples)
    fit = examples.shape[1:] == images.shape[1:] and len(examples) > 0
    if not fit or not jnp.issubdtype(examples.dtype, jnp.floating):
        raise InputError(
            f"examples of images {list(images.shape)} are floats [N, ...] of their size, got "
            f"{examples.dtype} {list(examples.shape)}"
        )
    filled = composed(images, known, examples[_nearest(images, known, examples)])
    return _finite(filled, "take examples that are")


@jax.jit
def _nearest(images: Array, known: Array, examples: Array) -> Array:
    def place(pair: tuple[Array, Array]) -> Array:
        image, known = pair
        gap = jnp.where(known, image, 0)[None] - jnp.where(known[None], examples, 0)
        error = jnp.sum(gap**2, axis=(1, 2, 3))
        return jnp.argmin(jnp.where(jnp.isnan(error), jnp.inf, error))

    return jax.lax.map(place, (images, known))


def harmonic(images: Array, mask: Array) -> Array:
    """Fills so that every unknown pixel is the mean of its neighbours: Laplace's equation.

    Neighbours are the two to four pixels beside it that are in the image. That is the minimum of
    the sum of squared differences, `losses.total_variation(x, 2)`. Solved by conjugate gradients
    to a relative residual of 1e-6, of 1e-12 in double precision.

    Args:
      images: [B, H, W, C].
      mask: as for `known_pixels`.

    Returns:
      [B, H, W, C].

    Raises:
      InputError: as `known_pixels`.
    """
    known, images = known_pixels(images, mask), jnp.asarray(images)
    return composed(images, known, _harmonic(images, known))


def poisson(images: Array, mask: Array, source: Array) -> Array:
    """Fills with what has the differences of a source, and meets the known pixels without a seam.

    Args:
      images: [B, H, W, C].
      mask: as for `known_pixels`.
      source: [B, H, W, C], such as generated images.

    Returns:
      [B, H, W, C].

    Raises:
      InputError: as `known_pixels`, or if the source is of another size.

    Reference:
      Perez, Gangnet and Blake (2003), Poisson Image Editing, section 2.
    """
    known, images, source = known_pixels(images, mask), jnp.asarray(images), jnp.asarray(source)
    if source.shape != images.shape or not jnp.issubdtype(source.dtype, jnp.floating):
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}, and their source {source.dtype} "
            f"{list(source.shape)}: use floats of the same size"
        )
    # what is to be added to the source is known where the image is, and harmonic elsewhere
    source = source.astype(images.dtype)
    gap = jnp.where(known, images - source, 0)
    return composed(images, known, source + _harmonic(gap, known))


@jax.jit
def _harmonic(images: Array, known: Array) -> Array:
    tolerance = 1e-6 if images.dtype.itemsize < 8 else 1e-12

    def one(image: Array, known: Array) -> Array:
        def energy(x: Array) -> Array:
            return losses.total_variation(x[None], 2.0)[0] / 2

        def laplacian(x: Array) -> Array:
            return jnp.where(known, 0, jax.grad(energy)(jnp.where(known, 0, x)))

        start = jnp.where(known, image, mean_of_known(image[None], known[None])[0])
        residual = jnp.where(known, 0, -jax.grad(energy)(start))
        change, _ = jax.scipy.sparse.linalg.cg(laplacian, residual, tol=tolerance)
        return start + change

    return jax.vmap(one)(images, known)


def conditional_mean(
    images: Array, mask: Array, average: Array, covariance: Array, ridge: Array | float = 0.0
) -> Array:
    """Fills with the mean of the unknown pixels given the known ones, of a Gaussian.

    m_u + S_uk (S_kk + ridge I)^-1 (x_k - m_k). Of all functions of the known pixels that are linear
    it has the least squared error; the ridge is the variance of noise on the known pixels.

    Args:
      images: [B, H, W, C], D numbers each.
      mask: as for `known_pixels`; one for all images is solved once.
      average: [H, W, C].
      covariance: [D, D].
      ridge: scalar; may be traced.

    Returns:
      [B, H, W, C].

    Raises:
      InputError: as `known_pixels`, or if the moments are of another size, or the ridge below 0; if
        nothing is traced and the known pixels' covariance has no inverse.
    """
    known, images = known_pixels(images, mask), jnp.asarray(images)
    size = images[0].size
    if np.shape(average) != images.shape[1:] or np.shape(covariance) != (size, size):
        raise InputError(
            f"moments of images {list(images.shape)} are {list(images.shape[1:])} and "
            f"[{size}, {size}], got {list(np.shape(average))} and {list(np.shape(covariance))}"
        )
    _check_ridge(ridge)
    alike = np.ndim(mask) == 3 or np.shape(mask)[0] == 1
    moments = (jnp.asarray(moment, images.dtype) for moment in (average, covariance))
    found = _conditional_mean(images, known[:1] if alike else known, *moments, ridge)
    return _finite(composed(images, known, found), "use a ridge, and finite moments")


@jax.jit
def _conditional_mean(
    images: Array, known: Array, average: Array, covariance: Array, ridge: Array | float
) -> Array:
    def of(gaps: Array, known: Array) -> Array:
        """Of gaps [N, D] from the mean, and one mask [D]."""
        both = known[:, None] & known[None, :]
        eye = jnp.eye(len(known), dtype=gaps.dtype)
        # unknown ones stand by themselves, and see nothing
        matrix = jnp.where(both, covariance + jnp.asarray(ridge, gaps.dtype) * eye, eye)
        factor = jax.scipy.linalg.cho_factor(matrix, lower=True)
        weights = jax.scipy.linalg.cho_solve(factor, jnp.where(known[None], gaps, 0).T)
        return jnp.matmul(covariance, weights, precision="highest").T

    gaps = (images - average[None]).reshape(len(images), -1)
    masks = known.reshape(len(known), -1)
    if len(masks) == 1:
        found = of(gaps, masks[0])
    else:
        found = jax.lax.map(lambda pair: of(pair[0][None], pair[1])[0], (gaps, masks))
    return average[None] + found.reshape(images.shape)


def principal(
    images: Array, mask: Array, average: Array, components: Array, ridge: Array | float = 0.0
) -> Array:
    """Fills from the point of a subspace that is nearest to the known pixels.

    m_u + V_u (V_k' V_k + R)^-1 V_k' (x_k - m_k), R the ridges on a diagonal. A ridge of s^2 over a
    component's variance makes it the mean under probabilistic principal components with noise s^2.

    Args:
      images: [B, H, W, C], D numbers each.
      mask: as for `known_pixels`.
      average: [H, W, C] or [D], as `metrics.pca` gives it.
      components: [Z, D], rows, which need not be orthogonal.
      ridge: scalar, or [Z]; may be traced. With none, there must be Z known numbers or more.

    Returns:
      [B, H, W, C].

    Raises:
      InputError: as `known_pixels`, if the subspace is of another size, a ridge below 0, or there
        are too few known numbers for none.
    """
    known, images = known_pixels(images, mask), jnp.asarray(images)
    size = images[0].size
    average, components = (jnp.asarray(x, images.dtype) for x in (average, components))
    if average.size != size or components.ndim != 2 or components.shape[1] != size:
        raise InputError(
            f"a subspace of images {list(images.shape)} has a mean and rows of {size} numbers, got "
            f"{list(average.shape)} and {list(components.shape)}"
        )
    _check_ridge(ridge)
    if not any(isinstance(x, jax.core.Tracer) for x in (known, ridge)):
        fewest = int(np.asarray(known).sum(axis=(1, 2, 3)).min())
        if fewest < len(components) and not np.any(ridge):
            raise InputError(
                f"{fewest} known numbers say too little of {len(components)} components: use fewer "
                "of them, or a ridge"
            )
    found = _principal(images, known, average, components, ridge)
    return _finite(composed(images, known, found), "use a ridge, and finite components")


@jax.jit
def _principal(
    images: Array, known: Array, average: Array, components: Array, ridge: Array | float
) -> Array:
    ridges = jnp.broadcast_to(jnp.asarray(ridge, images.dtype), components.shape[:1])

    def one(image: Array, known: Array) -> Array:
        seen = jnp.where(known[None], components, 0)
        gap = jnp.where(known, image - average.reshape(-1), 0)
        products = jnp.matmul(seen, seen.T, precision="highest") + jnp.diag(ridges)
        latent = jnp.linalg.solve(products, jnp.matmul(seen, gap, precision="highest"))
        return average.reshape(-1) + jnp.matmul(latent, components, precision="highest")

    flat = (x.reshape(len(x), -1) for x in (images, known))
    return jax.vmap(one)(*flat).reshape(images.shape)


def _finite(filled: Array, reason: str) -> Array:
    """Images of which no filled number is NaN or infinite, as far as they can be looked at."""
    if not isinstance(filled, jax.core.Tracer) and not bool(jnp.all(jnp.isfinite(filled))):
        raise InputError(f"what would fill is not finite: {reason}")
    return filled


def _check_ridge(ridge: Array | float) -> None:
    if not isinstance(ridge, jax.core.Tracer) and any(
        r not in NOT_NEGATIVE for r in np.ravel(ridge)
    ):
        raise InputError(f"a ridge of {ridge}: use {NOT_NEGATIVE}")
