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


def data():
    sequence = jax.random.normal(jax.random.key(1), (BATCH, STEPS, FEATURES), float)
    return sequence, jnp.array([5, 1, 3], jnp.int32)


def random_like(tree, seed=7):
    """Parameters of which none is 0, so that each is seen to matter."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    drawn = [
        0.5 * jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def encoder_and_parameters(cell, layers=1):
    encoder = recurrent_encoder(LATENT, HIDDEN, cell=cell, layers=layers)
    return encoder, random_like(jax.eval_shape(encoder.init, jax.random.key(0), data()[0]))


def decoder_and_parameters(cell, layers=1, previous=True):
    shape = (STEPS, FEATURES)
    decoder = recurrent_decoder(shape, HIDDEN, cell=cell, layers=layers, previous=previous)
    latent = jax.random.normal(jax.random.key(2), (BATCH, LATENT), float)
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
    latent = jax.jit(encoder.apply)(params, sequence, length)
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
    behind = (jnp.arange(STEPS)[None] >= length[:, None])[..., None]

    @jax.jit
    def latent_and_gradient(sequence):
        def total(params):
            latent = encoder.apply(params, sequence, length)
            return jnp.sum(latent**2), latent

        return jax.grad(total, has_aux=True)(params)

    gradient, latent = latent_and_gradient(sequence)
    for content in (1e3, jnp.nan):
        other = jnp.where(behind, content, sequence)
        chex.assert_trees_all_equal(latent_and_gradient(other), (gradient, latent))


@every_cell
def test_a_sequence_of_one_element_is_that_element_alone(cell):
    encoder, params = encoder_and_parameters(cell)
    sequence, _ = data()
    one = jnp.ones(BATCH, jnp.int32)
    np.testing.assert_allclose(
        encoder.apply(params, sequence, one),
        encoder.apply(params, sequence[:, :1], one),
        rtol=1e-6,
    )


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
    outputs = jax.jit(lambda: decoder.free(params, latent, jnp.tanh))()
    forced = jax.jit(decoder.forced)
    np.testing.assert_allclose(forced(params, latent, jnp.tanh(outputs)), outputs, atol=1e-6)
    assert jnp.abs(forced(params, latent, data()[0]) - outputs).max() > 1e-2


def test_a_decoder_without_the_previous_element_has_one_pass():
    decoder, params, latent = decoder_and_parameters("gru", previous=False)
    assert "input_kernel" not in params["layers"]["layer_0"]
    free = decoder.free(params, latent, jnp.tanh)
    chex.assert_shape(free, (BATCH, STEPS, FEATURES))
    np.testing.assert_array_equal(decoder.forced(params, latent, data()[0]), free)


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
