"""The distribution of a restricted Boltzmann machine: p(v, h) = exp(-E(v, h)) / Z.

E(v, h) = -A(v) - s(v).W.h - c.h + C(h); for zeros and ones, -v.W.h - b.v - c.h
"""

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.methods.boltzmann.units import BERNOULLI, RBMParams, Units
from ae_jax.probability import bernoulli


def hidden_logits(params: RBMParams, v: Array, units: Units = BERNOULLI) -> Array:
    """What v [B, V] sends to the hidden units, s(v) W + c: [B, H], the log-odds of Bernoullis."""
    return units.visible.signal(params, v) @ params.weights + params.hidden_bias[None, :]


def visible_field(params: RBMParams, h: Array) -> Array:
    """What h [B, H] sends to the visible units, without their bias: [B, V]."""
    return h @ params.weights.T


def energy(
    params: RBMParams,
    v: Array,
    h: Array,
    units: Units = BERNOULLI,
    precision: str | None = "highest",
) -> Array:
    """Energy of joint states.

    Args:
      params: of V visible and H hidden units.
      v: [B, V].
      h: [B, H].
      units: the kinds of units.
      precision: of matrix products; None is what the accelerator does fastest.

    Returns:
      [B], nats.
    """
    with jax.default_matmul_precision(precision):
        interaction = jnp.sum(hidden_logits(params, v, units) * h, axis=-1)
        return -units.visible.log_base(params, v) - interaction - units.hidden.log_base(h)


def free_energy(
    params: RBMParams, v: Array, units: Units = BERNOULLI, precision: str | None = "highest"
) -> Array:
    """Minus log of the sum of exp(-energy) over all hidden states; log p(v) = -F(v) - log Z.

    Args:
      params: of V visible and H hidden units.
      v: [B, V].
      units: the kinds of units.
      precision: of matrix products; None is what the accelerator does fastest.

    Returns:
      [B], nats.
    """
    # F(v) = -b.v - sum_j log(1 + exp(c_j + (v W)_j)) for zeros and ones
    with jax.default_matmul_precision(precision):
        logits = hidden_logits(params, v, units)
        return -units.visible.log_base(params, v) - units.hidden.log_sum(logits)


def hidden_free_energy(params: RBMParams, h: Array, units: Units = BERNOULLI) -> Array:
    """Minus log of the sum of exp(-energy) over all visible states.

    Args:
      params: of V visible and H hidden units.
      h: [B, H].
      units: the kinds of units.

    Returns:
      [B], nats.
    """
    with jax.default_matmul_precision("highest"):
        inward = h @ params.hidden_bias + units.hidden.log_base(h)
        return -inward - units.visible.log_sum(params, visible_field(params, h))


def reconstruction_nll(
    params: RBMParams, v: Array, field: Array, units: Units = BERNOULLI
) -> Array:
    """Minus log p(v | h), nats, [B]: cross-entropy for Bernoulli units.

    Args:
      params: of V visible and H hidden units.
      v: [B, V].
      field: [B, V], what h sends: see `visible_field`.
      units: the kinds of units.
    """
    found = units.visible.log_base(params, v) + jnp.sum(
        units.visible.signal(params, v) * field, axis=-1
    )
    return units.visible.log_sum(params, field) - found


def conditional_logits(params: RBMParams, v: Array, unit: Array) -> Array:
    """Log-odds of one Bernoulli visible unit of each example given the example's other units.

    Args:
      params: of V visible and H hidden Bernoulli units.
      v: [B, V].
      unit: int [B], which unit.

    Returns:
      [B]: F(v with the unit off) - F(v with the unit on), by one matrix product.
    """
    rows = params.weights[unit]  # [B, H]
    off = hidden_logits(params, v) - jnp.take_along_axis(v, unit[:, None], axis=1) * rows
    change = jax.nn.softplus(off + rows) - jax.nn.softplus(off)
    return params.visible_bias[unit] + jnp.sum(change, axis=1)


def pseudo_log_likelihood(key: Array, params: RBMParams, v: Array) -> Array:
    """Estimates sum_i log p(v_i | v_-i) without bias, from one unit drawn per example.

    Args:
      key: PRNG key.
      params: of V visible and H hidden Bernoulli units.
      v: [B, V].

    Returns:
      [B], nats.
    """
    unit = jax.random.randint(key, v.shape[:1], 0, v.shape[1])
    own = jnp.take_along_axis(v, unit[:, None], axis=1)
    logits = conditional_logits(params, v, unit)
    return v.shape[1] * bernoulli.log_prob(own, logits[:, None])


def class_logits(params: RBMParams, v: Array, classes: int, units: Units) -> Array:
    """Log p(class | pixels) up to a constant of the pixels, by free energies.

    Args:
      params: of visible units whose last `classes` are a softmax group, the label.
      v: [B, V], of which the label is not looked at.
      classes: C.
      units: the kinds of units.

    Returns:
      [B, C], nats.

    Reference:
      Larochelle and Bengio (2008), Classification using Discriminative Restricted Boltzmann
      Machines.
    """
    with jax.default_matmul_precision("highest"):
        pixels = v.at[:, -classes:].set(0)
        logits = hidden_logits(params, pixels, units)[:, None, :]
        of_class = params.weights[-classes:]  # [C, H]
        return params.visible_bias[None, -classes:] + units.hidden.log_sum(
            logits + of_class[None, :, :]
        )
