"""Generators that match the data's distribution directly, without an adversary.

Reference:
  Li, Swersky and Zemel (2015), Generative Moment Matching Networks; Dziugaite, Roy and
  Ghahramani (2015), Training generative neural networks via maximum mean discrepancy
  optimization.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    HParams,
    Method,
    Network,
    Views,
    require,
    require_networks,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import require_shape
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.matching.blocks import mean_over_blocks
from ae_jax.methods.parts.discrepancies import Discrepancy, mmd


def uniform(key: Array, shape: tuple[int, int]) -> Array:
    """Latents from -1 to 1, as Li, Swersky and Zemel (2015) have them."""
    return jax.random.uniform(key, shape, minval=-1)


def matching_network(
    generator: Network,
    latent_size: int,
    discrepancy: Discrepancy | None = None,
    *,
    prior: Callable[[Array, tuple[int, int]], Array] = uniform,
    output: Callable[[Array], Array] = jax.nn.sigmoid,
    relative: bool = True,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the generator that lowers a discrepancy of what it makes from the data.

    As many examples are made as a batch has: large batches match better. On the latents of an
    autoencoder it is trained by `stage`, whose decoder makes images of what it generates.

    Args:
      generator: latent [B, Z] -> [B, ...], of which `output` makes examples.
      latent_size: Z.
      discrepancy: of `methods.discrepancies`; the root of `mmd` where None.
      prior: (key, (B, Z)) -> latents.
      output: makes examples from what the generator gives, such as pixels in [0, 1] of logits.
      relative: whether lengths are in units of the data's: the root of the mean squared distance
        of two examples in the first batch. Widths of kernels then fit, whatever the data are;
        otherwise they are in units of the data.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, `generator`. Of
      a whole data set evaluation gives `loss`, the discrepancy from as many examples as there
      are; of more than 1000 the mean over blocks of 1000, in which nothing but the last is
      smaller, by their numbers of examples. Samples of one distribution differ the more the fewer
      they are: of a small batch the loss is larger.

    Raises:
      InputError: if there are no latents; when traced, if the generator does not make examples of
        the data's shape.
    """
    require_networks(generator=generator)
    require(COUNT, latent_size=latent_size)
    discrepancy = mmd() if discrepancy is None else discrepancy

    def noise(key: Array, count: int) -> Array:
        return prior(key, (count, latent_size)).astype(jnp.result_type(float))

    def compared(
        key: Array, params: Mapping[str, Any], x: Array, training: bool
    ) -> tuple[Array, Array, Mapping[str, Any]]:
        """Generated and real examples [B, D], and what the pass moves."""
        noise_key, pass_key = jax.random.split(key)
        made, moved = gradient.forward(
            generator, pass_key, params["generator"], noise(noise_key, len(x)), training
        )
        made = output(made)
        require_shape(made, x)
        length = params["length"] if relative else 1
        return *(sample.reshape(len(x), -1) / length for sample in (made, x)), moved

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        sample_key, own_key = jax.random.split(key)
        made, real, moved = compared(sample_key, params, batch["image"], training)
        if not training:
            return {"generated": made, "real": real}, {}
        loss = discrepancy.between(own_key, made, real, hparams)
        return {"loss": jnp.broadcast_to(loss, len(real))}, {"generator": moved}

    def conclude(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
        def compare(made: Array, real: Array, present: Array) -> Array:
            # the same directions, if any are drawn, in every block and at every evaluation
            return discrepancy.between(jax.random.key(0), made, real, hparams, present)

        found = mean_over_blocks(compare, present, values["generated"], values["real"])
        return {"loss": found}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        x = batch["image"]
        return {"generator": generator.init(key, jnp.zeros((len(x), latent_size), x.dtype))}

    def running(params: Mapping[str, Any], batch: Batch, hparams: HParams) -> dict[str, Array]:
        x = batch["image"].reshape(len(batch["image"]), -1)
        # E |x - x'|^2 is twice the sum of variances, here of different examples
        square = 2 * jnp.sum(jnp.var(x, axis=0, ddof=1)) if len(x) > 1 else jnp.zeros((), x.dtype)
        return {"length": jnp.where(square > 0, jnp.sqrt(square), 1)}

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return output(generator.apply(state.params["generator"], latent))

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        return decode(state, noise(key, count), hparams)

    objective = Objective(
        init,
        terms,
        discrepancy.hparams,
        discrepancy.domains,
        running=running if relative else None,
        conclude=conclude,
    )
    return descend(
        objective,
        Views(decode=decode, sample=sample),
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
