"""Deep belief networks: a restricted Boltzmann machine on top of directed sigmoid layers.

p(x_0, ..., x_L) = p_rbm(x_(L-1), x_L) prod_(l < L - 1) p(x_l | x_(l+1));
q(x_(l+1) | x_l) goes up. All units are zeros and ones.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import nets
from ae_jax.core import Array
from ae_jax.methods.boltzmann.energy import class_logits, free_energy
from ae_jax.methods.boltzmann.noise import uniforms
from ae_jax.methods.boltzmann.sampling import Clamp, gibbs
from ae_jax.methods.boltzmann.units import RBMParams, Units
from ae_jax.probability import bernoulli


class DBNParams(NamedTuple):
    """Parameters of L layers above the data, from the data upwards.

    A directed layer is one of independent Bernoulli units given those of the layer before it.
    """

    up: tuple[nets.Affine, ...]  #: L - 1 layers of q
    down: tuple[nets.Affine, ...]  #: L - 1 layers of p
    top: RBMParams


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
        return total - free_energy(params.top, v, units)
    blank = jnp.concatenate([v, jnp.zeros((v.shape[0], classes), v.dtype)], axis=1)
    of_class = class_logits(params.top, blank, classes, units)
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
        clamp = Clamp(values, jnp.arange(size) >= size - classes)
    x = gibbs(chain_key, params.top, start, steps, units, clamp)[0]
    mean = x
    for own, layer in zip(jax.random.split(key, len(params.down)), params.down[::-1], strict=True):
        logits = logits_of(layer, x[:, : layer.kernel.shape[0]])
        mean, x = jax.nn.sigmoid(logits), bernoulli.sample(own, logits)
    return mean
