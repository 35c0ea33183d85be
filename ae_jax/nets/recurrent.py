"""Recurrent networks: sequence to vector, and vector to sequence, by LSTM or GRU."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.nets.intermediates import named


class SequenceEncoder(NamedTuple):
    """A network from sequences of unequal lengths to vectors, as a pair of pure functions.

    Attributes:
      init: (key, sequence [B, T, D]) -> parameters, a pytree of arrays.
      apply: (parameters, sequence [B, T, D], length int [B], from 0 to T) -> latent [B, Z].
        What stands at or after a sequence's length changes nothing; an empty sequence is read
        as one element of zeros.
    """

    init: Callable[[Array, Array], Any]
    apply: Callable[[Any, Array, Array], Array]


class SequenceDecoder(NamedTuple):
    """A network from vectors to sequences, as pure functions.

    Attributes:
      shape: (T, D), of one sequence.
      init: (key, latent [B, Z]) -> parameters, a pytree of arrays.
      forced: (parameters, latent [B, Z], sequence [B, T, D]) -> outputs [B, T, D]: the input of
        step t is element t - 1 of the given sequence (teacher forcing), zeros at first.
      free: (parameters, latent [B, Z], feedback) -> outputs [B, T, D]: the input of step t is
        feedback(output of step t - 1) [B, D].
    """

    shape: tuple[int, int]
    init: Callable[[Array, Array], Any]
    forced: Callable[[Any, Array, Array], Array]
    free: Callable[[Any, Array, Callable[[Array], Array]], Array]


class Cell(NamedTuple):
    """A recurrent unit: what happens in a step besides the two matrix products.

    Attributes:
      gates: how many values a unit computes from input and state.
      states: how many numbers a unit carries; the first is its output.
      step: (extra, projected [B, gates * H], recurrent [B, gates * H], state) -> state, where
        projected = W x + b, recurrent = U h, and a state is a tuple of [B, H].
      extra: (H) -> initial values of further parameters, by name.
      bias: (H) -> the initial b [gates * H].
    """

    gates: int
    states: int
    step: Callable[[Any, Array, Array, tuple[Array, ...]], tuple[Array, ...]]
    extra: Callable[[int], dict[str, Array]]
    bias: Callable[[int], Array]


def _lstm_step(extra: Any, projected: Array, recurrent: Array, state: tuple[Array, ...]):
    _, memory = state
    i, f, g, o = jnp.split(projected + recurrent, 4, axis=-1)
    # c' = f c + i g; h' = o tanh(c')
    memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(memory), memory


def _gru_step(extra: Any, projected: Array, recurrent: Array, state: tuple[Array, ...]):
    (hidden,) = state
    (r, z, n), (r_h, z_h, n_h) = (jnp.split(x, 3, axis=-1) for x in (projected, recurrent))
    reset, update = jax.nn.sigmoid(r + r_h), jax.nn.sigmoid(z + z_h)
    candidate = jnp.tanh(n + reset * (n_h + extra["recurrent_bias"][None]))
    # h' = (1 - z) n + z h
    return (candidate + update * (hidden - candidate),)


def _zeros(*shape: int) -> Array:
    return jnp.zeros(shape, jnp.result_type(float))


CELLS = {
    # A forget gate that starts open: its bias is 1.
    "lstm": Cell(4, 2, _lstm_step, lambda h: {}, lambda h: _zeros(4 * h).at[h : 2 * h].set(1)),
    "gru": Cell(3, 1, _gru_step, lambda h: {"recurrent_bias": _zeros(h)}, lambda h: _zeros(3 * h)),
}


def cell(name: str) -> Cell:
    """Returns a recurrent unit by its name, `lstm` or `gru`.

    The LSTM has forget gates and no peepholes; gates in the order input, forget, candidate,
    output. The GRU resets the recurrent product, after it is taken; gates in the order reset,
    update, candidate. Both as in cuDNN and PyTorch.

    Raises:
      InputError: an unknown name.

    Reference:
      Hochreiter and Schmidhuber (1997), Long Short-Term Memory; Gers et al. (2000) for the
      forget gate; Cho et al. (2014), Learning Phrase Representations using RNN
      Encoder-Decoder, equations 5 to 8.
    """
    if name not in CELLS:
        raise InputError(f"unknown cell {name!r}; choose from {', '.join(CELLS)}")
    return CELLS[name]


def recurrent_encoder(
    latent_size: int,
    hidden_size: int = 128,
    *,
    cell: str = "lstm",
    layers: int = 1,
    reverse: bool = False,
) -> SequenceEncoder:
    """A recurrent encoder: the last layer's output at the last element read, then dense.

    Its layers are called `layer_0` and so on, [B, T, H], in the order in which elements are read,
    and `latent`, [B, Z], by `intermediates`.

    Kernels are initialised with LeCun normal (variance 1 / fan-in), biases with zeros but for
    the LSTM's forget gates, with ones.

    Args:
      latent_size: Z.
      hidden_size: units per layer.
      cell: `lstm` or `gru`.
      layers: recurrent layers, one on the other's outputs.
      reverse: whether sequences are read from their last element to their first, with which
        a decoder begins.

    Raises:
      InputError: an unknown cell, or a size that is not positive.

    Reference:
      Sutskever, Vinyals and Le (2014), Sequence to Sequence Learning with Neural Networks;
      section 3.3 for reversal.
    """
    unit = _checked(cell, latent_size, hidden_size, layers)

    def init(key: Array, sequence: Array) -> dict[str, Any]:
        stack_key, dense_key = jax.random.split(key)
        return {
            "layers": _init_stack(unit, stack_key, sequence.shape[-1], hidden_size, layers),
            "latent": _init_dense(dense_key, hidden_size, latent_size),
        }

    def apply(params: Any, sequence: Array, length: Array) -> Array:
        def step(states, element):
            projected = _project(params["layers"]["layer_0"], element)
            states = _advance(unit, params["layers"], projected, states)
            return states, tuple(state[0] for state in states)

        if reverse:
            index = length[:, None] - 1 - jnp.arange(sequence.shape[1], dtype=length.dtype)[None]
            # past the first element it reads what is masked below
            sequence = jnp.take_along_axis(sequence, jnp.maximum(index, 0)[..., None], axis=1)
        zeros = jnp.zeros((sequence.shape[0], hidden_size), sequence.dtype)
        states = ((zeros,) * unit.states,) * layers
        _, outputs = jax.lax.scan(step, states, masked(sequence, length).swapaxes(0, 1))
        for place, output in enumerate(outputs):
            named(f"layer_{place}", output.swapaxes(0, 1))
        # Steps after the last element come later: they cannot have touched its output.
        last = jnp.clip(length, 1, sequence.shape[1]) - 1
        read = jnp.take_along_axis(outputs[-1], last[None, :, None], 0)[0]
        return named("latent", _dense(params["latent"], read))

    return SequenceEncoder(init, apply)


def recurrent_decoder(
    shape: tuple[int, int],
    hidden_size: int = 128,
    *,
    cell: str = "lstm",
    layers: int = 1,
    previous: bool = True,
) -> SequenceDecoder:
    """A recurrent decoder: the latent sets the first state and is an input of every step.

    Initialised as `recurrent_encoder`.

    Args:
      shape: (T, D), of one sequence.
      hidden_size: units per layer.
      cell: `lstm` or `gru`.
      layers: recurrent layers, one on the other's outputs.
      previous: whether the previous element is an input too; without, `forced` and `free` are
        one function.

    Raises:
      InputError: an unknown cell, or a size that is not positive.

    Reference:
      Cho et al. (2014), section 2.2, and Srivastava et al. (2015), Unsupervised Learning of
      Video Representations using LSTMs, section 2.2, for decoders with and without the
      previous element.
    """
    steps, features = shape
    unit = _checked(cell, steps, features, hidden_size, layers)
    numbers = layers * unit.states

    def init(key: Array, latent: Array) -> dict[str, Any]:
        state_key, stack_key, latent_key, dense_key = jax.random.split(key, 4)
        size = latent.shape[-1]
        return {
            "state": _init_dense(state_key, size, numbers * hidden_size),
            "latent": _kernel(latent_key, size, unit.gates * hidden_size),
            "layers": _init_stack(
                unit, stack_key, features if previous else None, hidden_size, layers
            ),
            "output": _init_dense(dense_key, hidden_size, features),
        }

    def run(params: Any, latent: Array, elements: Array | None, feedback: Callable) -> Array:
        """Inputs are the elements [T, B, D] or, where they are None, what is fed back."""
        first = params["layers"]["layer_0"]
        constant = latent @ params["latent"] + first["bias"][None]
        parts = jnp.split(jnp.tanh(_dense(params["state"], latent)), numbers, axis=-1)
        states = tuple(tuple(parts[i : i + unit.states]) for i in range(0, numbers, unit.states))

        def step(carry, element):
            states, own = carry
            element = own if elements is None else element
            projected = constant + element @ first["input_kernel"] if previous else constant
            states = _advance(unit, params["layers"], projected, states)
            output = _dense(params["output"], states[-1][0])
            return (states, feedback(output) if elements is None else own), output

        start = (states, jnp.zeros((latent.shape[0], features), latent.dtype))
        return jax.lax.scan(step, start, elements, length=steps)[1].swapaxes(0, 1)

    def forced(params: Any, latent: Array, sequence: Array) -> Array:
        shifted = jnp.pad(sequence[:, :-1], ((0, 0), (1, 0), (0, 0)))
        return run(params, latent, shifted.swapaxes(0, 1), feedback=lambda output: output)

    def free(params: Any, latent: Array, feedback: Callable[[Array], Array]) -> Array:
        return run(params, latent, None, feedback)

    return SequenceDecoder((steps, features), init, forced, free)


def masked(values: Array, length: Array) -> Array:
    """Zeros at and after each length, whatever stood there, be it NaN.

    Args:
      values: [B, T, ...].
      length: int [B].
    """
    valid = jnp.arange(values.shape[1], dtype=length.dtype)[None, :] < length[:, None]
    valid = valid.reshape(*valid.shape, *(1,) * (values.ndim - 2))
    return jnp.where(valid, values, jnp.zeros_like(values))


def _checked(name: str, *sizes: int) -> Cell:
    if min(sizes) < 1:
        raise InputError(f"sizes of a recurrent network must be positive, got {sizes}")
    return cell(name)


def _kernel(key: Array, inputs: int, outputs: int) -> Array:
    dtype = jnp.result_type(float)
    return jax.nn.initializers.lecun_normal()(key, (inputs, outputs), dtype)


def _init_dense(key: Array, inputs: int, outputs: int) -> dict[str, Array]:
    return {"kernel": _kernel(key, inputs, outputs), "bias": _zeros(outputs)}


def _dense(params: Any, x: Array) -> Array:
    y = x @ params["kernel"]
    return y + jnp.expand_dims(params["bias"], tuple(range(y.ndim - 1)))


def _init_stack(unit: Cell, key: Array, inputs: int | None, size: int, layers: int):
    """Parameters of each layer; of the first without an input kernel where inputs is None."""
    stack = {}
    for index, layer_key in enumerate(jax.random.split(key, layers)):
        input_key, recurrent_key = jax.random.split(layer_key)
        layer = {
            "recurrent_kernel": _kernel(recurrent_key, size, unit.gates * size),
            "bias": unit.bias(size),
            "extra": unit.extra(size),
        }
        if index or inputs is not None:
            inputs = size if index else inputs
            layer["input_kernel"] = _kernel(input_key, inputs, unit.gates * size)
        stack[f"layer_{index}"] = layer
    return stack


def _project(layer: Any, x: Array) -> Array:
    return _dense({"kernel": layer["input_kernel"], "bias": layer["bias"]}, x)


def _advance(unit: Cell, layers: Any, projected: Array, states: Any) -> Any:
    """One step of all layers, the first with its input projected [B, gates * H].

    Projecting all inputs at once ahead of the loop, and summing the kernel's gradient after
    it, was no faster on a CPU than this.
    """
    after = []
    for index, state in enumerate(states):
        layer = layers[f"layer_{index}"]
        if index:
            projected = _project(layer, after[-1][0])
        recurrent = state[0] @ layer["recurrent_kernel"]
        after.append(unit.step(layer["extra"], projected, recurrent, state))
    return tuple(after)
