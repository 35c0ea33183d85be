"""The deep belief network as a learning method."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import nets
from ae_jax.core import (
    COUNT,
    POSITIVE,
    Array,
    Batch,
    Domain,
    HParams,
    Info,
    InputError,
    Method,
    require,
    traced,
)
from ae_jax.losses.classification import classified
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import RBMParams, Units, estimators
from ae_jax.methods.boltzmann.belief import DBNParams, bound, draw, logits_of
from ae_jax.methods.boltzmann.units import CLASSES
from ae_jax.methods.boltzmann.visible import pixels, visible_units, with_label
from ae_jax.methods.learners.composing import of_classes, started
from ae_jax.methods.learners.views import coded
from ae_jax.probability import bernoulli


class DBNState(NamedTuple):
    """What training carries from step to step."""

    params: DBNParams
    image: Array  #: the first batch's mean image, [...]: shapes what is decoded
    chains: Any = ()  #: persistent ones of the top machine, [N, units]


def deep_belief_network(
    widths: Sequence[int],
    *,
    classes: int = 0,
    gibbs_steps: int = 5,
    chains: int = 0,
    sample_steps: int = 1000,
    learning_rate: float = 0.01,
) -> Method:
    """Returns a deep belief network, trained as a whole by the up-down algorithm.

    Args:
      widths: units of the layers above the data, upwards; at least two.
      classes: if not 0, a label's softmax group stands beside the last but one layer.
      gibbs_steps: of the top machine between the pass up and the pass down.
      chains: so many of the top machine go on from step to step; 0 for those of the reference,
        which start at each batch.
      sample_steps: of the top machine in the `sample` view.
      learning_rate: traced; of all parameters.

    Returns:
      The method. Its `init` takes the parts of a `belief.DBNParams` to start from, from
      `belief.params_of`, by
      the name `params`; without them they are random, and then up-down learns little. Likewise
      `chains` [chains, units], which otherwise start at independent units. Images are binarized
      stochastically. Evaluation, per example, nats: `loss` = `reconstruction`, the cross-entropy
      of means that went up and down (there is no objective that could be evaluated);
      `unnormalised_nll`, minus the lower bound on log p(image) but for log Z of the
      top machine; with classes `error` and `class_nll`. With classes it predicts their logits,
      and generates images of given labels.

    Raises:
      InputError: if there are fewer than two layers, one has no unit, a chain has no step, or there
        is one class or more than 65536; on the first batch if there are no labels for the classes.

    Reference:
      Hinton, Osindero and Teh (2006), A Fast Learning Algorithm for Deep Belief Nets.
    """
    if len(widths) < 2:
        raise InputError(f"widths is {list(widths)}: use at least two layers")
    for width in widths:
        require(COUNT, widths=width)
    require(Domain(0, whole=True), chains=chains)
    require(COUNT, gibbs_steps=gibbs_steps, sample_steps=sample_steps)
    if classes:
        require(CLASSES, classes=classes)
    visible = boltzmann.softmax(classes) if classes else boltzmann.bernoulli()
    units = Units(visible, boltzmann.bernoulli_hidden())

    def rise(params: DBNParams, v: Array) -> Array:
        """Means going up, to the last layer but one."""
        for place, layer in enumerate(params.up):
            v = jax.nn.sigmoid(nets.named(f"hidden_{place}", logits_of(layer, v)))
        return v

    def fall(params: DBNParams, x: Array) -> Array:
        """Means going down; of the data, their log-odds."""
        for layer in params.down[:0:-1]:
            x = jax.nn.sigmoid(logits_of(layer, x))
        return logits_of(params.down[0], x)

    def init(
        key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any] | None = None
    ) -> DBNState:
        v = pixels(batch)
        chain_key, top_key, *keys = jax.random.split(key, len(widths) + 1)
        up, down, below = [], [], v.shape[1]
        for own, width in zip(keys, widths[:-1], strict=True):
            kernel = 0.01 * jax.random.normal(own, (below, width), v.dtype)
            up.append(nets.Affine(kernel, jnp.zeros(width, v.dtype)))
            down.append(nets.Affine(kernel.T, jnp.zeros(below, v.dtype)))
            below = width
        down[0] = down[0]._replace(bias=boltzmann.bernoulli().fit(v)[0])
        weights = 0.01 * jax.random.normal(top_key, (below + classes, widths[-1]), v.dtype)
        bias = jnp.zeros(below + classes, v.dtype)
        top = RBMParams(weights, bias, jnp.zeros(widths[-1], v.dtype))
        fresh: dict[str, Any] = {"params": DBNParams(tuple(up), tuple(down), top)}
        if chains:
            fresh["chains"] = estimators.start(chain_key, top, v, units, chains)
        return DBNState(image=jnp.mean(batch["image"], axis=0), **started(fresh, start))

    def step(key: Array, state: DBNState, batch: Batch, hparams: HParams) -> tuple[DBNState, Info]:
        params = state.params
        data_key, up_key, chain_key, contrast_key, down_key = jax.random.split(key, 5)
        awake = [visible_units(data_key, batch, True)[0]]
        for own, layer in zip(jax.random.split(up_key, len(params.up)), params.up, strict=True):
            awake.append(bernoulli.sample(own, logits_of(layer, awake[-1])))
        seen = with_label(awake[-1], batch, classes) if classes else awake[-1]
        begin = state.chains if chains else seen
        dreamt = boltzmann.gibbs(chain_key, params.top, begin, gibbs_steps, units)[0]
        asleep = [dreamt[:, : awake[-1].shape[1]]]
        for own, layer in zip(
            jax.random.split(down_key, len(params.down)), params.down[::-1], strict=True
        ):
            asleep.append(bernoulli.sample(own, logits_of(layer, asleep[-1])))
        asleep = asleep[::-1]

        def log_probs(layers: tuple[tuple[nets.Affine, ...], tuple[nets.Affine, ...]]) -> Array:
            """Of what the other pass drew: p of the one going up, q of the one going down."""
            up, down = layers
            total = jnp.zeros((), awake[0].dtype)
            for i in range(len(up)):
                p = bernoulli.log_prob(awake[i], logits_of(down[i], awake[i + 1]))
                q = bernoulli.log_prob(asleep[i + 1], logits_of(up[i], asleep[i]))
                total = total + jnp.mean(p) + jnp.mean(q)
            return total

        value, (up, down) = jax.value_and_grad(log_probs)((params.up, params.down))
        top = boltzmann.contrast(contrast_key, params.top, seen, dreamt, units)
        gradient = DBNParams(up, down, top)
        rate = jnp.asarray(hparams["learning_rate"], awake[0].dtype)
        moved = jax.tree.map(lambda p, g: p + rate * g, params, gradient)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradient)))
        info = {"wake_sleep": value, "update_norm": rate * norm}
        return state._replace(params=moved, chains=dreamt if chains else ()), info

    def evaluate(
        key: Array, state: DBNState, batch: Batch, hparams: HParams
    ) -> Mapping[str, Array]:
        params = state.params
        v, key = visible_units(key, batch, True)
        found = -bound(key, params, v, units, classes)
        x = rise(params, v)
        error = -bernoulli.log_prob(v, fall(params, x))
        values = {"loss": error, "reconstruction": error, "unnormalised_nll": found}
        if classes:
            logits = boltzmann.class_logits(
                params.top, with_label(x, batch, classes), classes, units
            )
            values["class_nll"], values["error"] = classified(logits, batch["label"])
        return values

    def encode(state: DBNState, batch: Batch, hparams: HParams) -> Array:
        return rise(state.params, pixels(batch))

    def decode(state: DBNState, latent: Array, hparams: HParams) -> Array:
        mean = jax.nn.sigmoid(fall(state.params, latent))
        return mean.reshape(latent.shape[0], *state.image.shape)

    def predict(state: DBNState, batch: Batch, hparams: HParams) -> Array:
        x = encode(state, batch, hparams)
        v = jnp.concatenate([x, jnp.zeros((x.shape[0], classes), x.dtype)], axis=1)
        return boltzmann.class_logits(state.params.top, v, classes, units)

    def sample(key: Array, state: DBNState, count: int, hparams: HParams) -> Array:
        found = draw(key, state.params, count, sample_steps, units)
        return found.reshape(count, *state.image.shape)

    def generate(key: Array, state: DBNState, batch: Batch, hparams: HParams) -> Array:
        """Images of the batch's labels."""
        label = jax.nn.one_hot(batch["label"], classes, dtype=state.image.dtype)
        found = draw(key, state.params, len(label), sample_steps, units, label)
        return found.reshape(len(label), *state.image.shape)

    return Method(
        **traced(learning_rate=(learning_rate, POSITIVE)),
        init=init,
        step=step,
        evaluate=evaluate,
        views=coded(
            encode,
            decode,
            predict=predict if classes else None,
            sample=sample,
            generate=generate if classes else None,
        ),
        inference=lambda state: state._replace(chains=()),
        ranges=of_classes(classes),
    )
