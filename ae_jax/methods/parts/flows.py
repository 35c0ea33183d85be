"""Invertible maps that are learned, through which posteriors and priors draw."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ae_jax import nets, probability
from ae_jax.core import WHOLE, Array, InputError, Network, require
from ae_jax.probability._examples import widened

#: Log-scales of affine steps stay between plus and minus this, near the identity at 0.
LOG_SCALE_BOUND = 5.0

#: (own, z [B, Z], context [B, C]) -> z' [B, Z] and log |det dz'/dz| [B]
Map = Callable[[Any, Array, Array], tuple[Array, Array]]


class Flow(NamedTuple):
    """An invertible map of latents, for each example its own.

    Latents in half precision become ones in single precision.

    Attributes:
      forward: from what is drawn to what is modelled.
      context: latent_size -> how many numbers of an encoder it is told by, C.
      init: (key, latent_size) -> its own parameters. Raises InputError for a size that cannot be.
      inverse: the inverse map; None where it has no closed form.
    """

    forward: Map
    context: Callable[[int], int]
    init: Callable[[Array, int], Any]
    inverse: Map | None = None
    check: Callable[[int], None] = lambda latent_size: None


def planar(steps: int = 4) -> Flow:
    """Planar steps, whose parameters an encoder gives; see `probability.flows.planar`.

    Args:
      steps: K; static; 0 leave latents as they are. They take K (2 Z + 1) numbers of the encoder.

    Raises:
      InputError: for less than 0 steps.

    Reference:
      Rezende and Mohamed (2015), Variational Inference with Normalizing Flows, equations
      10 to 12.
    """

    def step(z: Array, told: Array) -> tuple[Array, Array]:
        w, u, b = jnp.split(told, [z.shape[1], 2 * z.shape[1]], axis=1)
        # where an encoder says nothing the normal is the diagonal: without one there is no plane
        return probability.flows.planar(z, 1 + w, u, b[:, 0])

    return _told(steps, lambda latent_size: 2 * latent_size + 1, step)


def radial(steps: int = 4) -> Flow:
    """Radial steps, whose parameters an encoder gives; see `probability.flows.radial`.

    Args:
      steps: K; static; 0 leave latents as they are. They take K (Z + 2) numbers of the encoder.

    Raises:
      InputError: for less than 0 steps.

    Reference:
      Rezende and Mohamed (2015), equation 14.
    """

    def step(z: Array, told: Array) -> tuple[Array, Array]:
        return probability.flows.radial(z, told[:, :-2], told[:, -2], told[:, -1])

    return _told(steps, lambda latent_size: latent_size + 2, step)


def inverse_autoregressive(
    steps: int = 2, widths: Sequence[int] = (64,), context: int = 16, activation: str = "relu"
) -> Flow:
    """z'_d = z_d exp(s_d) + m_d, where m and s are of the z before z_d, and of the context.

    Draws are made at once, and their densities with them; the density of another point is found
    one dimension after the other. Steps see the dimensions in turned order. At first it is the
    identity.

    Args:
      steps: K; static; 0 leave latents as they are.
      widths: hidden layers of each step's masked network.
      context: how many numbers of the encoder all steps see.
      activation: of the hidden layers, by name.

    Raises:
      InputError: for an unknown activation or a size that is none.

    Reference:
      Kingma et al. (2016), Improved Variational Inference with Inverse Autoregressive Flow, whose
      scale is a gate.
    """

    def network(latent_size: int) -> Network:
        return nets.masked_mlp(
            latent_size, 2, widths, activation, last_kernel_init=nn.initializers.zeros
        )

    def forward(made: Made, z: Array) -> tuple[Array, Array]:
        shift, log_scale = _affine(made(z))
        return z * jnp.exp(log_scale) + shift, jnp.sum(log_scale, axis=1)

    def inverse(made: Made, z: Array) -> tuple[Array, Array]:
        def found(d: Array, before: Array) -> Array:
            shift, log_scale = _affine(made(before))
            return before.at[:, d].set(((z - shift) * jnp.exp(-log_scale))[:, d])

        before = jax.lax.fori_loop(0, z.shape[1], found, jnp.zeros_like(z))
        return before, -jnp.sum(_affine(made(before))[1], axis=1)

    return _learned(steps, context, network, lambda z: z, forward, inverse)


def masked_autoregressive(
    steps: int = 2, widths: Sequence[int] = (64,), context: int = 0, activation: str = "relu"
) -> Flow:
    """`inverse_autoregressive` the other way round: densities are found at once, and draws slowly.

    Args:
      steps: as there.
      widths: as there.
      context: as there.
      activation: as there.

    Raises:
      InputError: as there.

    Reference:
      Papamakarios, Pavlakou and Murray (2017), Masked Autoregressive Flow for Density Estimation.
    """
    flow = inverse_autoregressive(steps, widths, context, activation)
    return flow._replace(forward=flow.inverse, inverse=flow.forward)


def coupling(
    steps: int = 4, widths: Sequence[int] = (64,), context: int = 0, activation: str = "relu"
) -> Flow:
    """One half of the latents scales and shifts the other one: quick both ways.

    z'_b = z_b exp(s) + m, where m and s are of z_a = z'_a. Steps see the dimensions in turned
    order. At first it is the identity.

    Args:
      steps: K; static; 0 leave latents as they are, 2 or more move all of them.
      widths: hidden layers of each step's network.
      context: how many numbers of an encoder all steps see.
      activation: of the hidden layers, by name.

    Raises:
      InputError: for an unknown activation or a size that is none; in use, for a single latent.

    Reference:
      Dinh, Sohl-Dickstein and Bengio (2017), Density Estimation using Real NVP.
    """

    def network(latent_size: int) -> Network:
        if latent_size < 2:
            raise InputError("coupling moves some latents by the others: use 2 latents or more")
        shape = (latent_size - latent_size // 2, 2)
        return nets.mlp(shape, widths, activation, last_kernel_init=nn.initializers.zeros)

    def known(z: Array) -> Array:
        return z[:, : z.shape[1] // 2]

    def moved(made: Made, z: Array, sign: int) -> tuple[Array, Array]:
        a = known(z)
        b = z[:, a.shape[1] :]
        shift, log_scale = _affine(made(a))
        log_scale = sign * log_scale
        b = b * jnp.exp(log_scale) + shift if sign > 0 else (b - shift) * jnp.exp(log_scale)
        return jnp.concatenate([a, b], axis=1), jnp.sum(log_scale, axis=1)

    forward, inverse = (functools.partial(moved, sign=sign) for sign in (1, -1))
    return _learned(steps, context, network, known, forward, inverse)


#: What a step's network makes of the latents that it sees, beside the context.
Made = Callable[[Array], Array]


def _affine(made: Array) -> tuple[Array, Array]:
    """Shifts and log-scales, of [..., 2]."""
    bounded = LOG_SCALE_BOUND * jnp.tanh(made[..., 1] / LOG_SCALE_BOUND)
    return made[..., 0], bounded


def _told(steps: int, numbers: Callable[[int], int], step: Callable[..., Any]) -> Flow:
    """Steps without parameters of their own: each has its part of the context."""
    require(WHOLE, steps=steps)

    def forward(own: Any, z: Array, context: Array) -> tuple[Array, Array]:
        z, context = widened(z), widened(context)
        parts = context.reshape(len(z), steps, numbers(z.shape[1])).swapaxes(0, 1)
        return _chained(step, z, parts)

    return Flow(forward, lambda latent_size: steps * numbers(latent_size), lambda key, size: {})


def _learned(
    steps: int,
    context: int,
    network: Callable[[int], Network],
    seen: Callable[[Array], Array],
    forward: Callable[[Made, Array], tuple[Array, Array]],
    inverse: Callable[[Made, Array], tuple[Array, Array]],
) -> Flow:
    """Steps of one kind, with parameters of their own, between which the dimensions' order turns.

    Args:
      steps: how many.
      context: how many numbers all of them are told.
      network: latent_size -> a step's, of what it sees and the context.
      seen: [B, Z] -> [B, D], what a step's network sees of latents.
      forward: a step, of what its network makes, and its latents.
      inverse: likewise.
    """
    require(WHOLE, steps=steps, context=context)
    network(2)  # what is wrong about it is said here

    def init(key: Array, latent_size: int) -> Any:
        own = network(latent_size)
        x = jnp.zeros((1, seen(jnp.zeros((1, latent_size))).shape[1] + context))
        return jax.vmap(lambda key: own.init(key, x))(jax.random.split(key, steps))

    def through(step: Any, reverse: bool) -> Map:
        def all_steps(own: Any, z: Array, told: Array) -> tuple[Array, Array]:
            z, told, net = widened(z), widened(told), network(z.shape[1])

            def one(z: Array, params: Any) -> tuple[Array, Array]:
                def made(x: Array) -> Array:
                    return net.apply(params, jnp.concatenate([x, told], axis=1))

                z, log_det = step(made, z[:, ::-1] if reverse else z)
                return z if reverse else z[:, ::-1], log_det

            # an odd number of turns is turned back
            turned = z[:, ::-1] if reverse and steps % 2 else z
            z, log_det = _chained(one, turned, own, reverse)
            return z[:, ::-1] if steps % 2 and not reverse else z, log_det

        return all_steps

    return Flow(
        forward=through(forward, False),
        context=lambda latent_size: context,
        init=init,
        inverse=through(inverse, True),
    )


def _chained(
    step: Callable[[Array, Any], tuple[Array, Array]], z: Array, parts: Any, reverse: bool = False
) -> tuple[Array, Array]:
    """One step after the other, and the sum of their log-determinants."""

    def one(carried: tuple[Array, Array], part: Any) -> tuple[tuple[Array, Array], None]:
        z, log_det = step(carried[0], part)
        return (z, carried[1] + log_det), None

    start = z, jnp.zeros(len(z), z.dtype)
    return jax.lax.scan(one, start, parts, reverse=reverse)[0]
