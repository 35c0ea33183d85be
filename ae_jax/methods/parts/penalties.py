"""Terms that an autoencoder adds to its reconstruction loss, each with a traced weight.

They combine freely. A factory's first number is the term's weight; all its numbers are
hyperparameters that can be swept.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax.core import (
    BELOW_ONE,
    BETWEEN,
    COUNT,
    NOT_NEGATIVE,
    Array,
    Domain,
    HParams,
    InputError,
    Network,
    require,
    require_kind,
    traced,
)
from ae_jax.methods.parts.bottlenecks import halves
from ae_jax.methods.parts.discrepancies import Discrepancy, between_rows, inverse_multiquadric
from ae_jax.probability import gaussian, priors


class Pass(NamedTuple):
    """What a penalty may look at.

    Attributes:
      params: the autoencoder's, `encoder` and `decoder`.
      encode: one clean example [...] -> its latent [Z], by the pass of an evaluation.
      x: the clean examples [B, ...].
      latent: what the encoder made of what it was shown, [B, Z].
      running: the penalty's own running statistics, or None.
      decode: one latent [Z] -> what is made of it [...], by the pass of an evaluation.
    """

    params: Mapping[str, Any]
    encode: Callable[[Array], Array]
    x: Array
    latent: Array
    running: Any = None
    decode: Callable[[Array], Array] | None = None


class Penalty(NamedTuple):
    """A term added to the reconstruction loss.

    Attributes:
      hparams: its traced hyperparameters and their defaults, the weight among them.
      apply: (key, Pass, hparams) -> [B], weighted.
      run: (Pass, hparams) -> the running statistics after a training step; before the
        first one `Pass.running` is None. None where a penalty keeps none.
      over: (latent [N, Z], present bool [N], hparams) -> scalar, weighted: the term of all
        examples that are present, for one that is no mean over examples. `apply`, on what a
        batch has, is then for training alone. None where examples have terms of their own.
      check: (encoder, x [B, ...]) raises InputError where the penalty does not hold for the
        encoder; x gives shapes. None where it holds for all.
      domains: the values that each of them may take.
    """

    hparams: Mapping[str, float]
    apply: Callable[[Array, Pass, HParams], Array]
    run: Callable[[Pass, HParams], Any] | None = None
    over: Callable[[Array, Array, HParams], Array] | None = None
    check: Callable[[Network, Array], None] | None = None
    domains: Mapping[str, Domain] = {}


def contractive(
    weight: float = 1.0,
    method: Literal["jacobian", "sigmoid", "hutchinson"] = "jacobian",
    samples: int = 1,
) -> Penalty:
    """Squared Frobenius norm of the encoder's Jacobian, swept as `contractive_weight`.

    Args:
      weight: of the penalty.
      method: `jacobian`, exact for any encoder, by forward differentiation; `sigmoid`, the
        closed form for an encoder of one dense sigmoid layer, the cheapest; `hutchinson`,
        an unbiased estimate for large encoders.
      samples: random directions of the estimate.

    Raises:
      InputError: an unknown method, or no sample; when an autoencoder is initialised, if
        `sigmoid` is not the closed form of its encoder.

    Reference:
      Rifai et al. (2011), Contractive Auto-Encoders, equations 1 and 2.
    """

    def norm(key: Array, seen: Pass) -> Array:
        if method == "sigmoid":
            (kernel,) = _kernels(seen.params["encoder"])
            return losses.contractive_sigmoid(jax.vmap(seen.encode)(seen.x), kernel)
        if method == "hutchinson":
            return losses.contractive_hutchinson(key, seen.encode, seen.x, samples)
        return losses.contractive_penalty(seen.encode, seen.x)

    if method not in ("jacobian", "sigmoid", "hutchinson"):
        raise InputError(f"unknown method {method!r}: use jacobian, sigmoid or hutchinson")
    require(COUNT, samples=samples)
    return Penalty(
        **traced(contractive_weight=(weight, NOT_NEGATIVE)),
        apply=lambda key, seen, hparams: hparams["contractive_weight"] * norm(key, seen),
        check=_one_sigmoid_layer if method == "sigmoid" else None,
    )


def _kernels(params: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]


def _probe(encoder: Network, x: Array) -> tuple[Any, np.ndarray, np.ndarray]:
    """What an encoder makes of random examples with random parameters, whatever is traced.

    Returns:
      The parameters, the examples, of which the first one is zero, and their latents.
    """
    random = np.random.default_rng(0)

    def drawn(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        return random.normal(0, 0.3, leaf.shape).astype(leaf.dtype)

    with jax.ensure_compile_time_eval():
        key = jax.random.key(0)
        params = jax.tree.map(drawn, jax.eval_shape(encoder.init, key, x))
        shown = random.standard_normal((8, *x.shape[1:])).astype(x.dtype)
        shown[0] = 0
        return params, shown, np.asarray(jax.jit(encoder.apply)(params, shown))


def _one_sigmoid_layer(encoder: Network, x: Array) -> None:
    params, shown, latent = _probe(encoder, x)
    kernels, flat = _kernels(params), shown.reshape(len(shown), -1)
    fits = [kernel.shape for kernel in kernels] == [(flat.shape[1], *latent.shape[1:])]
    with np.errstate(all="ignore"):
        # h(x) = sigmoid(x W + b), where b = logit h(0)
        if fits:
            odds = latent[:1] / (1 - latent[:1]) * np.exp(flat @ kernels[0])
            fits = np.allclose(latent, odds / (1 + odds), atol=1e-2)
    if not fits:
        raise InputError(
            "the closed form of the contractive penalty needs an encoder of one dense sigmoid "
            "layer: use method='jacobian'"
        )


def sparsity(
    weight: float = 1.0,
    target: float = 0.05,
    activation: str = "sigmoid",
    momentum: float | None = None,
) -> Penalty:
    """KL divergence of the units' mean activations from a target.

    Swept as `sparsity_weight` and `sparsity_target`; with a running mean also
    `sparsity_momentum`.

    Args:
      weight: of the penalty.
      target: the wanted mean activation, in (0, 1).
      activation: of the latent units, which says what a rate in (0, 1) means for them; see
        `losses.activation_rate`.
      momentum: of a running mean over batches, which steadies the estimate for small ones;
        None takes each batch's own mean. The gradient is that of the batch's mean.

    Returns:
      The penalty. Training takes means over a batch, evaluation over the whole data set.

    Raises:
      InputError: an activation that has no rate; when an autoencoder is initialised, if its
        latent leaves the activation's range.

    Reference:
      Ng (2011), Sparse autoencoder, section 3; Hinton (2010), A practical guide to training
      restricted Boltzmann machines, section 11, for the running mean.
    """
    numbers = {"sparsity_weight": (weight, NOT_NEGATIVE), "sparsity_target": (target, BETWEEN)}
    if momentum is not None:
        numbers["sparsity_momentum"] = (momentum, BELOW_ONE)

    def run(seen: Pass, hparams: HParams) -> Array:
        rate = jnp.mean(losses.activation_rate(seen.latent, activation), axis=0)
        if seen.running is None:
            return rate
        kept = hparams["sparsity_momentum"]
        return kept * seen.running + (1 - kept) * rate

    def apply(key: Array, seen: Pass, hparams: HParams) -> Array:
        rates = losses.activation_rate(seen.latent, activation)
        if seen.running is not None:
            shift = seen.running - jnp.mean(rates, axis=0)
            rates = rates + jax.lax.stop_gradient(shift)[None]
        penalty = losses.kl_sparsity(rates, hparams["sparsity_target"])
        return jnp.broadcast_to(hparams["sparsity_weight"] * penalty, seen.latent.shape[:1])

    def over(latent: Array, present: Array, hparams: HParams) -> Array:
        rates = losses.activation_rate(latent, activation)
        target = hparams["sparsity_target"]
        return hparams["sparsity_weight"] * losses.kl_sparsity(rates, target, present)

    def check(encoder: Network, x: Array) -> None:
        with jax.ensure_compile_time_eval():
            rates = np.asarray(losses.activation_rate(_probe(encoder, x)[2], activation))
        if np.any((rates < 0) | (rates > 1)):
            raise InputError(
                f"the latent leaves the range of {activation} units: give sparsity the activation "
                "that the encoder ends in"
            )

    losses.activation_rate(jnp.zeros(()), activation)
    return Penalty(
        **traced(**numbers),
        apply=apply,
        run=None if momentum is None else run,
        over=over,
        check=check,
    )


def l1(weight: float = 1.0) -> Penalty:
    """Sum of the latent's absolute values, swept as `l1_weight`."""
    return Penalty(
        **traced(l1_weight=(weight, NOT_NEGATIVE)),
        apply=lambda key, seen, hparams: hparams["l1_weight"] * losses.l1(seen.latent),
    )


def latent_norm(weight: float = 1e-4) -> Penalty:
    """Half the squared length of the latent, swept as `latent_norm_weight`.

    Without it a regularised decoder would have latents grow in the place of its weights.

    Reference:
      Ghosh et al. (2020), From Variational to Deterministic Autoencoders.
    """

    def apply(key: Array, seen: Pass, hparams: HParams) -> Array:
        zeros = jnp.zeros_like(seen.latent)
        return 0.5 * hparams["latent_norm_weight"] * losses.squared_error(zeros, seen.latent)

    return Penalty(**traced(latent_norm_weight=(weight, NOT_NEGATIVE)), apply=apply)


def decoder_jacobian(
    weight: float = 1e-6,
    method: Literal["jacobian", "hutchinson"] = "jacobian",
    samples: int = 1,
) -> Penalty:
    """Squared Frobenius norm of the decoder's Jacobian, swept as `decoder_jacobian_weight`.

    Of the decoder with respect to the latent: the gradient of the sum of its outputs, or with
    respect to the input, is another number.

    Args:
      weight: of the penalty.
      method: `jacobian`, exact, by as many forward passes as there are latents; `hutchinson`, an
        unbiased estimate by fewer.
      samples: random directions of the estimate.

    Raises:
      InputError: an unknown method, or no sample.

    Reference:
      Ghosh et al. (2020), RAE-GP.
    """

    def norm(key: Array, seen: Pass) -> Array:
        if method == "hutchinson":
            return losses.contractive_hutchinson(key, seen.decode, seen.latent, samples)
        return losses.contractive_penalty(seen.decode, seen.latent)

    if method not in ("jacobian", "hutchinson"):
        raise InputError(f"unknown method {method!r}: use jacobian or hutchinson")
    require(COUNT, samples=samples)
    return Penalty(
        **traced(decoder_jacobian_weight=(weight, NOT_NEGATIVE)),
        apply=lambda key, seen, hparams: hparams["decoder_jacobian_weight"] * norm(key, seen),
    )


def matching(
    weight: float = 10.0,
    discrepancy: Discrepancy | None = None,
    prior: priors.Prior | None = None,
) -> Penalty:
    """A discrepancy of all latents from draws of a prior: a Wasserstein autoencoder's.

    Swept as `matching_weight`. Its encoder has no noise; with noise it is a `vae` of `beta` 0 with
    `latent_regularisers.matching`. Images are made of draws of the prior, by
    `recipes.samplers.generated`.

    Args:
      weight: of the discrepancy, beside a squared error that is summed over pixels.
      discrepancy: from `discrepancies`; `inverse_multiquadric()` where None. An unbiased one may be
        negative, as it is 0 in the mean at a match.
      prior: of `probability.priors`; the standard Gaussian where None.

    Returns:
      The penalty. Training takes a batch, evaluation the whole data set, of which at most 1000
      examples are compared.

    Raises:
      InputError: if a part is none.

    Reference:
      Tolstikhin et al. (2018), Wasserstein Auto-Encoders, algorithm 2.
    """
    discrepancy = inverse_multiquadric() if discrepancy is None else discrepancy
    prior = priors.normal() if prior is None else prior
    require_kind(Discrepancy, "discrepancies.mmd()", discrepancy=discrepancy)
    require_kind(priors.Prior, "probability.priors.normal()", prior=prior)

    def apart(key: Array, latent: Array, hparams: HParams, present: Array | None = None) -> Array:
        own, drawing = jax.random.split(key)
        drawn = prior(drawing, latent.shape).astype(latent.dtype)
        value = between_rows(discrepancy, own, latent, drawn, hparams, present)
        return hparams["matching_weight"] * value

    def apply(key: Array, seen: Pass, hparams: HParams) -> Array:
        return jnp.broadcast_to(apart(key, seen.latent, hparams), seen.latent.shape[:1])

    def over(latent: Array, present: Array, hparams: HParams) -> Array:
        # the same draws at every evaluation
        return apart(jax.random.key(0), latent, hparams, present)

    numbers = traced(matching_weight=(weight, NOT_NEGATIVE))
    return Penalty(
        {**numbers["hparams"], **discrepancy.hparams},
        apply,
        over=over,
        domains={**numbers["domains"], **discrepancy.domains},
    )


def divergence(weight: float = 1.0) -> Penalty:
    """KL divergence of the Gaussian that a latent says from N(0, I), swept as `kl_weight`.

    For `bottlenecks.gaussian()`, whose draws it keeps apart: the latent is of means and
    log-variances, side by side. With a reconstruction that is no likelihood, such as
    `observations.multiscale_ssim()`, that is a VAE but for its bound on log p(x).

    Raises:
      InputError: when traced, if the latent is of an odd number.

    Reference:
      Kingma and Welling (2014), Auto-Encoding Variational Bayes, appendix B.
    """

    def apply(key: Array, seen: Pass, hparams: HParams) -> Array:
        return hparams["kl_weight"] * gaussian.kl_standard(*halves(seen.latent))

    return Penalty(**traced(kl_weight=(weight, NOT_NEGATIVE)), apply=apply)


def weight_decay(weight: float = 1e-4, of: Literal["encoder", "decoder"] | None = None) -> Penalty:
    """Half the sum of squares of kernels (not of biases), swept as `weight_decay`.

    Tied kernels count once, as the encoder's.

    Args:
      weight: of the penalty.
      of: which network's kernels, such as the decoder's in a regularised autoencoder; those of both
        where None.

    Raises:
      InputError: an unknown network.

    Reference:
      Ng (2011), Sparse autoencoder, section 2; Ghosh et al. (2020), From Variational to
      Deterministic Autoencoders, RAE-L2, for the decoder alone.
    """
    if of not in (None, "encoder", "decoder"):
        raise InputError(f"unknown network {of!r}: use encoder or decoder, or None for both")

    def apply(key: Array, seen: Pass, hparams: HParams) -> Array:
        kernels = _kernels(seen.params if of is None else seen.params[of])
        norm = sum(jnp.sum(kernel**2) for kernel in kernels)
        return jnp.broadcast_to(0.5 * hparams["weight_decay"] * norm, seen.latent.shape[:1])

    return Penalty(**traced(weight_decay=(weight, NOT_NEGATIVE)), apply=apply)
