"""Units of restricted Boltzmann machines: what the energy says of them, and how they are drawn.

E(v, h) = -A(v) - s(v).W.h - c.h + C(h): kinds of visible units differ in A and s, kinds of
hidden units in C. Given the other side all units of a side are independent, but for the groups
of `softmax`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Domain, InputError
from ae_jax.methods.boltzmann.softplus import softplus

#: What is added to the variance of data for Gaussian units to begin with: no pixel is constant.
LEAST_VARIANCE = 0.01
#: Sizes of a group of `softmax`: labels far apart make a one-hot vector that no memory holds.
CLASSES = Domain(2, 2**16, whole=True)


class RBMParams(NamedTuple):
    """Parameters of the energy; V visible and H hidden units."""

    weights: Array  #: [V, H]
    visible_bias: Array  #: [V]
    hidden_bias: Array  #: [H]
    log_variance: Array | None = None  #: [V], of Gaussian visible units alone


class Visible(NamedTuple):
    """A kind of visible units; `field` [B, V] is h W^T, what the hidden units send.

    Attributes:
      log_base: (params, v [B, V]) -> A(v), [B].
      signal: (params, v) -> s(v), [B, V], what the weights see; linear in v.
      log_sum: (params, field) -> log of the sum over v of exp(A(v) + s(v).field), [B].
      mean: (params, field) -> E[v | h], [B, V].
      draw: (uniform, params, field) -> a draw of p(v | h), [B, V], from uniform numbers [B, V].
      fit: v [B, V] -> the bias and the log-variance of independent units with the data's
        marginals.
      enumerable: whether the states are all zeros and ones.
    """

    log_base: Callable[[RBMParams, Array], Array]
    signal: Callable[[RBMParams, Array], Array]
    log_sum: Callable[[RBMParams, Array], Array]
    mean: Callable[[RBMParams, Array], Array]
    draw: Callable[[Array, RBMParams, Array], Array]
    fit: Callable[[Array], tuple[Array, Array | None]]
    enumerable: bool = False


class Hidden(NamedTuple):
    """A kind of hidden units; `logits` [B, H] are s(v) W + c.

    Attributes:
      log_sum: logits -> log of the sum over h of exp(logits.h - C(h)), [B].
      log_base: h [B, H] -> -C(h), [B].
      mean: logits -> E[h | v], [B, H].
      draw: (uniform, logits) -> a draw of p(h | v), [B, H], from uniform numbers [B, H].
      enumerable: whether the states are all zeros and ones.
    """

    log_sum: Callable[[Array], Array]
    log_base: Callable[[Array], Array]
    mean: Callable[[Array], Array]
    draw: Callable[[Array, Array], Array]
    enumerable: bool = False


class Units(NamedTuple):
    """The kinds of a machine's two sides."""

    visible: Visible
    hidden: Hidden


def bernoulli() -> Visible:
    """Returns visible units that are 0 or 1: A(v) = b.v, s(v) = v."""

    def logits(params: RBMParams, field: Array) -> Array:
        return params.visible_bias[None, :] + field

    return Visible(
        log_base=lambda params, v: v @ params.visible_bias,
        signal=lambda params, v: v,
        log_sum=lambda params, field: jnp.sum(softplus(logits(params, field)), axis=-1),
        mean=lambda params, field: jax.nn.sigmoid(logits(params, field)),
        draw=lambda uniform, params, field: _bernoulli(uniform, logits(params, field)),
        fit=lambda v: (_log_odds(v), None),
        enumerable=True,
    )


def softmax(*sizes: int) -> Visible:
    """Returns groups of units of which exactly one is 1, behind Bernoulli units.

    Args:
      sizes: of the groups, which are the last units; those before them are Bernoulli.

    Raises:
      InputError: if there is no group, or one of fewer than two units or more than 65536.

    Reference:
      Larochelle and Bengio (2008), Classification using Discriminative Restricted Boltzmann
      Machines: labels beside pixels.
    """
    if not sizes or min(sizes) < 2:
        raise InputError(f"softmax needs groups of at least two units, got {sizes}")
    if max(sizes) not in CLASSES:
        raise InputError(
            f"a group of {max(sizes)} units is too large, {CLASSES.high} are the most: number the "
            "classes from 0 upwards"
        )
    plain = bernoulli()

    def parts(x: Array) -> tuple[Array, list[Array]]:
        """What belongs to Bernoulli units, and to each group."""
        ends = [x.shape[-1] - sum(sizes[i:]) for i in range(len(sizes))]
        first, *groups = jnp.split(x, ends, axis=-1)
        return first, groups

    def logits(params: RBMParams, field: Array) -> tuple[Array, list[Array]]:
        return parts(params.visible_bias[None, :] + field)

    def log_sum(params: RBMParams, field: Array) -> Array:
        first, groups = logits(params, field)
        total = jnp.sum(softplus(first), axis=-1)
        return total + sum(jax.nn.logsumexp(group, axis=-1) for group in groups)

    def mean(params: RBMParams, field: Array) -> Array:
        first, groups = logits(params, field)
        return jnp.concatenate(
            [jax.nn.sigmoid(first), *(jax.nn.softmax(group) for group in groups)], axis=-1
        )

    def draw(uniform: Array, params: RBMParams, field: Array) -> Array:
        first, groups = logits(params, field)
        of_first, of_groups = parts(uniform)
        drawn = [_bernoulli(of_first, first)]
        for own, group in zip(of_groups, groups, strict=True):
            passed = jnp.cumsum(jax.nn.softmax(group), axis=-1)[:, :-1]
            chosen = jnp.sum(own[:, :1] > passed, axis=-1)  # one number for each group
            drawn.append(jax.nn.one_hot(chosen, group.shape[-1], dtype=group.dtype))
        return jnp.concatenate(drawn, axis=-1)

    def fit(v: Array) -> tuple[Array, None]:
        first, groups = parts(v)
        biases = [jnp.log((jnp.sum(x, axis=0) + 1 / x.shape[1]) / (len(x) + 1)) for x in groups]
        return jnp.concatenate([_log_odds(first), *biases]), None

    return plain._replace(log_sum=log_sum, mean=mean, draw=draw, fit=fit, enumerable=False)


def gaussian() -> Visible:
    """Returns real visible units with learned variances: p(v | h) = N(b + W h, sigma^2).

    A(v) = -(v - b)^2 / (2 sigma^2), s(v) = v / sigma^2

    Reference:
      Cho, Ilin and Raiko (2011), Improved Learning of Gaussian-Bernoulli Restricted Boltzmann
      Machines: this energy, and log sigma^2 as the parameter.
    """

    def log_base(params: RBMParams, v: Array) -> Array:
        precision = jnp.exp(-params.log_variance)[None, :]
        return -0.5 * jnp.sum((v - params.visible_bias[None, :]) ** 2 * precision, axis=-1)

    def log_sum(params: RBMParams, field: Array) -> Array:
        # log int exp(-(v - b)^2 / 2s^2 + v f / s^2) dv = log(2 pi s^2) / 2 + (b f + f^2 / 2) / s^2
        tilt = (params.visible_bias[None, :] + 0.5 * field) * field
        log_volume = 0.5 * jnp.sum(math.log(2 * math.pi) + params.log_variance)
        return log_volume + jnp.sum(tilt * jnp.exp(-params.log_variance)[None, :], axis=-1)

    def draw(uniform: Array, params: RBMParams, field: Array) -> Array:
        noise = jax.scipy.special.ndtri(uniform)
        return (
            params.visible_bias[None, :]
            + field
            + noise * jnp.exp(0.5 * params.log_variance)[None, :]
        )

    return Visible(
        log_base=log_base,
        signal=lambda params, v: v * jnp.exp(-params.log_variance)[None, :],
        log_sum=log_sum,
        mean=lambda params, field: params.visible_bias[None, :] + field,
        draw=draw,
        fit=lambda v: (jnp.mean(v, axis=0), jnp.log(jnp.var(v, axis=0) + LEAST_VARIANCE)),
    )


def bernoulli_hidden() -> Hidden:
    """Returns hidden units that are 0 or 1: C(h) = 0."""
    return Hidden(
        log_sum=lambda logits: jnp.sum(softplus(logits), axis=-1),
        log_base=lambda h: jnp.zeros(h.shape[:-1], h.dtype),
        mean=jax.nn.sigmoid,
        draw=_bernoulli,
        enumerable=True,
    )


def gaussian_hidden() -> Hidden:
    """Returns real hidden units of variance 1, for codes: C(h) = h^2 / 2.

    Reference:
      Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural Networks:
      the top layer of their deep autoencoder.
    """

    def log_sum(logits: Array) -> Array:
        return 0.5 * jnp.sum(logits**2 + math.log(2 * math.pi), axis=-1)

    return Hidden(
        log_sum=log_sum,
        log_base=lambda h: -0.5 * jnp.sum(h**2, axis=-1),
        mean=lambda logits: logits,
        draw=lambda uniform, logits: logits + jax.scipy.special.ndtri(uniform),
    )


def _bernoulli(uniform: Array, logits: Array) -> Array:
    return (uniform < jax.nn.sigmoid(logits)).astype(logits.dtype)


def _log_odds(v: Array) -> Array:
    # the marginals of data and of one grey example more, so that none is infinite
    rates = (jnp.sum(v, axis=0) + 0.5) / (v.shape[0] + 1)
    return jnp.log(rates) - jnp.log1p(-rates)


#: Zeros and ones on both sides.
BERNOULLI = Units(bernoulli(), bernoulli_hidden())
