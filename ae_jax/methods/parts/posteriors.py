"""What an encoder's outputs say about the latents."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import probability
from ae_jax.core import (
    POSITIVE,
    Array,
    Batch,
    HParams,
    InputError,
    Network,
    require,
    require_kind,
    require_networks,
)
from ae_jax.methods.parts.discrete import categorical_posterior as categorical
from ae_jax.methods.parts.discrete import concrete_posterior as concrete
from ae_jax.methods.parts.flows import Flow
from ae_jax.methods.parts.hyperbolic import riemannian_normal_posterior as riemannian_normal
from ae_jax.methods.parts.hyperbolic import wrapped_normal_posterior as wrapped_normal
from ae_jax.methods.parts.joint import joint_posterior as joint
from ae_jax.methods.parts.latents import Posterior, drawn
from ae_jax.methods.parts.spherical import power_spherical, von_mises_fisher
from ae_jax.probability import gaussian as normal
from ae_jax.probability._examples import sum_dimensions

__all__ = [
    "Correlated",
    "Flowed",
    "Gaussian",
    "Posterior",
    "categorical",
    "concrete",
    "encoding",
    "flow",
    "full_gaussian",
    "gaussian",
    "joint",
    "mixed",
    "power_spherical",
    "riemannian_normal",
    "uniform",
    "von_mises_fisher",
    "wrapped_normal",
]


class Gaussian(NamedTuple):
    """Parameters of a Gaussian with a diagonal covariance, [B, Z] each."""

    mean: Array
    log_var: Array


def gaussian(log_var_bound: float | None = None) -> Posterior:
    """The Gaussian with a diagonal covariance: outputs are means and log-variances, side by side.

    Args:
      log_var_bound: keeps log-variances between plus and minus it, as bound * tanh(output /
        bound): near the identity for small ones. Where None nothing keeps them: in float32 the
        KL divergence is infinite from 89 on, and a lane freezes, `kl` among its reasons.

    Raises:
      InputError: if the bound is not positive.

    Reference:
      Kingma and Welling (2014), Auto-Encoding Variational Bayes, section 3.
    """
    if log_var_bound is not None:
        require(POSITIVE, log_var_bound=log_var_bound)

    def read(outputs: Array, latent_size: int, hparams: HParams) -> Gaussian:
        if outputs.shape[1:] != (2 * latent_size,):
            raise InputError(
                f"the encoder must give the means and log-variances of {latent_size} latents, "
                f"[B, {2 * latent_size}], and gives {list(outputs.shape)}"
            )
        mean, log_var = jnp.split(outputs, [latent_size], axis=1)
        if log_var_bound is not None:
            log_var = log_var_bound * jnp.tanh(log_var / log_var_bound)
        return Gaussian(mean, log_var)

    return Posterior(
        outputs=lambda latent_size: 2 * latent_size,
        read=read,
        sample=lambda key, parameters: normal.sample(key, *parameters),
        log_prob=lambda z, parameters: normal.log_prob(z, *parameters),
        mean=lambda parameters: parameters.mean,
        kl_standard=lambda parameters: normal.kl_standard(*parameters),
        log_probs=lambda z, parameters: normal.log_probs(z, *parameters),
        variance=lambda parameters: jnp.exp(parameters.log_var),
    )


def uniform() -> Posterior:
    """Uniform, of width 1, about the encoder's outputs: rounding, as it is trained.

    A draw has the noise that rounding to whole numbers makes of a smooth density. Where one latent
    is asked for it is the whole numbers themselves, through which gradients pass as if they were
    the outputs. So `encode` gives what a coder is to write, `reconstruct` what is made of that, and
    with `priors.factorised()` the divergence is what it costs: the density of the posterior is 1.

    Reference:
      Balle, Laparra and Simoncelli (2017), End-to-end Optimized Image Compression, section 3.
    """

    def read(outputs: Array, latent_size: int, hparams: HParams) -> Array:
        if outputs.shape[1:] != (latent_size,):
            raise InputError(
                f"the encoder must give the centres of {latent_size} latents, [B, {latent_size}], "
                f"and gives {list(outputs.shape)}"
            )
        return outputs

    def sample(key: Array, centre: Array) -> Array:
        return centre + jax.random.uniform(key, centre.shape, centre.dtype, -0.5, 0.5)

    def log_probs(z: Array, centre: Array) -> Array:
        # of a draw at the edge rounding may be the larger part
        rounding = 2 * jnp.finfo(centre.dtype).eps * (1 + jnp.abs(centre))
        inside = jnp.abs(z - centre) <= 0.5 + rounding
        return jnp.where(inside, jnp.zeros_like(z), -jnp.inf)

    return Posterior(
        outputs=lambda latent_size: latent_size,
        read=read,
        sample=sample,
        log_prob=lambda z, centre: sum_dimensions(log_probs(z, centre)),
        mean=lambda centre: centre + jax.lax.stop_gradient(jnp.round(centre) - centre),
        # E[z^2] = c^2 + 1/12
        kl_standard=lambda centre: sum_dimensions((centre**2 + 1 / 12 + normal.LOG_2PI) / 2),
        log_probs=log_probs,
        variance=lambda centre: jnp.full_like(centre, 1 / 12),
    )


class Correlated(NamedTuple):
    """Parameters of a Gaussian: means [B, Z] and lower triangles L [B, Z, Z] of L L^T."""

    mean: Array
    triangle: Array


def full_gaussian() -> Posterior:
    """The Gaussian with any covariance L L^T: outputs are means, then L row by row.

    Of L's diagonal they are logarithms, so that zeros are the standard Gaussian.

    Reference:
      Kingma and Welling (2019), An Introduction to Variational Autoencoders, section 2.5.1.
    """

    def outputs(latent_size: int) -> int:
        return latent_size + latent_size * (latent_size + 1) // 2

    def read(given: Array, latent_size: int, hparams: HParams) -> Correlated:
        if given.shape[1:] != (outputs(latent_size),):
            raise InputError(
                f"the encoder must give {latent_size} means and a triangle of "
                f"{latent_size}x{latent_size}, [B, {outputs(latent_size)}], and gives "
                f"{list(given.shape)}"
            )
        mean, entries = jnp.split(given, [latent_size], axis=1)
        lower = jnp.zeros((len(given), latent_size, latent_size), given.dtype)
        lower = lower.at[:, *np.tril_indices(latent_size)].set(entries)
        diagonal = jnp.eye(latent_size, dtype=bool)[None]
        return Correlated(mean, jnp.where(diagonal, jnp.exp(lower), lower))

    def sample(key: Array, parameters: Correlated) -> Array:
        mean, triangle = parameters
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        return mean + jnp.einsum("bij,bj->bi", triangle, noise)

    def log_determinant(triangle: Array) -> Array:
        return jnp.sum(jnp.log(jnp.diagonal(triangle, axis1=1, axis2=2)), axis=1)

    def log_prob(z: Array, parameters: Correlated) -> Array:
        mean, triangle = parameters
        noise = jax.scipy.linalg.solve_triangular(triangle, (z - mean)[..., None], lower=True)
        zeros = jnp.zeros_like(mean)
        return normal.log_prob(noise[..., 0], zeros, zeros) - log_determinant(triangle)

    def kl_standard(parameters: Correlated) -> Array:
        # (tr L L^T + m.m - Z) / 2 - log |L|
        mean, triangle = parameters
        squares = jnp.sum(triangle**2, axis=(1, 2)) + jnp.sum(mean**2, axis=1)
        return (squares - mean.shape[1]) / 2 - log_determinant(triangle)

    return Posterior(
        outputs=outputs,
        read=read,
        sample=sample,
        log_prob=log_prob,
        mean=lambda parameters: parameters.mean,
        kl_standard=kl_standard,
    )


class Flowed(NamedTuple):
    """Parameters of a distribution that a flow is drawn through.

    Attributes:
      base: of what is drawn.
      context: [B, C], what the flow is told about each example.
      own: the flow's own parameters.
    """

    base: Any
    context: Array
    own: Any


def flow(through: Flow, base: Posterior | None = None) -> Posterior:
    """Draws of a simpler posterior, through an invertible map that is learned.

    Outputs are the simpler one's, and then what the flow is told about the example. With no steps
    it is the simpler one, whose divergence is sampled. Where one latent is asked for, it is what
    the map makes of the simpler one's.

    Args:
      through: of `flows`. Of one without an inverse densities are known for own draws alone.
      base: in the plane; `gaussian()` where None.

    Raises:
      InputError: if one of them is none, or the base lies on the sphere or has parameters of its
        own.

    Reference:
      Rezende and Mohamed (2015), Variational Inference with Normalizing Flows.
    """
    base = gaussian() if base is None else base
    require_kind(Flow, "flows.planar()", through=through)
    require_kind(Posterior, "posteriors.gaussian()", base=base)
    if base.support != "plane" or base.init is not None:
        raise InputError("a flow starts from a plain posterior: use posteriors.gaussian()")

    def outputs(latent_size: int) -> int:
        return base.outputs(latent_size) + through.context(latent_size)

    def read(
        given: Array, latent_size: int, hparams: HParams, params: Mapping[str, Any], batch: Batch
    ) -> Flowed:
        split = base.outputs(latent_size)
        if given.shape[1:] != (outputs(latent_size),):
            raise InputError(
                f"the encoder must give {split} numbers for {latent_size} latents and "
                f"{outputs(latent_size) - split} for the flow, [B, {outputs(latent_size)}], and "
                f"gives {list(given.shape)}"
            )
        first = base.read(given[:, :split], latent_size, hparams)
        return Flowed(first, given[:, split:], params["posterior"])

    def draw(key: Array, parameters: Flowed) -> tuple[Array, Array]:
        first = base.sample(key, parameters.base)
        z, log_det = through.forward(parameters.own, first, parameters.context)
        return z, base.log_prob(first, parameters.base) - log_det

    def log_prob(z: Array, parameters: Flowed) -> Array:
        first, log_det = through.inverse(parameters.own, z, parameters.context)
        return base.log_prob(first, parameters.base) + log_det

    def mean(parameters: Flowed) -> Array:
        return through.forward(parameters.own, base.mean(parameters.base), parameters.context)[0]

    return Posterior(
        outputs=outputs,
        read=read,
        sample=lambda key, parameters: draw(key, parameters)[0],
        log_prob=log_prob if through.inverse is not None else None,
        mean=mean,
        hparams=base.hparams,
        domains=base.domains,
        init=through.init,
        draw=draw,
    )


def encoding(encoder: Network, latent_size: int, posterior: Posterior | None = None) -> Network:
    """A VAE's encoder as a network that gives latents: means of the posterior, and draws of it.

    Draws are its `noisy` pass, which a `stage` may see. Its parameters are the encoder's own, so
    that those of a trained VAE fit.

    Args:
      encoder: of a VAE, [B, ...] -> the posterior's outputs.
      latent_size: Z.
      posterior: `gaussian()` where None.

    Raises:
      InputError: if one of them is none, or the posterior has parameters of its own; when traced,
        as the posterior.
    """
    posterior = gaussian() if posterior is None else posterior
    require_networks(encoder=encoder)
    require_kind(Posterior, "posteriors.gaussian()", posterior=posterior)
    if posterior.init is not None:
        raise InputError("an encoder has no parameters for this posterior: use a plain one")

    def read(params: Any, x: Array) -> Any:
        return posterior.read(encoder.apply(params, x), latent_size, posterior.hparams)

    return Network(
        encoder.init,
        lambda params, x: posterior.mean(read(params, x)),
        noisy=lambda key, params, x: drawn(posterior, key, read(params, x))[0],
    )


def mixed(posterior: Posterior, parameters: Any) -> probability.priors.Prior:
    """The mean of the posteriors of C examples, (1/C) sum_c q(z | x_c), as a density of its own.

    Of pseudo-inputs that is a VampPrior, of all training examples the aggregate posterior.

    Args:
      posterior: whose density is known everywhere.
      parameters: of the C posteriors, a pytree of [C, ...].

    Raises:
      InputError: if the posterior has no density.

    Reference:
      Tomczak and Welling (2018), VAE with a VampPrior.
    """
    if posterior.log_prob is None:
        raise InputError(
            "this posterior knows the density of its own draws alone, and cannot be mixed"
        )
    components = len(jax.tree.leaves(parameters)[0])

    def draw(key: Array, shape: tuple[int, int], label: Array | None = None) -> Array:
        which_key, draw_key = jax.random.split(key)
        which = jax.random.randint(which_key, shape[:1], 0, components)
        return posterior.sample(draw_key, jax.tree.map(lambda own: own[which], parameters))

    def log_prob(z: Array, label: Array | None = None) -> Array:
        def of_component(own: Any) -> Array:
            each = jax.tree.map(lambda one: jnp.broadcast_to(one[None], (len(z), *one.shape)), own)
            return posterior.log_prob(z, each)

        found = jax.vmap(of_component)(parameters)
        return jax.nn.logsumexp(found, axis=0) - math.log(components)

    return probability.priors.Prior(draw, log_prob)
