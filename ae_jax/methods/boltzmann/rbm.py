"""The restricted Boltzmann machine as a learning method."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax import nets
from ae_jax.core import (
    BELOW_ONE,
    BETWEEN,
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    REAL,
    Array,
    Batch,
    HParams,
    Info,
    InputError,
    Method,
    require,
)
from ae_jax.losses.classification import classified
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import Estimator, Hidden, RBMParams, Units, Visible
from ae_jax.methods.boltzmann.centering import Offsets, centered, uncentered
from ae_jax.methods.boltzmann.units import CLASSES, LEAST_VARIANCE
from ae_jax.methods.boltzmann.visible import pixels, visible_units, with_label
from ae_jax.methods.learners.composing import joined, of_classes
from ae_jax.methods.learners.views import coded

#: How much of a running mean each batch replaces.
_SLIDE = 0.01


class RBMState(NamedTuple):
    """What the training of a machine carries from step to step."""

    params: RBMParams
    optimizer: optax.OptState
    estimator: Any  #: chains, which go on where they were
    offsets: Offsets
    #: The first batch's mean image, [...] as one example: shapes what is decoded.
    image: Array


def rbm(
    hidden_size: int,
    *,
    estimator: Estimator | None = None,
    visible: Visible | None = None,
    hidden: Hidden | None = None,
    classes: int = 0,
    centering: bool = True,
    optimizer: optax.GradientTransformation | None = None,
    stochastic_binarization: bool | None = None,
    exact_likelihood: bool = False,
    sample_steps: int = 1000,
    learning_rate: float | None = None,
    momentum: float = 0.5,
    weight_decay: float = 1e-4,
    sparsity_weight: float = 0.0,
    sparsity_target: float = 0.1,
    variance_rate: float = 0.1,
) -> Method:
    """Returns a restricted Boltzmann machine.

    Args:
      hidden_size: H.
      estimator: of the log-likelihood's gradient: `boltzmann.contrastive_divergence()`, that is
        CD-1, by default; `persistent`, `fast_persistent`, `parallel_tempering`, `exact`.
      visible: the kind of visible units, `boltzmann.bernoulli()` by default, or `gaussian`.
      hidden: the kind of hidden units, `boltzmann.bernoulli_hidden()` by default.
      classes: if not 0, a label's softmax group stands beside the Bernoulli pixels: the machine
        learns p(image, label), and classifies.
      centering: climb in the parameters of the centered machine.
      optimizer: of the direction; by default the gradient with momentum, which is then a
        traced hyperparameter.
      stochastic_binarization: draw zeros and ones from the images, which are probabilities, at
        every step and evaluation; by default where visible units are Bernoulli. Without it grey
        levels are taken for states: what the chains draw then varies more than the data, which
        shrinks the weights. False saves the drawing where all pixels are 0 or 1.
      exact_likelihood: evaluate log p(v) too, where a side is small enough.
      sample_steps: the chain's length in the `sample` view, which starts from the pixels'
        marginals and returns means given the last hidden state.
      learning_rate: traced; 0.1 by default, and 0.001 for Gaussian visible units: what the weights
        see is v / sigma^2, and sigma^2 may begin at 0.01.
      momentum: traced; the fraction of the last update that is kept.
      weight_decay: traced; of the weights alone.
      sparsity_weight: traced; pulls hidden units' mean activations to a target.
      sparsity_target: traced; that activation.
      variance_rate: traced; the learning rate of Gaussian units' log-variances over that of the
        other parameters. Only where there are any.

    Returns:
      The method. Evaluation, per example, nats: `loss` = `reconstruction`, minus log p(v | h) at
      the hidden units' means (there is no objective that could be evaluated); `free_energy`;
      for Bernoulli units `pseudo_log_likelihood`, an unbiased estimate of sum_i log p(v_i | v_-i)
      from one unit drawn per example; with classes `error`, 0 or 1, and `class_nll`; with
      exact_likelihood `log_likelihood`. A step reports the batch's `free_energy`, and what its
      estimator does. Where free energies of training and validation images part, the machine
      overfits. With classes it predicts their logits, and generates images of given labels. By
      `nets.intermediate` the view `encode` has the layer `hidden`, s(v) W + c.

    Raises:
      InputError: if hidden_size or sample_steps is below 1, there is one class or more than 65536,
        classes come with other units, or Gaussian units are to be binarized; on the first batch if
        there are no labels for the classes, or too many units for exact_likelihood.

    Reference:
      Hinton (2012), A Practical Guide to Training Restricted Boltzmann Machines; Fischer and
      Igel (2014), Training Restricted Boltzmann Machines: An Introduction.
    """
    require(COUNT, hidden_size=hidden_size, sample_steps=sample_steps)
    if classes and visible is not None:
        raise InputError("classes stand beside Bernoulli pixels: leave out visible")
    estimator = estimator or boltzmann.contrastive_divergence()
    if classes:
        require(CLASSES, classes=classes)
        visible = boltzmann.softmax(classes)
    units = Units(visible or boltzmann.bernoulli(), hidden or boltzmann.bernoulli_hidden())
    pixels_binary = units.visible.enumerable or bool(classes)
    if stochastic_binarization is None:
        stochastic_binarization = pixels_binary
    elif stochastic_binarization and not pixels_binary:
        raise InputError("Gaussian units take images as they are: no stochastic_binarization")
    if learning_rate is None:
        learning_rate = 0.1 if pixels_binary else 0.1 * LEAST_VARIANCE
    binary = units.visible.enumerable and units.hidden.enumerable

    def visible_of(key: Array, batch: Batch) -> tuple[Array, Array]:
        """The visible units, and a key that is still unused."""
        v, key = visible_units(key, batch, stochastic_binarization)
        return with_label(v, batch, classes) if classes else v, key

    def direction_of(hparams: HParams, dtype: jnp.dtype) -> optax.GradientTransformation:
        return optimizer or optax.trace(jnp.asarray(hparams["momentum"], dtype))

    def init(key: Array, batch: Batch, hparams: HParams) -> RBMState:
        weight_key, data_key, chain_key = jax.random.split(key, 3)
        v, _ = visible_of(data_key, batch)
        bias, log_variance = units.visible.fit(v)
        params = RBMParams(
            weights=0.01 * jax.random.normal(weight_key, (v.shape[1], hidden_size), v.dtype),
            visible_bias=bias,
            hidden_bias=jnp.zeros((hidden_size,), v.dtype),
            log_variance=log_variance,
        )
        if exact_likelihood:  # refused now, not when a trained machine is evaluated
            jax.eval_shape(lambda: boltzmann.log_partition_exact(params, units))
        middle = units.hidden.mean(jnp.zeros((hidden_size,), v.dtype))
        return RBMState(
            params,
            direction_of(hparams, v.dtype).init(params),
            estimator.init(chain_key, params, v, units),
            Offsets(jnp.mean(v, axis=0), middle),
            jnp.mean(batch["image"], axis=0),
        )

    def step(key: Array, state: RBMState, batch: Batch, hparams: HParams) -> tuple[RBMState, Info]:
        params = state.params
        v, key = visible_of(key, batch)
        number = {name: jnp.asarray(value, v.dtype) for name, value in hparams.items()}
        gradient, carried, reported = estimator.gradient(
            key, params, v, state.estimator, hparams, units
        )
        logits = boltzmann.hidden_logits(params, v, units)
        means = Offsets(jnp.mean(v, axis=0), jnp.mean(units.hidden.mean(logits), axis=0))
        offsets = jax.tree.map(lambda x, y: (1 - _SLIDE) * x + _SLIDE * y, state.offsets, means)
        # the cross-entropy of the target and the mean activation, by what enters the units
        lack = number["sparsity_weight"] * (number["sparsity_target"] - offsets.hidden)
        sparse = jax.vjp(
            lambda p: boltzmann.hidden_logits(p, means.visible[None, :], units), params
        )
        decay = number["weight_decay"] * params.weights
        gradient = gradient._replace(weights=gradient.weights - decay)
        gradient = jax.tree.map(jnp.add, gradient, *sparse[1](lack[None, :]))
        own = params
        if centering:
            own = centered(params, offsets, units)
            (gradient,) = jax.vjp(lambda own: uncentered(own, offsets, units), own)[1](gradient)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes counts with floats
            direction, moved = direction_of(hparams, v.dtype).update(gradient, state.optimizer, own)
        update = jax.tree.map(lambda d: number["learning_rate"] * d, direction)
        if update.log_variance is not None:
            slow = number["variance_rate"] * update.log_variance
            update = update._replace(log_variance=slow)
        info = {
            "free_energy": -jnp.mean(
                units.visible.log_base(params, v) + units.hidden.log_sum(logits)
            ),
            **reported,
            "update_norm": optax.tree.norm(update),
        }
        params = jax.tree.map(jnp.add, own, update)
        if centering:
            params = uncentered(params, offsets, units)
        return RBMState(params, moved, carried, offsets, state.image), info

    def evaluate(
        key: Array, state: RBMState, batch: Batch, hparams: HParams
    ) -> Mapping[str, Array]:
        params = state.params
        v, key = visible_of(key, batch)
        means = units.hidden.mean(boltzmann.hidden_logits(params, v, units))
        field = boltzmann.visible_field(params, means)
        reconstruction = boltzmann.reconstruction_nll(params, v, field, units)
        free = boltzmann.free_energy(params, v, units)
        values = {"loss": reconstruction, "reconstruction": reconstruction, "free_energy": free}
        if binary:
            values["pseudo_log_likelihood"] = boltzmann.pseudo_log_likelihood(key, params, v)
        if exact_likelihood:
            values["log_likelihood"] = -free - boltzmann.log_partition_exact(params, units)
        if classes:
            logits = boltzmann.class_logits(params, v, classes, units)
            values["class_nll"], values["error"] = classified(logits, batch["label"])
        return values

    def predict(state: RBMState, batch: Batch, hparams: HParams) -> Array:
        v = pixels(batch)
        v = jnp.concatenate([v, jnp.zeros((v.shape[0], classes), v.dtype)], axis=1)
        return boltzmann.class_logits(state.params, v, classes, units)

    def encode(state: RBMState, batch: Batch, hparams: HParams) -> Array:
        v = pixels(batch)
        if classes:  # by what the machine makes of the label
            guess = jax.nn.softmax(predict(state, batch, hparams))
            v = jnp.concatenate([v, guess], axis=1)
        logits = boltzmann.hidden_logits(state.params, v, units)
        return units.hidden.mean(nets.named("hidden", logits))

    def decode(state: RBMState, latent: Array, hparams: HParams) -> Array:
        field = boltzmann.visible_field(state.params, latent)
        means = units.visible.mean(state.params, field)[:, : state.image.size]
        return means.reshape(latent.shape[0], *state.image.shape)

    def drawn(
        key: Array, state: RBMState, count: int, steps: int, clamp: boltzmann.Clamp | None = None
    ) -> tuple[Array, Array]:
        """The ends of chains that start from the pixels' marginals."""
        start_key, chain_key = jax.random.split(key)
        means = state.offsets.visible[None, :]
        start = jnp.broadcast_to(means, (count, means.size))
        if state.params.log_variance is None:
            start = jax.random.bernoulli(start_key, start).astype(start.dtype)
        return boltzmann.gibbs(chain_key, state.params, start, steps, units, clamp)

    def sample(key: Array, state: RBMState, count: int, hparams: HParams) -> Array:
        return decode(state, drawn(key, state, count, sample_steps)[1], hparams)

    def generate(key: Array, state: RBMState, batch: Batch, hparams: HParams) -> Array:
        """Images of the batch's labels."""
        count, size = batch["label"].shape[0], state.image.size
        values = with_label(jnp.zeros((count, size), state.image.dtype), batch, classes)
        clamp = boltzmann.Clamp(values, jnp.arange(values.shape[1]) >= size)
        return decode(state, drawn(key, state, count, sample_steps, clamp)[1], hparams)

    def log_likelihood(key: Array, state: RBMState, batch: Batch, hparams: HParams) -> Array:
        """Exactly where a side is small enough, else by AIS, which is too high on average."""
        v, key = visible_of(key, batch)
        free = boltzmann.free_energy(state.params, v, units)
        if boltzmann.enumerable(state.params, units):
            return -free - boltzmann.log_partition_exact(state.params, units)
        base_key, key = jax.random.split(key)
        own = drawn(base_key, state, 100, 100)[0]  # the batch's marginals would tie its examples
        base = boltzmann.base_of(state.params, own, units)
        return -free - boltzmann.log_partition_ais(key, state.params, base, units=units)[0]

    numbers = {
        "learning_rate": (learning_rate, POSITIVE),
        "weight_decay": (weight_decay, NOT_NEGATIVE),
        "sparsity_weight": (sparsity_weight, NOT_NEGATIVE),
        "sparsity_target": (sparsity_target, BETWEEN if units.hidden.enumerable else REAL),
    }
    if optimizer is None:
        numbers["momentum"] = (momentum, BELOW_ONE)
    if not pixels_binary:
        numbers["variance_rate"] = (variance_rate, NOT_NEGATIVE)
    return Method(
        **joined(estimator, **numbers),
        init=init,
        step=step,
        evaluate=evaluate,
        views=coded(
            encode,
            decode,
            predict=predict if classes else None,
            sample=sample,
            generate=generate if classes else None,
            log_likelihood=log_likelihood,
        ),
        ranges=of_classes(classes),
        inference=lambda state: state._replace(
            optimizer=(), estimator=(), offsets=state.offsets._replace(hidden=())
        ),
    )
