"""Progressive growing of generative adversarial networks: the game of one stage.

Reference:
  Karras et al. (2018), Progressive Growing of GANs for Improved Quality, Stability, and Variation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import (
    COUNT,
    FRACTION,
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
    Views,
    require,
    traced,
)
from ae_jax.losses import adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.codes import drawn_from
from ae_jax.methods.adversarial.contest import contest, one_logit
from ae_jax.methods.adversarial.gan import Noise
from ae_jax.methods.adversarial.regularisers import Regulariser, drift, gradient_penalty
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import Numbers, require_shape
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.nets import growing
from ae_jax.nets.growing import Call, Growing


def progressive_gan(
    generator: Growing,
    discriminator: Growing,
    latent_size: int,
    *,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] | None = None,
    prior: Noise = jax.random.normal,
    average: bool = False,
    ema_decay: float = 0.999,
    fade: float = 1.0,
    learning_rate: float = 1e-3,
    discriminator_learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the GAN of one stage; a step moves the discriminator, then the generator.

    Where the newest blocks fade in, generated images are (1 - fade) times those of the stage
    before, upsampled, and fade times the new ones. The discriminator mirrors that, and real images
    are blended alike with what is left of them at half their side. `fade` is a number that a
    schedule raises from 0 to 1, such as `training.warmup(steps, "fade")`. Parameters are by
    network, so those of the next stage start from them (`recipes.growing`).

    Args:
      generator: latent [B, Z] -> images.
      discriminator: of such images; fades as the generator does.
      latent_size: Z.
      objective: what each of them lowers; `losses.adversarial.wasserstein()` where None.
      regularisers: of the discriminator; the paper's `gradient_penalty()` and `drift()` where
        None. Where it compares the examples of a batch, slopes are those of the sum of its logits,
        as in the authors' code.
      prior: (key, (B, Z)) -> latents, such as `jax.random.normal`.
      average: whether an exponential moving average of the generator is kept over steps, which
        evaluation and views then use.
      ema_decay: the fraction of it that a step keeps; traced.
      fade: share of the newest blocks; traced, only where they fade.
      learning_rate: the generator's; traced.
      discriminator_learning_rate: traced.
      optimizer: gives the direction for both players; Adam (0, 0.99, 1e-8) where None.
      discriminator_optimizer: for the discriminator alone.

    Returns:
      The method, whose figures are those of `gan`. Its views have the fade that they are given.

    Raises:
      InputError: if there are no latents, or one player fades and the other does not; when traced,
        if images are of another side, or as the networks.

    Reference:
      Karras et al. (2018), sections 2 and 3, appendix A.
    """
    require(COUNT, latent_size=latent_size)
    if generator.fades != discriminator.fades:
        raise InputError("one player fades and the other does not: build both with the same fades")
    fades = generator.fades
    objective = adversarial.wasserstein() if objective is None else objective
    regularisers = (gradient_penalty(), drift()) if regularisers is None else regularisers
    optimizer = optax.scale_by_adam(b1=0.0, b2=0.99) if optimizer is None else optimizer

    def judge(
        key: Array, params: Any, x: Array, share: Any, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        call, moved = _calling(discriminator, key, params, training)
        logits = one_logit(growing.judged(discriminator, call, x, share), len(x))
        return logits, jax.lax.stop_gradient(moved)

    playing = contest(judge, objective, regularisers)
    noise = drawn_from(prior, latent_size)

    def share(hparams: HParams) -> Array | float:
        return hparams["fade"] if fades else 1.0

    def real(batch: Batch, hparams: HParams) -> Array:
        return growing.blended(batch["image"], share(hparams)) if fades else batch["image"]

    def generated(
        key: Array, params: Mapping[str, Any], count: int, hparams: HParams, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        """Images, and what the pass moves."""
        noise_key, pass_key = jax.random.split(key)
        call, moved = _calling(generator, pass_key, params, training)
        return growing.drawn(generator, call, noise(noise_key, count), share(hparams)), moved

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        x, keys = real(batch, hparams), jax.random.split(key)
        fake, _ = generated(keys[0], params, len(x), hparams, training)
        loss, moved = playing.discriminating(
            keys[1], params, x, fake, hparams, training, share(hparams)
        )
        return {"loss": loss}, moved

    def generating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        x, keys = real(batch, hparams), jax.random.split(key)
        fake, moved = generated(keys[0], params, len(x), hparams, training)
        loss = playing.deceiving(keys[1], params, x, fake, hparams, training, share(hparams))
        return {"loss": loss}, moved

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys, x = jax.random.split(key), batch["image"]

        def judging(key: Array, x: Array) -> dict[str, Any]:
            call, params = _initialising(discriminator, key)
            growing.judged(discriminator, call, x, 1.0)
            return params

        call, params = _initialising(generator, keys[0])
        latent = jnp.zeros((x.shape[0], latent_size), x.dtype)
        made = growing.drawn(generator, call, latent, 1.0)
        advice = "resize the data (data.resized), or use as many channels as there are sides"
        require_shape(made, x, advice=advice)
        playing.regulariser.check(Network(judging, None), x)
        return params | judging(keys[1], x)

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        return {
            f"{move.name}_loss": move.terms(k, state.params, batch, hparams, training=False)[0][
                "loss"
            ]
            for move, k in zip(moves, jax.random.split(key), strict=True)
        }

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        def call(name: str, network: Network, x: Array) -> Array:
            return network.apply(state.params[name], x)

        return growing.drawn(generator, call, latent, share(hparams))

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        return decode(state, noise(key, count), hparams)

    moves = (
        Move(
            "discriminator",
            discriminator.names,
            discriminating,
            optimizer if discriminator_optimizer is None else discriminator_optimizer,
            discriminator_learning_rate,
        ),
        Move("generator", generator.names, generating, optimizer, learning_rate),
    )
    own = Numbers(**traced(**({"fade": (fade, FRACTION)} if fades else {})))
    return game(
        init,
        [[move] for move in moves],
        evaluate,
        Views(decode=decode, sample=sample),
        parts=[playing.regulariser, own],
        main="generator",
        average=generator.names if average else (),
        ema_decay=ema_decay,
    )


def _keys(player: Growing, key: Array) -> dict[str, Array]:
    return dict(zip(player.names, jax.random.split(key, len(player.names)), strict=True))


def _calling(
    player: Growing, key: Array, params: Mapping[str, Any], training: bool
) -> tuple[Call, dict[str, Any]]:
    """Calls a player's networks, and keeps what their passes move."""
    keys, moved = _keys(player, key), {}

    def call(name: str, network: Network, x: Array) -> Array:
        output, changes = gradient.forward(network, keys[name], params[name], x, training)
        moved.update({name: changes} if changes else {})
        return output

    return call, moved


def _initialising(player: Growing, key: Array) -> tuple[Call, dict[str, Any]]:
    """Initialises networks as they are called, and keeps their parameters."""
    keys, params = _keys(player, key), {}

    def call(name: str, network: Network, x: Array) -> Array:
        params[name] = network.init(keys[name], x)
        return network.apply(params[name], x)

    return call, params
