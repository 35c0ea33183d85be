"""What several draws of a prediction tell of how sure it is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import COUNT, Array, InputError, require


class Predictive(NamedTuple):
    """A prediction that is the mean of K draws, and how far they differ.

    Attributes:
      probabilities: [..., C], the mean over draws of the classes' probabilities.
      variance: [..., C], over draws, of each class's probability.
      entropy: [...], nats, of the mean: all that is uncertain.
      mutual_information: [...], nats, of the class and the draw: the entropy less the mean entropy
        of single draws; what is left of the uncertainty where every draw is sure of itself.
    """

    probabilities: Array
    variance: Array
    entropy: Array
    mutual_information: Array


def predictive(logits: Array) -> Predictive:
    """Returns the mean of predictions and their uncertainty.

    Draws that are all equal have a variance and a mutual information of 0, and themselves for
    their mean, to the last bit.

    Args:
      logits: [K, ..., C], of K draws.

    Raises:
      InputError: if there is no draw, or no axis of classes.

    Reference:
      Kendall, Badrinarayanan and Cipolla (2015), Bayesian SegNet, section 3; Houlsby et al. (2011),
      Bayesian Active Learning for Classification, equation 2.
    """
    if logits.ndim < 2 or not len(logits):
        raise InputError(f"logits must be [K, ..., C] of one draw or more, got {logits.shape}")
    p = jax.nn.softmax(logits)
    mean = p[:1] + jnp.mean(p - p[:1], axis=0, keepdims=True)
    # I(class; draw) = E_k KL(p_k || mean), which does not cancel as entropies do
    divergence = jnp.mean(jnp.sum(jax.scipy.special.rel_entr(p, mean), axis=-1), axis=0)
    return Predictive(
        mean[0],
        jnp.mean((p - mean) ** 2, axis=0),
        jnp.sum(jax.scipy.special.entr(mean[0]), axis=-1),
        jnp.maximum(divergence, 0),
    )


def monte_carlo(draw: Callable[[Array], Array], key: Array, samples: int) -> Predictive:
    """Returns the mean of drawn predictions and their uncertainty, one draw after the other.

    With dropout it is Monte Carlo dropout, of a segmenter the Bayesian SegNet:
    `metrics.monte_carlo(lambda key: model.predict_noisy(key, batch), key, 50)`; it can be jitted.

    Args:
      draw: key -> logits [..., C]; pure.
      key: of all draws.
      samples: K.

    Raises:
      InputError: if there is no sample, or no axis of classes.

    Reference:
      Gal and Ghahramani (2016), Dropout as a Bayesian Approximation, equation 6.
    """
    require(COUNT, samples=samples)
    return predictive(jax.lax.map(draw, jax.random.split(key, samples)))
