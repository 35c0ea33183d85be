"""What an encoder's outputs say about the latents."""

from collections.abc import Callable

import jax.numpy as jnp

from ae_jax.core import Array, InputError


def gaussian_halves(
    latent_size: int, log_var_bound: float | None = None
) -> Callable[[Array], tuple[Array, Array]]:
    """Returns outputs [B, 2 Z] -> means and log-variances of a Gaussian, [B, Z] each.

    Args:
      latent_size: Z.
      log_var_bound: keeps log-variances between plus and minus it, as bound * tanh(output /
        bound); None leaves them alone.

    Raises:
      InputError: when traced, for outputs of another shape.
    """

    def halves(outputs: Array) -> tuple[Array, Array]:
        if outputs.shape[1:] != (2 * latent_size,):
            raise InputError(
                f"the encoder must give the means and log-variances of {latent_size} latents, "
                f"[B, {2 * latent_size}], and gives {list(outputs.shape)}"
            )
        mean, log_var = jnp.split(outputs, [latent_size], axis=1)
        if log_var_bound is not None:
            log_var = log_var_bound * jnp.tanh(log_var / log_var_bound)
        return mean, log_var

    return halves
