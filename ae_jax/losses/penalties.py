"""Penalties on a representation."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import rel_entr

from ae_jax.core import Array, InputError
from ae_jax.losses.moments import as_mask, mean_of_present
from ae_jax.probability._examples import matched, sum_dimensions, widened


def l1(latent: Array) -> Array:
    """Sum of absolute values.

    Args:
      latent: [B, ...].

    Returns:
      [B], summed over an example's dimensions.
    """
    (latent,) = matched("latent", latent)
    return sum_dimensions(jnp.abs(latent))


def activation_rate(activations: Array, activation: str = "sigmoid") -> Array:
    """Activations as rates between 0 (off) and 1 (on), which `kl_sparsity` compares.

    A sigmoid's activation a is its rate; a tanh unit is off at -1, its rate (a + 1) / 2. A
    rectified unit has no largest value: a is taken for the intensity of a Poisson process,
    and the rate for the probability of an event in unit time, 1 - exp(-a), which is a where
    a is small.

    Args:
      activations: any shape.
      activation: what the units end in: sigmoid, binary, tanh, relu or softplus.

    Returns:
      Rates in [0, 1], the shape of `activations`.

    Raises:
      InputError: if the activation has no such range.

    Reference:
      Ng, 2011, "Sparse autoencoder", CS294A lecture notes, section 3, for sigmoid and tanh.
    """
    activations = widened(jnp.asarray(activations))
    if activation in ("sigmoid", "binary"):
        return activations
    if activation == "tanh":
        return (activations + 1) / 2
    if activation in ("relu", "softplus"):
        return -jnp.expm1(-activations)
    raise InputError(
        f"{activation!r} units have no rate: use sigmoid, binary, tanh, relu or softplus, or an "
        "L1 penalty"
    )


def kl_sparsity(activations: Array, rho: Array | float, present: Array | None = None) -> Array:
    """Divergence of each unit's mean activation from the target rate rho, summed over units.

    Args:
      activations: [B, H] in [0, 1]; see `activation_rate` for units of other ranges.
      rho: scalar in (0, 1), the wanted mean activation.
      present: bool [B], False where a row is padding, which counts for nothing; None where
        there is none.

    Returns:
      A scalar, nats: 0 exactly where every unit's mean over the batch is rho. Finite for
      units that are never (or always) on, whose gradient still points towards rho. Not finite
      where no row is present.

    Raises:
      InputError: if activations is not [B, H], or present not bool [B].

    Reference:
      Ng, 2011, "Sparse autoencoder", CS294A lecture notes, section 3.
    """
    (activations,) = matched("activations", activations)
    if activations.ndim != 2:
        raise InputError(f"activations must be [B, H], got {list(activations.shape)}")
    rate = mean_of_present(activations, as_mask(present, activations))
    smallest = float(jnp.finfo(rate.dtype).eps)
    # clipped in value only: a unit stuck at 0 or 1 keeps a gradient
    rate += jax.lax.stop_gradient(jnp.clip(rate, smallest, 1 - smallest) - rate)
    rho = jnp.broadcast_to(jnp.asarray(rho, rate.dtype), rate.shape)
    # rho log(rho / r) + (1 - rho) log((1 - rho) / (1 - r))
    return jnp.sum(rel_entr(rho, rate) + rel_entr(1 - rho, 1 - rate))


def contractive_penalty(encode: Callable[[Array], Array], x: Array) -> Array:
    """Squared Frobenius norm of the encoder's Jacobian.

    Costs as many forward passes as an example has dimensions, all in one batch.

    Args:
      encode: maps one example [...] (no batch axis) to its latent, of any shape.
      x: [B, ...].

    Returns:
      [B], summed over the Jacobian's entries.

    Reference:
      Rifai et al., 2011, "Contractive auto-encoders", equation 1.
    """
    (x,) = matched("x", x, widen=False)
    return sum_dimensions(widened(jax.vmap(jax.jacfwd(encode))(x)) ** 2)


def contractive_sigmoid(hidden: Array, kernel: Array) -> Array:
    """The contractive penalty of one dense layer of sigmoid units, in closed form.

    Args:
      hidden: [B, H], the layer's activations.
      kernel: [D, H], its weights.

    Returns:
      [B], what `contractive_penalty` gives for x -> sigmoid(x @ kernel + bias).

    Raises:
      InputError: if the shapes do not fit.

    Reference:
      Rifai et al., 2011, "Contractive auto-encoders", equation 2.
    """
    (hidden,) = matched("hidden", hidden)
    if hidden.ndim != 2 or jnp.ndim(kernel) != 2 or hidden.shape[1] != kernel.shape[1]:
        raise InputError(
            f"hidden and kernel must be [B, H] and [D, H], got {list(hidden.shape)} and "
            f"{list(jnp.shape(kernel))}"
        )
    # sum_j (h_j (1 - h_j))^2 sum_i W_ij^2
    slopes, norms = hidden * (1 - hidden), jnp.sum(widened(jnp.asarray(kernel)) ** 2, axis=0)
    return jnp.matmul(slopes**2, norms, precision="highest")


def contractive_hutchinson(
    key: Array, encode: Callable[[Array], Array], x: Array, samples: int = 1
) -> Array:
    """An unbiased estimate of the contractive penalty.

    Costs as many backward passes as samples, whatever the size of examples and latents. A
    sample's variance is twice the sum of squares of J J^T off its diagonal: none where the
    latents' gradients are orthogonal.

    Args:
      key: PRNG key, which draws the signs.
      encode: maps one example [...] (no batch axis) to its latent, of any shape.
      x: [B, ...].
      samples: sign vectors per example; static.

    Returns:
      [B], never negative.

    Raises:
      InputError: if there are no samples.

    Reference:
      Hutchinson, 1990, "A stochastic estimator of the trace of the influence matrix for
      Laplacian smoothing splines".
    """
    (x,) = matched("x", x, widen=False)
    if samples < 1:
        raise InputError(f"contractive_hutchinson needs at least 1 sample, got {samples}")
    latent, pull_back = jax.vjp(jax.vmap(encode), x)
    signs = jax.random.rademacher(key, (samples, *latent.shape), latent.dtype)
    # E |J^T v|^2 = tr(J J^T) = |J|^2 for independent signs v; examples do not mix
    norms = jax.vmap(lambda v: sum_dimensions(widened(pull_back(v)[0]) ** 2))(signs)
    return jnp.mean(norms, axis=0)


def jacobian_singular_values(encode: Callable[[Array], Array], x: Array) -> Array:
    """Singular values of the encoder's Jacobian: how far it stretches each direction.

    Their squares add up to the contractive penalty.

    Args:
      encode: maps one example [...] (no batch axis) to its latent, of any shape.
      x: [B, ...].

    Returns:
      [B, min(Z, D)], descending, of examples of D and latents of Z numbers.

    Reference:
      Rifai et al., 2011, "Contractive auto-encoders", section 5.
    """
    (x,) = matched("x", x, widen=False)
    sizes = (math.prod(jax.eval_shape(encode, x[0]).shape), math.prod(x.shape[1:]))
    derivative = jax.jacrev if sizes[0] < sizes[1] else jax.jacfwd
    jacobian = jax.vmap(derivative(encode))(x).reshape(x.shape[0], *sizes)
    return jnp.linalg.svd(widened(jacobian), compute_uv=False)
