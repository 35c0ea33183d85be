"""Positions and momenta that move by a density's slope: leapfrog steps, and their tempering."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ae_jax.core import WHOLE, Array, require


def leapfrog(
    slope: Callable[[Array], Array],
    position: Array,
    momentum: Array,
    step_size: Array | float,
    tempering: Array,
) -> tuple[Array, Array]:
    """Moves positions and momenta by leapfrog steps, after each of which the momenta are scaled.

    Of H = -log p(z) + rho.rho / 2. Steps keep volumes, so log |det d(z', rho')/d(z, rho)| is that
    of the scaling alone, Z sum_k log tempering_k. With tempering 1 the way back is the same one,
    from -rho'.

    Args:
      slope: z [B, Z] -> the slope of each example's log p(z), [B, Z].
      position: z, [B, Z].
      momentum: rho, [B, Z].
      step_size: a number, or one of each dimension, [1, Z].
      tempering: [K], of each step; what no step makes of them is themselves.

    Returns:
      z' and rho', [B, Z].

    Reference:
      Caterini, Doucet and Sejdinovic (2018), Hamiltonian Variational Auto-Encoder, section 3;
      Neal (2011), MCMC using Hamiltonian dynamics, section 2.3.
    """

    def step(carried: tuple[Array, Array, Array], scale: Array):
        z, rho, pushed = carried
        half = rho + 0.5 * step_size * pushed
        z = z + step_size * half
        pushed = slope(z)
        return (z, scale * (half + 0.5 * step_size * pushed), pushed), None

    start = position, momentum, slope(position)
    return jax.lax.scan(step, start, tempering)[0][:2]


def quadratic_tempering(inverse_temperature: Array | float, steps: int) -> Array:
    """What K steps scale momenta by, so that an inverse temperature beta_0 rises to 1.

    sqrt(beta_{k-1} / beta_k), of which 1 / sqrt(beta_k) = 1 + (1 / sqrt(beta_0) - 1) (1 - (k/K)^2).
    Their product is sqrt(beta_0).

    Args:
      inverse_temperature: beta_0, above 0; 1 scales nothing.
      steps: K; static.

    Returns:
      [K].

    Raises:
      InputError: for less than 0 steps.

    Reference:
      Caterini, Doucet and Sejdinovic (2018), section 3, fixed tempering.
    """
    require(WHOLE, steps=steps)
    hotter = 1 / jnp.sqrt(jnp.asarray(inverse_temperature, jnp.result_type(float))) - 1
    passed = jnp.linspace(0, 1, steps + 1) ** 2
    temperature = 1 + hotter * (1 - passed)
    return temperature[1:] / temperature[:-1]
