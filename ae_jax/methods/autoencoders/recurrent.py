"""Autoencoders of sequences: a recurrent encoder, a vector, a recurrent decoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import Array, Batch, Domain, HParams, InputError, Method
from ae_jax.methods.learners.composing import joined
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.bottlenecks import Bottleneck
from ae_jax.methods.parts.observations import Observation, categorical, squared_error
from ae_jax.nets.recurrent import SequenceDecoder, SequenceEncoder, masked

#: The norm that a gradient is scaled down to, where it is larger.
MOST_GRADIENT = 10.0


def recurrent_autoencoder(
    encoder: SequenceEncoder,
    decoder: SequenceDecoder,
    *,
    tokens: bool = False,
    observation: Observation | None = None,
    teacher_forcing: bool = True,
    bottlenecks: Sequence[Bottleneck] = (),
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the autoencoder of sequences that minimises their reconstruction loss.

    It reads `sequence` [B, T, D], or `tokens` [B, T] as one-hot vectors of D = the decoder's
    outputs per step, and `length` [B] (all T where it is absent): what stands at or after a
    sequence's length counts neither as input nor in the loss. While it trains, the decoder
    is given the previous true element (teacher forcing) or its own previous output (free
    running); the views always run free. The output that is fed back is the observation's
    mean, of tokens the likeliest one.

    Args:
      encoder: from `nets.recurrent_encoder`.
      decoder: from `nets.recurrent_decoder`.
      tokens: whether the data are tokens.
      observation: how outputs are compared with a step's element [D]; the categorical
        likelihood for tokens, else squared error where None.
      teacher_forcing: in training.
      bottlenecks: maps of the latent, in order, each with its own traced numbers.
      learning_rate: traced.
      optimizer: gives the direction; where None, Adam (0.9, 0.999, 1e-8) on gradients scaled
        down to a norm of 10.

    Returns:
      The method. Evaluation, per example, summed over its valid steps, in
      nats for likelihoods: `loss`, teacher-forced where training is, and `reconstruction`, of
      the free-running decoder, the same where training runs free. For tokens also `accuracy`,
      the fraction of valid tokens that the free-running decoder gets right, and `exact`, 1
      where it is all of them.

    Raises:
      InputError: tokens are given another observation, or two parts share a hyperparameter.

    Reference:
      Sutskever, Vinyals and Le (2014), Sequence to Sequence Learning with Neural Networks;
      Srivastava, Mansimov and Salakhutdinov (2015), Unsupervised Learning of Video
      Representations using LSTMs, section 2.1; Williams and Zipser (1989) for teacher forcing.
    """
    if tokens and observation is not None:
        raise InputError("tokens have a categorical likelihood: give no observation")
    observation = observation or (categorical() if tokens else squared_error())
    optimizer = optimizer or optax.chain(
        optax.clip_by_global_norm(MOST_GRADIENT), optax.scale_by_adam()
    )
    steps, features = decoder.shape

    def data(batch: Batch) -> tuple[Array, Array]:
        name = "tokens" if tokens else "sequence"
        if name not in batch:
            raise InputError(f"recurrent_autoencoder needs {name}; the data have {sorted(batch)}")
        x = batch[name]
        if tokens:
            x = jax.nn.one_hot(x, features, dtype=jnp.result_type(float))
        if x.shape[1:] != decoder.shape:
            raise InputError(
                f"sequences are {list(x.shape[1:])} and the decoder's {list(decoder.shape)}: "
                "give recurrent_decoder their shape"
            )
        length = batch.get("length", jnp.full(x.shape[:1], steps, jnp.int32))
        return masked(x, length), length

    def feedback(output: Array) -> Array:
        if tokens:
            return jax.nn.one_hot(jnp.argmax(output, axis=1), features, dtype=output.dtype)
        return observation.mean(output)

    def error(outputs: Array, x: Array, length: Array, hparams: HParams) -> Array:
        flat = observation.loss(outputs.reshape(-1, features), x.reshape(-1, features), hparams)
        return jnp.sum(masked(flat.reshape(-1, steps), length), axis=1)

    def forced(params, latent: Array, x: Array) -> Array:
        return decoder.forced(params["decoder"], latent, x)

    def free(params, latent: Array, x: Array | None = None) -> Array:
        return decoder.free(params["decoder"], latent, feedback)

    trained: Callable = forced if teacher_forcing else free

    def code(latent: Array, hparams: HParams, key: Array | None = None) -> Array:
        """What reaches the decoder; with a key, as in a training step."""
        for i, bottleneck in enumerate(bottlenecks):
            if key is None:
                latent = bottleneck.apply(latent, hparams)
            else:
                latent = bottleneck.train(jax.random.fold_in(key, i), latent, hparams)
        return latent

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key = jax.random.split(key)
        x, length = data(batch)
        params = {"encoder": encoder.init(encoder_key, x)}
        latent = encoder.apply(params["encoder"], x, length)
        return {**params, "decoder": decoder.init(decoder_key, latent)}

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict]:
        x, length = data(batch)
        latent = encoder.apply(params["encoder"], x, length)
        if training:
            latent = code(latent, hparams, key)
            return {"loss": error(trained(params, latent, x), x, length, hparams)}, {}
        latent = code(latent, hparams)
        outputs = free(params, latent)
        reconstruction = error(outputs, x, length, hparams)
        values = {"loss": reconstruction, "reconstruction": reconstruction}
        if teacher_forcing:
            values["loss"] = error(forced(params, latent, x), x, length, hparams)
        if tokens:
            said = jnp.argmax(outputs, axis=-1).astype(batch["tokens"].dtype)
            hits = jnp.sum(masked(said == batch["tokens"], length).astype(x.dtype), axis=1)
            values["accuracy"] = hits / length.astype(x.dtype)
            values["exact"] = (hits == length.astype(x.dtype)).astype(x.dtype)
        return values, {}

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return code(encoder.apply(state.params["encoder"], *data(batch)), hparams)

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return observation.mean(free(state.params, latent))

    ranges = {"tokens": Domain(0, features - 1, whole=True)} if tokens else {}
    return descend(
        Objective(init, terms, **joined(observation, *bottlenecks), ranges=ranges),
        coded(encode, decode),
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
