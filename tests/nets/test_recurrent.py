import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ae_jax.core import InputError
from ae_jax.nets import recurrent, recurrent_decoder, recurrent_encoder

STEPS, FEATURES, HIDDEN, LATENT, BATCH = 5, 3, 4, 2, 3
every_cell = pytest.mark.parametrize("cell", recurrent.CELLS)


def draw(shape, seed, dtype=None):
    values = np.random.default_rng(seed).standard_normal(shape)
    return values.astype(dtype or jnp.result_type(float))


def data():
    return draw((BATCH, STEPS, FEATURES), 1), np.array([5, 1, 3], np.int32)


def random_like(tree):
    """Parameters of which none is 0, so that each is seen to matter."""
    leaves, structure = jax.tree.flatten(tree)
    drawn = [0.5 * draw(x.shape, seed, x.dtype) for seed, x in enumerate(leaves, 7)]
    return jax.tree.unflatten(structure, drawn)


def encoder_and_parameters(cell, layers=1):
    encoder = recurrent_encoder(LATENT, HIDDEN, cell=cell, layers=layers)
    return encoder, random_like(jax.eval_shape(encoder.init, jax.random.key(0), data()[0]))


def decoder_and_parameters(cell, layers=1, previous=True):
    shape = (STEPS, FEATURES)
    decoder = recurrent_decoder(shape, HIDDEN, cell=cell, layers=layers, previous=previous)
    latent = draw((BATCH, LATENT), 2)
    return decoder, random_like(jax.eval_shape(decoder.init, jax.random.key(0), latent)), latent


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def textbook_step(cell, layer, projected, state):
    """One step of one example, from the equations."""
    u = np.split(np.asarray(layer["recurrent_kernel"]), 4 if cell == "lstm" else 3, axis=1)
    h = state[0]
    if cell == "lstm":
        i, f, g, o = (x + h @ k for x, k in zip(np.split(projected, 4), u, strict=True))
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]
    r, z, n = np.split(projected, 3)
    r, z = sigmoid(r + h @ u[0]), sigmoid(z + h @ u[1])
    n = np.tanh(n + r * (h @ u[2] + np.asarray(layer["extra"]["recurrent_bias"])))
    return [(1 - z) * n + z * h]


def textbook_layers(cell, params, projected, states):
    """One step of all layers, of which the first has its input projected."""
    after = []
    for index, state in enumerate(states):
        layer = params["layers"][f"layer_{index}"]
        if index:
            projected = after[-1][0] @ np.asarray(layer["input_kernel"]) + np.asarray(layer["bias"])
        after.append(textbook_step(cell, layer, projected, state))
    return after


def dense(params, x):
    return x @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


@every_cell
@pytest.mark.parametrize("layers", [1, 2])
def test_encoder_is_the_textbook_recurrence_up_to_the_last_element(cell, layers, x64):
    encoder, params = encoder_and_parameters(cell, layers)
    sequence, length = data()
    latent = np.asarray(jax.jit(encoder.apply)(params, sequence, length))
    first = params["layers"]["layer_0"]
    for row, x, steps in zip(latent, np.asarray(sequence), length, strict=True):
        states = [[np.zeros(HIDDEN)] * (2 if cell == "lstm" else 1)] * layers
        for element in x[:steps]:
            projected = element @ np.asarray(first["input_kernel"]) + np.asarray(first["bias"])
            states = textbook_layers(cell, params, projected, states)
        np.testing.assert_allclose(row, dense(params["latent"], states[-1][0]), atol=1e-10)


@every_cell
@pytest.mark.parametrize("free", [False, True])
def test_decoder_is_the_textbook_recurrence_from_the_latent(cell, free, x64):
    layers = 2
    decoder, params, latent = decoder_and_parameters(cell, layers)
    sequence, _ = data()
    if free:
        outputs = jax.jit(lambda p, z: decoder.free(p, z, jnp.sin))(params, latent)
    else:
        outputs = jax.jit(decoder.forced)(params, latent, sequence)
    outputs = np.asarray(outputs)
    first, count = params["layers"]["layer_0"], 2 if cell == "lstm" else 1
    for b in range(BATCH):
        z = np.asarray(latent[b])
        parts = np.split(np.tanh(dense(params["state"], z)), layers * count)
        states = [parts[i * count : (i + 1) * count] for i in range(layers)]
        element = np.zeros(FEATURES)
        for t in range(STEPS):
            projected = element @ np.asarray(first["input_kernel"]) + np.asarray(first["bias"])
            projected = projected + z @ np.asarray(params["latent"])
            states = textbook_layers(cell, params, projected, states)
            output = dense(params["output"], states[-1][0])
            np.testing.assert_allclose(outputs[b, t], output, atol=1e-10)
            element = np.sin(output) if free else np.asarray(sequence[b, t])


@every_cell
def test_what_stands_behind_the_end_changes_nothing(cell):
    encoder, params = encoder_and_parameters(cell, layers=2)
    sequence, length = data()
    behind = (np.arange(STEPS) >= length[:, None])[..., None]

    @jax.jit
    def latent_and_gradient(sequence):
        def total(params):
            latent = encoder.apply(params, sequence, length)
            return jnp.sum(latent**2), latent

        return jax.grad(total, has_aux=True)(params)

    gradient, latent = latent_and_gradient(sequence)
    for content in (1e3, np.nan):
        other = np.where(behind, content, sequence).astype(sequence.dtype)
        chex.assert_trees_all_equal(latent_and_gradient(other), (gradient, latent))


@every_cell
def test_reversed_it_reads_from_the_last_element_to_the_first(cell):
    encoder, params = encoder_and_parameters(cell)
    backwards = recurrent_encoder(LATENT, HIDDEN, cell=cell, reverse=True)
    sequence, length = data()
    turned = sequence.copy()
    for row, steps in zip(turned, length, strict=True):
        row[:steps] = row[:steps][::-1]
    expected = jax.jit(encoder.apply)(params, turned, length)
    found = jax.jit(backwards.apply)(params, sequence, length)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.abs(found - encoder.apply(params, sequence, length)).max() > 1e-3


def test_defaults_are_one_lstm_layer_of_128_units():
    x, latent = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((2, 5, 3), (2, 4)))
    for network, argument in ((recurrent_encoder(4), x), (recurrent_decoder((5, 3)), latent)):
        layers = jax.eval_shape(network.init, jax.random.key(0), argument)["layers"]
        assert {name: layer["bias"].shape for name, layer in layers.items()} == {
            "layer_0": (4 * 128,)
        }


@every_cell
def test_a_sequence_of_one_element_is_that_element_alone(cell):
    encoder, params = encoder_and_parameters(cell)
    sequence, _ = data()
    apply, one = jax.jit(encoder.apply), np.ones(BATCH, np.int32)
    alone = apply(params, sequence[:, :1], one)
    np.testing.assert_allclose(apply(params, sequence, one), alone, rtol=1e-6)


@every_cell
def test_the_gradient_is_that_of_finite_differences(cell, x64):
    encoder, params = encoder_and_parameters(cell)
    sequence, length = data()
    check_grads(
        jax.jit(lambda params, x: encoder.apply(params, x, length)), (params, sequence),
        order=1, modes=["rev"], atol=1e-7, rtol=1e-7,
    )  # fmt: skip


@every_cell
def test_free_running_is_teacher_forcing_with_its_own_outputs(cell):
    decoder, params, latent = decoder_and_parameters(cell, layers=2)
    outputs = np.asarray(jax.jit(lambda p, z: decoder.free(p, z, jnp.tanh))(params, latent))
    forced = jax.jit(decoder.forced)
    np.testing.assert_allclose(forced(params, latent, np.tanh(outputs)), outputs, atol=1e-6)
    assert np.abs(np.asarray(forced(params, latent, data()[0])) - outputs).max() > 1e-2


def test_a_decoder_without_the_previous_element_has_one_pass():
    decoder, params, latent = decoder_and_parameters("gru", previous=False)
    assert "input_kernel" not in params["layers"]["layer_0"]
    free = jax.jit(lambda p, z: decoder.free(p, z, jnp.tanh))(params, latent)
    chex.assert_shape(free, (BATCH, STEPS, FEATURES))
    forced = jax.jit(decoder.forced)(params, latent, data()[0])
    np.testing.assert_array_equal(forced, free)


def test_it_begins_with_forget_gates_open():
    encoder = recurrent_encoder(LATENT, HIDDEN)
    layer = jax.jit(encoder.init)(jax.random.key(0), data()[0])["layers"]["layer_0"]
    np.testing.assert_array_equal(layer["bias"], np.repeat([0, 1, 0, 0], HIDDEN))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: recurrent_encoder(2, 3, cell="rnn"), "unknown cell 'rnn'; choose from lstm, gru"),
        (lambda: recurrent_encoder(0, 3), "must be positive"),
        (lambda: recurrent_encoder(2, 3, layers=0), "must be positive"),
        (lambda: recurrent_decoder((0, 3), 3), "must be positive"),
    ],
)
def test_refuses(build, message):
    with pytest.raises(InputError, match=message):
        build()
