"""What latents are drawn from before anything is seen, p(z); it may be learned."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import probability
from ae_jax.core import (
    COUNT,
    REAL,
    Array,
    HParams,
    InputError,
    Network,
    require,
    require_kind,
    require_networks,
    shaped,
)
from ae_jax.methods.parts.discrete import categorical_prior as categorical
from ae_jax.methods.parts.discrete import concrete_prior as concrete
from ae_jax.methods.parts.flows import Flow
from ae_jax.methods.parts.hyperbolic import riemannian_normal_prior as riemannian_normal
from ae_jax.methods.parts.hyperbolic import wrapped_normal_prior as wrapped_normal
from ae_jax.methods.parts.joint import joint_prior as joint
from ae_jax.methods.parts.labels import Classes, require_classes
from ae_jax.methods.parts.latents import Ball, Prior, Simplex, Vertices
from ae_jax.methods.parts.posteriors import Posterior, gaussian, mixed

__all__ = [
    "Prior",
    "autoregressive",
    "by_class",
    "categorical",
    "closed_form",
    "concrete",
    "factorised",
    "fitting_prior",
    "fixed",
    "flow",
    "gaussian_mixture",
    "joint",
    "normal",
    "riemannian_normal",
    "sphere",
    "vamp",
    "wrapped_normal",
]


def fixed(density: probability.priors.Prior) -> Prior:
    """A density without parameters, such as `probability.priors.ring()`, for all classes alike.

    Raises:
      InputError: if that is none.
    """
    require_kind(probability.priors.Prior, "probability.priors.ring()", density=density)
    return Prior(
        sample=lambda key, params, shape, hparams: density(key, shape),
        log_prob=lambda z, params, hparams: density.log_prob(z),
    )


def normal() -> Prior:
    """The standard Gaussian N(0, I)."""
    return fixed(probability.priors.normal())._replace(standard=True)


def sphere() -> Prior:
    """Uniform on the sphere of radius 1 about the origin, for posteriors on it.

    Its density is with respect to the sphere's area, 2 pi^(Z/2) / Gamma(Z/2).
    """
    return fixed(probability.priors.sphere())._replace(standard=True, support="sphere")


def gaussian_mixture(components: int = 10) -> Prior:
    """A learned mixture of Gaussians with diagonal covariances, each of which is a cluster: VaDE.

    A VAE with this prior raises a bound on log p(x) of an image's latent and cluster together. With
    q(k | x, z) = p(k | z), which is the best, the cluster drops out:

      E_q(z, k | x)[log p(z, k) - log q(z, k | x)] = E_q(z | x)[log p(z) - log q(z | x)].

    So every bound, regulariser and view does with it what it does with other priors. The published
    bound is of a q(k | x) that does not know z, and lower by E_q(z | x)[KL(q(k | x) || p(k | z))].

    Components start at draws of N(0, I), of variance 1 and equal weight. The authors start them at
    a mixture of the latents of a trained autoencoder: `recipes.clustering.begun_mixture`.

    Args:
      components: K; static.

    Raises:
      InputError: if there is none.

    Reference:
      Jiang, Zheng, Tan, Tang and Zhou (2017), Variational Deep Embedding, section 3.
    """
    require(COUNT, components=components)
    density = probability.gaussian_mixture

    def init(key: Array, x: Array, latent_size: int) -> dict[str, Array]:
        return {
            "mean": jax.random.normal(key, (components, latent_size), x.dtype),
            "log_var": jnp.zeros((components, latent_size), x.dtype),
            "logits": jnp.zeros(components, x.dtype),
        }

    return Prior(
        sample=lambda key, params, shape, hparams: density.sample(key, shape[0], **params["prior"]),
        log_prob=lambda z, params, hparams: density.log_prob(z, **params["prior"]),
        init=init,
        predict=lambda z, params, hparams: density.log_responsibilities(z, **params["prior"]),
    )


def autoregressive(network: Network, shape: int | Sequence[int]) -> Prior:
    """A distribution of codes, each given those before it: p(c) = prod_i p(c_i | c_1, ..., c_i-1).

    Codes are whole numbers, such as the map of codes of an image that a `quantiser` makes of it, or
    the pixels of a binary one; `density_model` learns it from them. What is no code, below 0, K or
    more or between whole numbers, has a density of NaN, so that nobody misses it. A sample takes
    one pass of the network for each code.

    Args:
      network: codes int [B, *shape] -> logits [B, *shape, K], each code's of those before it alone,
        in the order of the array, such as `nets.pixel_cnn(512)`.
      shape: of an example's codes, (H, W, L).

    Raises:
      InputError: if the network is none, or a length of the shape; when traced, if it gives no such
        logits.

    Reference:
      Van den Oord, Kalchbrenner and Kavukcuoglu (2016), Pixel Recurrent Neural Networks; Van den
      Oord, Vinyals and Kavukcuoglu (2017), Neural Discrete Representation Learning, section 3.3,
      for a prior of codes.
    """
    require_networks(network=network)
    shape = shaped("shape", shape)

    def logits(codes: Array, params: Mapping[str, Any]) -> Array:
        """[B, Z, K] of [B, Z]."""
        maps = codes.reshape(-1, *shape)
        made = network.apply(params["prior"], maps)
        if made.shape[:-1] != maps.shape:
            wanted = ", ".join(map(str, (*shape, "K")))
            raise InputError(
                f"the network must give logits [B, {wanted}] of codes, and gives {list(made.shape)}"
            )
        return made.reshape(*codes.shape, -1)

    def log_prob(codes: Array, params: Mapping[str, Any], hparams: HParams) -> Array:
        whole = codes.astype(int)
        nats = jax.nn.log_softmax(logits(whole, params))
        each = jnp.take_along_axis(nats, whole[..., None], axis=-1, mode="clip")[..., 0]
        known = (whole.astype(codes.dtype) == codes) & (whole >= 0) & (whole < nats.shape[-1])
        return jnp.sum(jnp.where(known, each, jnp.nan), axis=1)

    def sample(
        key: Array, params: Mapping[str, Any], shape: tuple[int, int], hparams: HParams
    ) -> Array:
        def drawn(codes: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
            place, key = step
            one = jax.random.categorical(key, logits(codes, params)[:, place])
            return codes.at[:, place].set(one.astype(codes.dtype)), None

        steps = jnp.arange(shape[1]), jax.random.split(key, shape[1])
        return jax.lax.scan(drawn, jnp.zeros(shape, int), steps)[0]

    return Prior(
        sample=sample,
        log_prob=log_prob,
        init=lambda key, x, size: network.init(key, x.astype(int).reshape(-1, *shape)),
        support="codes",
        size=math.prod(shape),
    )


def factorised(components: int = 3) -> Prior:
    """What whole numbers cost that are coded one by one: learned, for each latent by itself.

    A mixture of logistic variables, rounded. With `posteriors.uniform()` the divergence is the
    rate of such a code, in nats.

    Args:
      components: of each latent's mixture; static. They start at different places, one apart.

    Raises:
      InputError: if there is none.

    Reference:
      Balle, Laparra and Simoncelli (2017), End-to-end Optimized Image Compression, section 3, where
      the density is piecewise linear.
    """
    require(COUNT, components=components)
    density = probability.rounded_logistic

    def init(key: Array, x: Array, latent_size: int) -> dict[str, Array]:
        start = jnp.arange(components, dtype=x.dtype) - (components - 1) / 2
        zeros = jnp.zeros((latent_size, components), x.dtype)
        return {"location": zeros + start[None], "log_scale": zeros, "logits": zeros}

    return Prior(
        sample=lambda key, params, shape, hparams: density.sample(key, shape[0], **params["prior"]),
        log_prob=lambda z, params, hparams: density.log_prob(z, **params["prior"]),
        init=init,
    )


def by_class(classes: Classes) -> Prior:
    """A learned Gaussian for each class, with a diagonal covariance: p(z | y).

    All start at the standard Gaussian. Of several factors means and log-variances are sums of what
    the value of each factor brings.

    Args:
      classes: C, as the VAE's: it has to be told them.

    Raises:
      InputError: if there are none.

    Reference:
      Sohn, Lee and Yan (2015), Learning Structured Output Representation using Deep Conditional
      Generative Models, section 4.1, of a class.
    """
    require_classes(classes)
    if not classes:
        raise InputError("a prior of each class needs classes: use as many as the VAE")
    told = sum(classes) if isinstance(classes, Sequence) else classes
    density = probability.gaussian

    def init(key: Array, x: Array, latent_size: int) -> dict[str, Array]:
        zeros = jnp.zeros((told, latent_size), x.dtype)
        return {"mean": zeros, "log_var": zeros}

    def of(given: Array) -> Prior:
        def parameters(params: Mapping[str, Any]) -> tuple[Array, Array]:
            own = params["prior"]
            return given @ own["mean"], given @ own["log_var"]

        return Prior(
            sample=lambda key, params, shape, hparams: density.sample(key, *parameters(params)),
            log_prob=lambda z, params, hparams: density.log_prob(z, *parameters(params)),
        )

    def untold(*given: Any) -> Any:
        raise InputError("this prior is told classes: ask prior.of(labels one-hot) for a density")

    return Prior(untold, untold, init=init, of=of, classes=classes)


def flow(through: Flow) -> Prior:
    """Draws of the standard Gaussian, through an invertible map that is learned.

    Args:
      through: of `flows`, with an inverse, and told by no encoder: `flows.masked_autoregressive()`,
        whose densities are quick, or `flows.coupling()`, of which draws are so as well.

    Raises:
      InputError: if it is none, or no such one.

    Reference:
      Chen et al. (2017), Variational Lossy Autoencoder, section 3.2.
    """
    require_kind(Flow, "flows.masked_autoregressive()", through=through)
    if through.inverse is None or through.context(2):
        raise InputError(
            "a prior needs a flow that has an inverse and no context: use "
            "flows.masked_autoregressive() or flows.coupling()"
        )
    base = probability.priors.normal()

    def untold(z: Array) -> Array:
        return jnp.zeros((len(z), 0), z.dtype)

    def sample(key: Array, params: Mapping[str, Any], shape: tuple[int, int], hparams: HParams):
        first = base(key, shape)
        return through.forward(params["prior"], first, untold(first))[0]

    def log_prob(z: Array, params: Mapping[str, Any], hparams: HParams) -> Array:
        first, log_det = through.inverse(params["prior"], z, untold(z))
        return base.log_prob(first) + log_det

    return Prior(sample, log_prob, init=lambda key, x, latent_size: through.init(key, latent_size))


def vamp(
    encoder: Network,
    components: int = 50,
    *,
    posterior: Posterior | None = None,
    interval: tuple[float, float] | None = (0.0, 1.0),
) -> Prior:
    """The mean of the posteriors of learned pseudo-inputs, (1/C) sum_c q(z | u_c): a VampPrior.

    It reads the same encoder's parameters, `encoder`, without dropout and by running statistics. At
    first pseudo-inputs are noise about the mean of the first batch, and so in the data's range.

    Args:
      encoder: the VAE's.
      components: C, how many.
      posterior: the VAE's, whose density is known everywhere; `posteriors.gaussian()` where None.
      interval: where pseudo-inputs stay: of images in [0, 1], as sigmoids of what is learned. None
        for data of any range.

    Raises:
      InputError: if a part is none, the posterior has no density or parameters of its own, there is
        no component, or the interval is empty; in use, if the VAE is told classes, of which
        pseudo-inputs have none.

    Reference:
      Tomczak and Welling (2018), VAE with a VampPrior.
    """
    posterior = gaussian() if posterior is None else posterior
    require_networks(encoder=encoder)
    require_kind(Posterior, "posteriors.gaussian()", posterior=posterior)
    require(COUNT, components=components)
    if posterior.log_prob is None or posterior.init is not None:
        raise InputError("a VampPrior mixes plain posteriors: use posteriors.gaussian()")
    if interval is not None:
        ends = np.shape(interval) == (2,) and all(end in REAL for end in interval)
        if not ends or not interval[0] < interval[1]:
            raise InputError(f"interval is {interval!r}: use (low, high) with low < high, or None")
    low, high = (0.0, 1.0) if interval is None else interval

    def init(key: Array, x: Array, latent_size: int) -> Array:
        mean, spread = jnp.mean(x, axis=0), 0.1 if interval is None else 0.1 * (high - low)
        noise = spread * jax.random.normal(key, (components, *x.shape[1:]), x.dtype)
        start = mean[None] + noise
        if interval is None:
            return start
        inside = jnp.clip((start - low) / (high - low), 0.01, 0.99)
        return jnp.log(inside) - jnp.log1p(-inside)

    def parameters(params: Mapping[str, Any], hparams: HParams, latent_size: int) -> Any:
        raw = params["prior"]
        shown = raw if interval is None else low + (high - low) * jax.nn.sigmoid(raw)
        outputs = encoder.apply(params["encoder"], shown)
        return posterior.read(outputs, latent_size, hparams)

    def mixture(params: Mapping[str, Any], hparams: HParams, latent_size: int):
        return mixed(posterior, parameters(params, hparams, latent_size))

    return Prior(
        lambda key, params, shape, hparams: mixture(params, hparams, shape[1])(key, shape),
        lambda z, params, hparams: mixture(params, hparams, z.shape[1]).log_prob(z),
        init=init,
        support=posterior.support,
        reads_encoder=True,
    )


def closed_form(posterior: Posterior, prior: Prior) -> Callable[[Any], Array] | None:
    """The divergence of a posterior from a prior, parameters -> [B], where it has a closed form."""
    return posterior.kl_standard if prior.standard else None


def fitting_prior(posterior: Posterior) -> str:
    """Says which prior goes with a posterior that was given another one."""
    match posterior.support:
        case "plane":
            return "use priors.normal()"
        case "sphere":
            return "use priors.sphere()"
        case Ball(curvature):
            return f"use priors.wrapped_normal({curvature:g})"
        case Simplex(categories):
            return f"use priors.concrete({categories})"
        case Vertices(categories):
            return f"use priors.categorical({categories})"
        case _:
            return "use priors.joint(), of parts of the same names"
