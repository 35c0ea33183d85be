"""The restricted Boltzmann machine with Bernoulli units, trained by contrastive divergence.

E(v, h) = -v.W.h - b.v - c.h,  p(v, h) = exp(-E(v, h)) / Z
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.core import Array, Batch, HParams, Info, InputError, Method, Views
from ae_jax.probability import bernoulli

#: The most units whose 2^n states `log_partition_exact` visits.
MOST_ENUMERATED = 20


class RBMParams(NamedTuple):
    """Parameters of the energy; V visible and H hidden units."""

    weights: Array  #: [V, H]
    visible_bias: Array  #: [V]
    hidden_bias: Array  #: [H]


class State(NamedTuple):
    """What contrastive divergence carries from step to step."""

    params: RBMParams
    velocity: RBMParams
    #: The first batch's mean image, [...] as one example: shapes what is decoded, and is
    #: where the chains of `sample` start.
    marginals: Array


def hidden_logits(params: RBMParams, v: Array) -> Array:
    """Log-odds of each hidden unit given v [B, V]: [B, H]."""
    return v @ params.weights + params.hidden_bias[None, :]


def visible_logits(params: RBMParams, h: Array) -> Array:
    """Log-odds of each visible unit given h [B, H]: [B, V]."""
    return h @ params.weights.T + params.visible_bias[None, :]


def energy(params: RBMParams, v: Array, h: Array) -> Array:
    """Energy of joint states.

    Args:
      params: of V visible and H hidden units.
      v: [B, V].
      h: [B, H].

    Returns:
      [B], nats.
    """
    with jax.default_matmul_precision("highest"):
        return -(v @ params.visible_bias) - jnp.sum(hidden_logits(params, v) * h, axis=1)


def free_energy(params: RBMParams, v: Array) -> Array:
    """Minus log of the sum of exp(-energy) over all hidden states; log p(v) = -F(v) - log Z.

    Args:
      params: of V visible and H hidden units.
      v: [B, V].

    Returns:
      [B], nats.
    """
    # F(v) = -b.v - sum_j log(1 + exp(c_j + (v W)_j))
    with jax.default_matmul_precision("highest"):
        logits = hidden_logits(params, v)
        return -(v @ params.visible_bias) - jnp.sum(jax.nn.softplus(logits), axis=1)


def conditional_logits(params: RBMParams, v: Array, unit: Array) -> Array:
    """Log-odds of one visible unit of each example given the example's other units.

    Args:
      params: of V visible and H hidden units.
      v: [B, V].
      unit: int [B], which unit.

    Returns:
      [B]: F(v with the unit off) - F(v with the unit on), by one matrix product.
    """
    rows = params.weights[unit]  # [B, H]
    off = hidden_logits(params, v) - jnp.take_along_axis(v, unit[:, None], axis=1) * rows
    change = jax.nn.softplus(off + rows) - jax.nn.softplus(off)
    return params.visible_bias[unit] + jnp.sum(change, axis=1)


def log_partition_exact(params: RBMParams) -> Array:
    """Log of the partition function, by visiting every state of the smaller side.

    Args:
      params: of which one side has at most 20 units.

    Returns:
      A scalar, nats; differentiable.

    Raises:
      InputError: if both sides have more than 20 units.
    """
    weights, visible_bias, hidden_bias = params
    if weights.shape[0] > weights.shape[1]:
        weights, visible_bias, hidden_bias = weights.T, hidden_bias, visible_bias
    # from here on the visible side is the smaller one: Z = sum_v exp(-F(v))
    units = weights.shape[0]
    if units > MOST_ENUMERATED:
        raise InputError(
            f"log_partition_exact needs a side of at most {MOST_ENUMERATED} units, "
            f"got {params.weights.shape[0]} visible and {params.weights.shape[1]} hidden ones"
        )
    small = RBMParams(weights, visible_bias, hidden_bias)
    block = min(units, 10)

    def log_sum(first: Array) -> Array:
        numbers = first + jnp.arange(2**block, dtype=jnp.uint32)
        digits = jnp.arange(units, dtype=jnp.uint32)
        v = (numbers[:, None] >> digits[None, :] & jnp.uint32(1)).astype(weights.dtype)
        return jax.nn.logsumexp(-free_energy(small, v))

    blocks = jnp.arange(2 ** (units - block), dtype=jnp.uint32) * jnp.uint32(2**block)
    return jax.nn.logsumexp(jax.lax.map(log_sum, blocks))


def _random_bits(key: Array, count: int) -> tuple[Array, Array]:
    """Independent uint16 [count], and two uint32 more.

    `jax.random.bits` spends as much on 16 bits as on 32: this draws words and halves them.
    """
    words = jax.random.bits(key, ((count + 1) // 2 + 2,), jnp.uint32)
    return jax.lax.bitcast_convert_type(words[2:], jnp.uint16).reshape(-1)[:count], words[:2]


def _shared_digits(words: Array, dtype: jnp.dtype) -> Array:
    """Uniform multiples of 2^-8 (2^-32 for doubles) in [0, 1), as `_draw` wants them."""
    digits = min(32, jnp.finfo(dtype).nmant + 1 - 16)
    return (words >> jnp.uint32(32 - digits)).astype(dtype) * 2.0**-digits


def _draw(bits: Array, low: Array, logits: Array) -> Array:
    """Draws a Bernoulli variable per logit from 16 random bits each.

    (bits + low) / 2^16 is uniform on a grid of 2^-24 (2^-48 for doubles), exactly, because
    `low` is uniform on [0, 1): every unit has its probability, rounded up to that grid, and
    two units share only the digits below 2^-16, a covariance of at most 2^-34.

    Args:
      bits: uint16 [...], independent.
      low: scalar from `_shared_digits`, shared by all units.
      logits: [...], float32 or float64.

    Returns:
      [...] of the logits' dtype, each 0 or 1.
    """
    uniform = (bits.astype(logits.dtype) + low) * 2.0**-16
    return (uniform < jax.nn.sigmoid(logits)).astype(logits.dtype)


class _Chain(NamedTuple):
    visible: Array  # [B, V]
    visible_logits: Array  # [B, V], given hidden
    hidden: Array  # [B, H], from which visible was drawn
    hidden_logits: Array  # [B, H], given visible


def _gibbs(key: Array, params: RBMParams, hidden_logits_: Array, steps: int) -> _Chain:
    """Runs chains from the log-odds of their first hidden state."""
    count, hidden_size = hidden_logits_.shape
    visible_size = params.visible_bias.size
    dtype = hidden_logits_.dtype

    def step(chain: _Chain, key: Array) -> tuple[_Chain, None]:
        bits, words = _random_bits(key, count * (hidden_size + visible_size))
        low = _shared_digits(words, dtype)
        hidden_bits = bits[: count * hidden_size].reshape(count, hidden_size)
        visible_bits = bits[count * hidden_size :].reshape(count, visible_size)
        hidden = _draw(hidden_bits, low[0], chain.hidden_logits)
        logits = visible_logits(params, hidden)
        visible = _draw(visible_bits, low[1], logits)
        return _Chain(visible, logits, hidden, hidden_logits(params, visible)), None

    blank = jnp.zeros((count, visible_size), dtype)
    start = _Chain(blank, blank, jnp.zeros_like(hidden_logits_), hidden_logits_)
    if steps == 1:  # a key's split is a dozen small kernels, which CD-1 would notice
        return step(start, key)[0]
    return jax.lax.scan(step, start, jax.random.split(key, steps))[0]


def gibbs(key: Array, params: RBMParams, v: Array, steps: int) -> tuple[Array, Array]:
    """Runs block Gibbs chains: `steps` times h ~ p(h | v), then v ~ p(v | h).

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      v: [B, V], where the B independent chains start; values between 0 and 1 stand for
        probabilities.
      steps: at least 1.

    Returns:
      The last v [B, V] and the h [B, H] it was drawn from, zeros and ones. The pair is a
      draw of p(v, h) if v was one of p(v).

    Raises:
      InputError: if steps is below 1.
    """
    if steps < 1:
        raise InputError(f"gibbs needs at least 1 step, got {steps}")
    chain = _gibbs(key, params, hidden_logits(params, v), steps)
    return chain.visible, chain.hidden


def contrastive_divergence(
    key: Array, params: RBMParams, v: Array, steps: int
) -> tuple[RBMParams, Array]:
    """Estimates the log-likelihood's gradient, with chains of `steps` started at the data.

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      v: [B, V], data in [0, 1].
      steps: at least 1.

    Returns:
      The gradient of the mean log p(v), to be ascended, and the log-odds [B, V] of the
      chains' last visible states.

    Reference:
      Hinton, 2002, "Training products of experts by minimizing contrastive divergence".
    """
    logits = hidden_logits(params, v)
    chain = _gibbs(key, params, logits, steps)
    hidden, chain_hidden = jax.nn.sigmoid(logits), jax.nn.sigmoid(chain.hidden_logits)
    scale = 1 / v.shape[0]
    gradient = RBMParams(
        # <v h>_data - <v h>_chain
        weights=(v.T @ hidden - chain.visible.T @ chain_hidden) * scale,
        visible_bias=jnp.sum(v - chain.visible, axis=0) * scale,
        hidden_bias=jnp.sum(hidden - chain_hidden, axis=0) * scale,
    )
    return gradient, chain.visible_logits


def rbm(
    hidden_size: int,
    *,
    gibbs_steps: int = 1,
    stochastic_binarization: bool = False,
    sample_steps: int = 1000,
    learning_rate: float = 0.1,
    momentum: float = 0.5,
    weight_decay: float = 1e-4,
) -> Method:
    """Returns the Bernoulli RBM trained by contrastive divergence, CD-k.

    Args:
      hidden_size: H.
      gibbs_steps: k, the chain's length.
      stochastic_binarization: draw zeros and ones from the images at every step and
        evaluation; otherwise grey levels stand for probabilities.
      sample_steps: the chain's length in the `sample` view, which starts from the pixels'
        marginals and returns probabilities given the last hidden state.
      learning_rate: traced.
      momentum: traced; the fraction of the last update that is kept.
      weight_decay: traced; of the weights alone.

    Returns:
      The method. Evaluation, per example: `loss` = `reconstruction`, the cross-entropy in
      nats of the mean-field reconstruction (CD has no objective of its own); `free_energy`,
      nats; `pseudo_log_likelihood`, nats, an unbiased estimate of sum_i log p(v_i | v_-i)
      from one unit drawn per example. A step reports the cross-entropy of the chains' end.

    Raises:
      InputError: if gibbs_steps or sample_steps is below 1.

    Reference:
      Hinton, 2012, "A practical guide to training restricted Boltzmann machines".
    """
    if min(gibbs_steps, sample_steps) < 1:
        raise InputError(f"chains need a step: gibbs_steps={gibbs_steps}, {sample_steps=}")

    def visible_of(key: Array, batch: Batch) -> tuple[Array, Array]:
        """The visible units, and a key that is still unused."""
        v = batch["image"].reshape(batch["image"].shape[0], -1)
        if not stochastic_binarization:
            return v, key
        data_key, key = jax.random.split(key)
        return jax.random.bernoulli(data_key, v).astype(v.dtype), key

    def init(key: Array, batch: Batch, hparams: HParams) -> State:
        image = batch["image"]
        # the marginals of data and of one grey image more, so that no bias is infinite
        marginals = (jnp.sum(image, axis=0) + 0.5) / (image.shape[0] + 1)
        rates = marginals.reshape(-1)
        params = RBMParams(
            weights=0.01 * jax.random.normal(key, (rates.size, hidden_size), image.dtype),
            visible_bias=jnp.log(rates) - jnp.log1p(-rates),
            hidden_bias=jnp.zeros((hidden_size,), image.dtype),
        )
        return State(params, jax.tree.map(jnp.zeros_like, params), marginals)

    def step(key: Array, state: State, batch: Batch, hparams: HParams) -> tuple[State, Info]:
        params = state.params
        v, key = visible_of(key, batch)
        gradient, logits = contrastive_divergence(key, params, v, gibbs_steps)
        rate, keep, decay = (
            jnp.asarray(hparams[name], v.dtype)
            for name in ("learning_rate", "momentum", "weight_decay")
        )
        gradient = gradient._replace(weights=gradient.weights - decay * params.weights)
        velocity = jax.tree.map(lambda u, g: keep * u + rate * g, state.velocity, gradient)
        info = {
            "loss": jnp.mean(losses.bernoulli_nll(logits, v)),
            "update_norm": jnp.sqrt(sum(jnp.vdot(u, u) for u in velocity)),
        }
        params = jax.tree.map(jnp.add, params, velocity)
        return State(params, velocity, state.marginals), info

    def evaluate(key: Array, state: State, batch: Batch, hparams: HParams) -> Mapping[str, Array]:
        params = state.params
        v, key = visible_of(key, batch)
        hidden = jax.nn.sigmoid(hidden_logits(params, v))
        reconstruction = losses.bernoulli_nll(visible_logits(params, hidden), v)
        unit = jax.random.randint(key, v.shape[:1], 0, v.shape[1])
        own = jnp.take_along_axis(v, unit[:, None], axis=1)
        conditional = bernoulli.log_prob(own, conditional_logits(params, v, unit)[:, None])
        return {
            "loss": reconstruction,
            "reconstruction": reconstruction,
            "free_energy": free_energy(params, v),
            "pseudo_log_likelihood": v.shape[1] * conditional,
        }

    def encode(state: State, batch: Batch, hparams: HParams) -> Array:
        image = batch["image"]
        return jax.nn.sigmoid(hidden_logits(state.params, image.reshape(image.shape[0], -1)))

    def decode(state: State, latent: Array, hparams: HParams) -> Array:
        probabilities = jax.nn.sigmoid(visible_logits(state.params, latent))
        return probabilities.reshape(latent.shape[0], *state.marginals.shape)

    def reconstruct(state: State, batch: Batch, hparams: HParams) -> Array:
        return decode(state, encode(state, batch, hparams), hparams)

    def sample(key: Array, state: State, count: int, hparams: HParams) -> Array:
        rates = jnp.broadcast_to(state.marginals.reshape(1, -1), (count, state.marginals.size))
        start_key, chain_key = jax.random.split(key)
        start = jax.random.bernoulli(start_key, rates).astype(rates.dtype)
        return decode(state, gibbs(chain_key, state.params, start, sample_steps)[1], hparams)

    return Method(
        hparams={
            "learning_rate": learning_rate,
            "momentum": momentum,
            "weight_decay": weight_decay,
        },
        init=init,
        step=step,
        evaluate=evaluate,
        views=Views(encode=encode, decode=decode, reconstruct=reconstruct, sample=sample),
    )
