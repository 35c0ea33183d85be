"""Deep belief networks: a restricted Boltzmann machine on top of directed sigmoid layers.

p(x_0, ..., x_L) = p_rbm(x_(L-1), x_L) prod_(l < L - 1) p(x_l | x_(l+1));
q(x_(l+1) | x_l) goes up. All units are zeros and ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import nets
from ae_jax.core import Array, Batch, HParams, Info, InputError, Method, Views
from ae_jax.losses.classification import classified
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import RBMParams, Units, estimators
from ae_jax.methods.boltzmann.binarization import visible_units
from ae_jax.methods.boltzmann.noise import uniforms
from ae_jax.methods.learners.composing import started
from ae_jax.probability import bernoulli


class DBNParams(NamedTuple):
    """Parameters of L layers above the data, from the data upwards.

    A directed layer is one of independent Bernoulli units given those of the layer before it.
    """

    up: tuple[nets.Affine, ...]  #: L - 1 layers of q
    down: tuple[nets.Affine, ...]  #: L - 1 layers of p
    top: RBMParams


class DBNState(NamedTuple):
    """What training carries from step to step."""

    params: DBNParams
    image: Array  #: the first batch's mean image, [...]: shapes what is decoded
    chains: Any = ()  #: persistent ones of the top machine, [N, units]


def logits_of(layer: nets.Affine, x: Array) -> Array:
    """Log-odds of a layer's units: [B, in] -> [B, out]."""
    return x @ layer.kernel + layer.bias[None, :]


def params_of(start: Mapping[str, Any], top: RBMParams | None = None) -> DBNParams:
    """Returns the network that greedily trained machines make.

    Args:
      start: the `encoder` and `decoder` of a `greedy.Stack` of `greedy.rbm_layer`s, whose units
        are all zeros and ones.
      top: the machine above them; by default the stack's last layer is it.
    """
    up, down = nets.layers(start["encoder"]), nets.layers(start["decoder"])[::-1]
    if top is None:
        top = RBMParams(up[-1].kernel, down[-1].bias, up[-1].bias)
        up, down = up[:-1], down[:-1]
    return DBNParams(tuple(up), tuple(down), top)


def bound(key: Array, params: DBNParams, v: Array, units: Units, classes: int = 0) -> Array:
    """A lower bound on log p(v) but for the top machine's log Z, which is to be subtracted.

    E_q[log p(x_0 | x_1) - log q(x_1 | x_0) + ... - F(x_(L-1))], from one draw of q.

    Args:
      key: PRNG key.
      params: of the network.
      v: [B, V], zeros and ones.
      units: of the top machine.
      classes: of the label beside x_(L-1), which is summed out; 0 for none.

    Returns:
      [B], nats.

    Reference:
      Hinton, Osindero and Teh (2006), A Fast Learning Algorithm for Deep Belief Nets;
      Salakhutdinov and Murray (2008), On the Quantitative Analysis of Deep Belief Networks.
    """
    total = jnp.zeros(v.shape[0], v.dtype)
    for up, down in zip(params.up, params.down, strict=True):
        key, own = jax.random.split(key)
        logits = logits_of(up, v)
        above = bernoulli.sample(own, logits)
        total = total + bernoulli.log_prob(v, logits_of(down, above))
        total = total - bernoulli.log_prob(above, logits)
        v = above
    if not classes:
        return total - boltzmann.free_energy(params.top, v, units)
    blank = jnp.concatenate([v, jnp.zeros((v.shape[0], classes), v.dtype)], axis=1)
    of_class = boltzmann.class_logits(params.top, blank, classes, units)
    return total + blank @ params.top.visible_bias + jax.nn.logsumexp(of_class, axis=1)


def draw(
    key: Array,
    params: DBNParams,
    count: int,
    steps: int,
    units: Units,
    label: Array | None = None,
) -> Array:
    """Draws images: Gibbs sampling in the top machine, then one pass down.

    Args:
      key: PRNG key.
      params: of the network.
      count: how many.
      steps: of Gibbs sampling.
      units: of the top machine.
      label: [count, C], one-hot: the class of each image. None for any.

    Returns:
      [count, V], the means of the last layer.
    """
    start_key, chain_key, key = jax.random.split(key, 3)
    size = params.top.visible_bias.size
    nothing = jnp.zeros((count, size), params.top.weights.dtype)
    start = units.visible.draw(
        *uniforms(start_key, nothing.dtype, nothing.shape), params.top, nothing
    )
    clamp = None
    if label is not None:
        classes = label.shape[1]
        values = jnp.concatenate([start[:, :-classes], label], axis=1)
        clamp = boltzmann.Clamp(values, jnp.arange(size) >= size - classes)
    x = boltzmann.gibbs(chain_key, params.top, start, steps, units, clamp)[0]
    mean = x
    for own, layer in zip(jax.random.split(key, len(params.down)), params.down[::-1], strict=True):
        logits = logits_of(layer, x[:, : layer.kernel.shape[0]])
        mean, x = jax.nn.sigmoid(logits), bernoulli.sample(own, logits)
    return mean


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
      The method. Its `init` takes the parts of a `DBNParams` to start from, from `params_of`, by
      the name `params`; without them they are random, and then up-down learns little. Likewise
      `chains` [chains, units], which otherwise start at independent units. Images are binarized
      stochastically. Evaluation, per example, nats: `loss` = `reconstruction`, the cross-entropy
      of means that went up and down (there is no objective that could be evaluated);
      `unnormalised_nll`, minus the lower bound on log p(image) but for log Z of the
      top machine; with classes `error` and `class_nll`.

    Raises:
      InputError: if there are fewer than two layers, one has no unit, or a chain has no step;
        and as `boltzmann.softmax`.

    Reference:
      Hinton, Osindero and Teh (2006), A Fast Learning Algorithm for Deep Belief Nets.
    """
    if len(widths) < 2:
        raise InputError(f"a deep belief network needs at least two layers, got {len(widths)}")
    if min(widths) < 1:
        raise InputError(f"a layer has at least one unit, got widths {list(widths)}")
    if chains < 0:
        raise InputError(f"chains must be at least 0, got {chains}")
    if min(gibbs_steps, sample_steps) < 1:
        raise InputError(f"chains need a step: {gibbs_steps=}, {sample_steps=}")
    visible = boltzmann.softmax(classes) if classes else boltzmann.bernoulli()
    units = Units(visible, boltzmann.bernoulli_hidden())

    def with_label(x: Array, batch: Batch) -> Array:
        if not classes:
            return x
        if "label" not in batch:
            raise InputError("a network with classes needs data with labels")
        return jnp.concatenate([x, jax.nn.one_hot(batch["label"], classes, dtype=x.dtype)], axis=1)

    def rise(params: DBNParams, v: Array) -> Array:
        """Means going up, to the last layer but one."""
        for layer in params.up:
            v = jax.nn.sigmoid(logits_of(layer, v))
        return v

    def fall(params: DBNParams, x: Array) -> Array:
        """Means going down; of the data, their log-odds."""
        for layer in params.down[:0:-1]:
            x = jax.nn.sigmoid(logits_of(layer, x))
        return logits_of(params.down[0], x)

    def init(
        key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any] | None = None
    ) -> DBNState:
        image = batch["image"]
        v = image.reshape(image.shape[0], -1)
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
        return DBNState(image=jnp.mean(image, axis=0), **started(fresh, start))

    def step(key: Array, state: DBNState, batch: Batch, hparams: HParams) -> tuple[DBNState, Info]:
        params = state.params
        data_key, up_key, chain_key, contrast_key, down_key = jax.random.split(key, 5)
        awake = [visible_units(data_key, batch, True)[0]]
        for own, layer in zip(jax.random.split(up_key, len(params.up)), params.up, strict=True):
            awake.append(bernoulli.sample(own, logits_of(layer, awake[-1])))
        seen = with_label(awake[-1], batch)
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
            logits = boltzmann.class_logits(params.top, with_label(x, batch), classes, units)
            values["class_nll"], values["error"] = classified(logits, batch["label"])
        return values

    def encode(state: DBNState, batch: Batch, hparams: HParams) -> Array:
        image = batch["image"]
        return rise(state.params, image.reshape(image.shape[0], -1))

    def decode(state: DBNState, latent: Array, hparams: HParams) -> Array:
        mean = jax.nn.sigmoid(fall(state.params, latent))
        return mean.reshape(latent.shape[0], *state.image.shape)

    def reconstruct(state: DBNState, batch: Batch, hparams: HParams) -> Array:
        return decode(state, encode(state, batch, hparams), hparams)

    def sample(key: Array, state: DBNState, count: int, hparams: HParams) -> Array:
        found = draw(key, state.params, count, sample_steps, units)
        return found.reshape(count, *state.image.shape)

    return Method(
        hparams={"learning_rate": learning_rate},
        init=init,
        step=step,
        evaluate=evaluate,
        views=Views(encode=encode, decode=decode, reconstruct=reconstruct, sample=sample),
        inference=lambda state: state._replace(chains=()),
    )
