"""What a decoder's output says about the data: a likelihood, or a plain error.

An Observation joins a loss from `ae_jax.losses` to the mean (and, for a likelihood, the
sampler) that belongs to it, so that autoencoders and VAEs take it as one argument.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import losses
from ae_jax.core import (
    POSITIVE,
    Array,
    Domain,
    HParams,
    InputError,
    Network,
    require,
    require_kind,
    require_networks,
    traced,
)
from ae_jax.losses.similarity import SCALE_WEIGHTS
from ae_jax.methods.parts.quantisers import nearest
from ae_jax.probability import continuous_bernoulli as continuous
from ae_jax.probability import discretised_logistic as discretised
from ae_jax.probability import gaussian as normal
from ae_jax.probability._examples import matched


class Observation(NamedTuple):
    """How decoder outputs are compared with data.

    Attributes:
      hparams: its traced hyperparameters and their defaults.
      loss: (outputs, x, hparams) -> [B]; a negative log-likelihood in nats where
        `sample` is defined.
      mean: outputs -> reconstruction in data space.
      sample: (key, outputs, hparams) -> data; None where the loss is no likelihood.
      domains: the values that each of them may take.
    """

    hparams: Mapping[str, float]
    loss: Callable[[Array, Array, HParams], Array]
    mean: Callable[[Array], Array]
    sample: Callable[[Array, Array, HParams], Array] | None = None
    domains: Mapping[str, Domain] = {}


def bernoulli() -> Observation:
    """Outputs are logits; data in [0, 1] count as probabilities (cross-entropy)."""
    return Observation(
        hparams={},
        loss=lambda logits, x, hparams: losses.bernoulli_nll(logits, x),
        mean=jax.nn.sigmoid,
        sample=lambda key, logits, hparams: jax.random.bernoulli(
            key, jax.nn.sigmoid(logits)
        ).astype(logits.dtype),
    )


def continuous_bernoulli() -> Observation:
    """Outputs are logits; a density of data in [0, 1], grey levels too.

    Reference:
      Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli.
    """
    return Observation(
        hparams={},
        loss=lambda logits, x, hparams: losses.continuous_bernoulli_nll(logits, x),
        mean=continuous.mean,
        sample=lambda key, logits, hparams: continuous.sample(key, logits),
    )


def categorical() -> Observation:
    """Outputs are logits [B, V]; data are one-hot [B, V].

    Raises:
      InputError: when traced, if they are of other shapes, such as images.
    """

    def loss(logits: Array, x: Array, hparams: HParams) -> Array:
        logits, x = matched("logits x", logits, x)
        if x.ndim != 2:
            raise InputError(f"categories are one-hot, [B, V], got {list(x.shape)}")
        # -log softmax(logits)_x
        return optax.losses.softmax_cross_entropy(logits, x)

    return Observation(
        hparams={},
        loss=loss,
        mean=jax.nn.softmax,
        sample=lambda key, logits, hparams: jax.nn.one_hot(
            jax.random.categorical(key, logits), logits.shape[1], dtype=logits.dtype
        ),
    )


def quantised(
    centres: np.ndarray, temperature: float = 0.38, weights: np.ndarray | None = None
) -> Observation:
    """Outputs are logits of classes [B, ..., Q]; data [B, ..., D] are of the class of the nearest.

    Where several values are possible the squared error's best answer, their mean, may be none of
    them: a distribution over classes can say so.

    Args:
      centres: float [Q, D], of the classes.
      temperature: of the mean that reconstructs: 1 is that of the distribution, near 0 it is the
        likeliest class.
      weights: float [Q], of each class in the loss, such as one over how frequent it is; all the
        same where None.

    Returns:
      The Observation. Its loss, the cross-entropy in nats, is of classes and no density of the
      data, so that it has no sampler.

    Raises:
      InputError: if there are less than two centres, weights do not belong to them, or the
        temperature is not positive.

    Reference:
      Zhang, Isola and Efros (2016), Colorful Image Colorization, equations 2 and 5.
    """
    centres = np.asarray(centres)
    if centres.ndim != 2 or len(centres) < 2:
        raise InputError(f"centres are two or more, [Q, D], got {list(centres.shape)}")
    if weights is not None and np.shape(weights) != centres.shape[:1]:
        raise InputError(f"{len(centres)} centres need as many weights, got {np.shape(weights)}")
    if temperature not in POSITIVE:
        raise InputError(f"temperature is {temperature!r}: use {POSITIVE}")

    def loss(logits: Array, x: Array, hparams: HParams) -> Array:
        found = nearest(x, jnp.asarray(centres, x.dtype))
        classes = jax.nn.one_hot(found, len(centres), dtype=x.dtype)
        if weights is not None:
            classes *= jnp.asarray(weights, x.dtype).reshape(*[1] * (x.ndim - 1), -1)
        each = optax.losses.softmax_cross_entropy(logits, classes)
        return jnp.sum(each.reshape(len(each), -1), axis=1)

    def mean(logits: Array) -> Array:
        own = jnp.asarray(centres, logits.dtype)
        return jnp.matmul(jax.nn.softmax(logits / temperature), own, precision="highest")

    return Observation(hparams={}, loss=loss, mean=mean)


def gaussian(variance: float = 1.0) -> Observation:
    """Outputs are means; the variance, one number for all dimensions, is a hyperparameter."""
    return Observation(
        **traced(variance=(variance, POSITIVE)),
        loss=lambda mean, x, hparams: losses.gaussian_nll(mean, x, hparams["variance"]),
        mean=lambda mean: mean,
        sample=lambda key, mean, hparams: (
            mean + jnp.sqrt(hparams["variance"]) * jax.random.normal(key, mean.shape, mean.dtype)
        ),
    )


def learned_gaussian(least_variance: float = 1e-6) -> Observation:
    """Outputs are means and log-variances, in the two halves of the last axis.

    A decoder gives twice the data's channels, and so a variance for each pixel; one variance that
    all pixels share is learned by `nets.shared_scale(decoder)`.

    Args:
      least_variance: is added to each variance: a pixel that never changes has no density
        otherwise. Traced.

    Reference:
      Rybkin, Daniilidis and Levine (2021), Simple and Effective VAE Training with Calibrated
      Decoders.
    """

    def read(outputs: Array, hparams: HParams) -> tuple[Array, Array]:
        mean, log_var = _halves(outputs)
        least = jnp.log(jnp.asarray(hparams["least_variance"], log_var.dtype))
        return mean, jnp.logaddexp(log_var, least)

    def loss(outputs: Array, x: Array, hparams: HParams) -> Array:
        mean, log_var = read(outputs, hparams)
        return -normal.log_prob(x, mean, log_var)

    return Observation(
        **traced(least_variance=(least_variance, POSITIVE)),
        loss=loss,
        mean=lambda outputs: _halves(outputs)[0],
        sample=lambda key, outputs, hparams: normal.sample(key, *read(outputs, hparams)),
    )


def optimal_gaussian(least_variance: float = 1e-6) -> Observation:
    """Outputs are means; the variance is an example's own mean squared error.

    The loss is a dimension's worth of the error's logarithm: its gradient is that of `gaussian` at
    the best variance, whatever the units of x. It is no likelihood, since the variance has seen x.
    `student` is one, with almost that gradient; and so is `learned_gaussian` behind
    `nets.shared_scale`, whose optimum is the data set's error.

    Args:
      least_variance: below which the variance does not fall; traced.

    Reference:
      Rybkin, Daniilidis and Levine (2021).
    """
    return Observation(
        **traced(least_variance=(least_variance, POSITIVE)),
        loss=lambda mean, x, hparams: losses.optimal_gaussian_nll(
            mean, x, hparams["least_variance"]
        ),
        mean=lambda mean: mean,
    )


def student(degrees: float = 1.0, variance: float = 0.01) -> Observation:
    """Outputs are means; the variance, one of each example, is unknown and integrated out.

    Args:
      degrees: of freedom: how many dimensions the given variance counts for beside the example's
        own error; traced.
      variance: where the unknown one is expected; traced.

    Reference:
      Gelman et al. (2013), Bayesian Data Analysis; the optimal variance of Rybkin,
      Daniilidis and Levine (2021) is its limit of no degrees of freedom.
    """

    def sample(key: Array, mean: Array, hparams: HParams) -> Array:
        variance_key, noise_key = jax.random.split(key)
        half = jnp.asarray(hparams["degrees"], mean.dtype) / 2
        precision = jax.random.gamma(variance_key, half, mean.shape[:1], mean.dtype) / half
        deviation = jnp.sqrt(jnp.asarray(hparams["variance"], mean.dtype) / precision)
        noise = jax.random.normal(noise_key, mean.shape, mean.dtype)
        return mean + deviation.reshape(-1, *[1] * (mean.ndim - 1)) * noise

    return Observation(
        **traced(degrees=(degrees, POSITIVE), variance=(variance, POSITIVE)),
        loss=lambda mean, x, hparams: losses.student_nll(
            mean, x, hparams["degrees"], hparams["variance"]
        ),
        mean=lambda mean: mean,
        sample=sample,
    )


def discretised_logistic(levels: int = 256) -> Observation:
    """Outputs are locations and log-scales, in the two halves of the last axis; data are levels.

    A reconstruction is the location, the median, within [0, 1].

    Args:
      levels: of the data, from 0 to 1: 256 of 8-bit images.

    Raises:
      InputError: when traced, if there are fewer than 2 levels.

    Reference:
      Salimans et al. (2017), PixelCNN++.
    """

    def loss(outputs: Array, x: Array, hparams: HParams) -> Array:
        location, log_scale = _halves(outputs)
        return losses.discretised_logistic_nll(location, x, log_scale, levels)

    return Observation(
        hparams={},
        loss=loss,
        mean=lambda outputs: jnp.clip(_halves(outputs)[0], 0, 1),
        sample=lambda key, outputs, hparams: discretised.sample(key, *_halves(outputs), levels),
    )


def _halves(outputs: Array) -> Sequence[Array]:
    if outputs.shape[-1] % 2:
        raise InputError(
            f"the decoder must give means and scales, twice the data's channels, and gives "
            f"{list(outputs.shape)}"
        )
    return jnp.split(outputs, 2, axis=-1)


def squared_error() -> Observation:
    """Sum of squared differences."""
    return Observation({}, lambda outputs, x, _: losses.squared_error(outputs, x), lambda x: x)


def absolute_error() -> Observation:
    """Sum of absolute differences."""
    return Observation({}, lambda outputs, x, _: losses.absolute_error(outputs, x), lambda x: x)


def correntropy(sigma: float = 0.5) -> Observation:
    """A squared error that saturates at outliers, well above sigma, which is a hyperparameter."""
    return Observation(
        **traced(sigma=(sigma, POSITIVE)),
        loss=lambda outputs, x, hparams: losses.correntropy(outputs, x, hparams["sigma"]),
        mean=lambda outputs: outputs,
    )


def multiscale_ssim(scales: int = 5, weight: float = 1.0) -> Observation:
    """Outputs are images in [0, 1], such as of a sigmoid: how alike they look at several scales.

    The loss, weight (1 - MS-SSIM) for each pixel and channel, is summed over them as others are, so
    that a divergence in nats beside it is no number of another size; swept as `ssim_weight`. It is
    no likelihood, so that a `vae` refuses it. A VAE with a perceptual term in the place of log
    p(x | z) is an `autoencoder` with `bottlenecks.gaussian()` and `penalties.divergence()`: it has
    no bound on log p(x), and none is reported.

    Args:
      scales: how many, each of half the size; of their published weights the first ones, over their
        sum. S of them need images of 3 2^(S - 1) pixels.
      weight: of the loss; traced.

    Raises:
      InputError: if there is no scale, or more than five; when traced, as `losses.multiscale_ssim`.

    Reference:
      Wang, Simoncelli and Bovik (2003), Multi-scale Structural Similarity; Snell et al. (2017),
      Learning to Generate Images with Perceptual Similarity Metrics.
    """
    require(Domain(1, len(SCALE_WEIGHTS), whole=True), scales=scales)
    first = SCALE_WEIGHTS[:scales]
    weights = [own / sum(first) for own in first]

    def loss(outputs: Array, x: Array, hparams: HParams) -> Array:
        unlike = 1 - losses.multiscale_ssim(outputs, x, weights)
        return hparams["ssim_weight"] * math.prod(x.shape[1:]) * unlike

    return Observation(
        **traced(ssim_weight=(weight, POSITIVE)), loss=loss, mean=lambda outputs: outputs
    )


def decoding(decoder: Network, observation: Observation) -> Network:
    """A decoder as a network that gives data: the mean of what its outputs say.

    With the decoder's own parameters, so that trained ones fit: for the decoder of a `stage`.

    Raises:
      InputError: if one of them is none.
    """
    require_networks(decoder=decoder)
    require_kind(Observation, "observations.bernoulli()", observation=observation)
    return Network(decoder.init, lambda params, z: observation.mean(decoder.apply(params, z)))


#: The observations that need no argument, by name.
OBSERVATIONS: Mapping[str, Callable[[], Observation]] = {
    "bernoulli": bernoulli,
    "continuous_bernoulli": continuous_bernoulli,
    "gaussian": gaussian,
    "student": student,
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "correntropy": correntropy,
}
