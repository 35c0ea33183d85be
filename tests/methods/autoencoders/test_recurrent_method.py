import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import bottlenecks, recurrent_autoencoder
from ae_jax.nets.recurrent import SequenceDecoder, SequenceEncoder
from tests.methods.drawn import drawn, drawn_like

STEPS, VOCABULARY = 4, 5
KEY = jax.random.key(0)


def build(tokens=True, cell="lstm", hidden=6, features=VOCABULARY, **options):
    return recurrent_autoencoder(
        nets.recurrent_encoder(3, hidden, cell=cell),
        nets.recurrent_decoder((STEPS, features), hidden, cell=cell),
        tokens=tokens,
        **options,
    )


def token_batch():
    tokens = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [2, 2, 0, 0]], np.int32)
    return {"tokens": tokens, "length": np.array([4, 1, 3], np.int32)}


def sequence_batch(length=True):
    sequence = np.random.default_rng(3).standard_normal((3, STEPS, 2))
    batch = {"sequence": sequence.astype(jnp.result_type(float))}
    return batch | ({"length": np.array([4, 1, 3], np.int32)} if length else {})


def evaluate(method, state, batch):
    return jax.device_get(jax.jit(method.evaluate)(KEY, state, batch, dict(method.hparams)))


def fixed_outputs(outputs):
    """An encoder that gives zeros, and a decoder that gives `outputs` whatever it is given."""
    return (
        SequenceEncoder(lambda key, x: {}, lambda params, x, length: jnp.zeros((x.shape[0], 1))),
        SequenceDecoder(
            outputs.shape[1:],
            lambda key, latent: {},
            lambda params, latent, sequence: outputs,
            lambda params, latent, feedback: outputs,
        ),
    )


def test_losses_accuracy_and_exactness_by_hand():
    # logits log 3 for one token and 0 for four: probabilities 3/7 and 1/7
    said = np.array([[1, 2, 3, 0], [4, 4, 4, 4], [2, 1, 0, 3]])
    outputs = np.float32(np.log(3)) * np.eye(VOCABULARY, dtype=np.float32)[said]
    method = recurrent_autoencoder(*fixed_outputs(outputs), tokens=True)
    values = evaluate(method, drawn(method, token_batch()), token_batch())
    right, wrong = np.log(7 / 3), np.log(7)
    expected = [4 * right, right, 2 * right + wrong]  # the third's last 0 is right
    for name in ("loss", "reconstruction"):
        np.testing.assert_allclose(values[name], expected, rtol=1e-6)
    np.testing.assert_allclose(values["accuracy"], [1, 1, 2 / 3], rtol=1e-6)
    np.testing.assert_array_equal(values["exact"], [1, 1, 0])


@pytest.mark.parametrize(
    "observation", [None, methods.observations.gaussian(0.5), methods.observations.bernoulli()]
)
def test_losses_of_real_sequences_by_hand(observation):
    batch, outputs = sequence_batch(), np.full((3, STEPS, 2), 0.25, np.float32)
    if observation is not None and "variance" not in observation.hparams:
        batch["sequence"] = scipy.special.expit(batch["sequence"])
    method = recurrent_autoencoder(*fixed_outputs(outputs), observation=observation)
    values = evaluate(method, drawn(method, batch), batch)
    x = np.asarray(batch["sequence"], np.float64)
    if observation is None:
        steps = (x - 0.25) ** 2
    elif "variance" in observation.hparams:
        steps = (x - 0.25) ** 2 + np.log(2 * np.pi * 0.5) / 2  # (x - m)^2 / (2 v), v = 1/2
    else:
        steps = np.log1p(np.exp(0.25)) - 0.25 * x
    valid = np.arange(STEPS)[None] < np.asarray(batch["length"])[:, None]
    np.testing.assert_allclose(values["loss"], (steps.sum(-1) * valid).sum(1), rtol=1e-5)


@pytest.mark.parametrize("tokens", [True, False])
def test_what_stands_behind_the_end_changes_nothing(tokens):
    batch = token_batch() if tokens else sequence_batch()
    method = build(tokens, features=VOCABULARY if tokens else 2)
    name = "tokens" if tokens else "sequence"
    other = batch | {name: batch[name].copy()}
    other[name][np.arange(STEPS) >= batch["length"][:, None]] = 2 if tokens else np.nan
    state, hparams = drawn(method, batch), dict(method.hparams)

    @jax.jit
    def everything(batch):
        values = method.evaluate(KEY, state, batch, hparams)
        return values, method.step(KEY, state, batch, hparams)

    chex.assert_trees_all_equal(everything(batch), everything(other))


def test_sequences_without_length_are_valid_throughout():
    method, batch = build(False, features=2), sequence_batch(length=False)
    state = drawn(method, batch)
    full = batch | {"length": np.full(3, STEPS, np.int32)}
    chex.assert_trees_all_equal(evaluate(method, state, batch), evaluate(method, state, full))


def test_teacher_forcing_changes_the_loss_and_not_what_is_reconstructed():
    batch = sequence_batch()
    forced, free = (build(False, features=2, teacher_forcing=how) for how in (True, False))
    inits = [
        str(jax.make_jaxpr(method.init)(KEY, batch, {"learning_rate": 0.1}))
        for method in (forced, free)
    ]
    assert inits[0] == inits[1]
    state = drawn(forced, batch)

    @jax.jit
    def both(state):
        values = [m.evaluate(KEY, state, batch, {}) for m in (forced, free)]
        return values, [m.views.reconstruct(state, batch, {}) for m in (forced, free)]

    (of_forced, of_free), (again, other) = jax.device_get(both(state))
    np.testing.assert_array_equal(of_free["loss"], of_free["reconstruction"])
    np.testing.assert_allclose(of_forced["reconstruction"], of_free["loss"], rtol=1e-6)
    # the second sequence has one element, which has none before it
    different = np.abs(np.asarray(of_forced["loss"] - of_free["loss"])) > 1e-4
    np.testing.assert_array_equal(different, [True, False, True])
    np.testing.assert_allclose(again, other, rtol=1e-6)


@pytest.mark.parametrize("tokens", [True, False])
def test_a_step_follows_the_gradient_of_the_evaluated_loss(tokens, x64):
    """Of the free-running loss too, through what is fed back."""
    batch = token_batch() if tokens else sequence_batch()
    features = VOCABULARY if tokens else 2
    method = build(tokens, "gru", 3, features, teacher_forcing=tokens, optimizer=optax.identity())
    hparams = {"learning_rate": 1.0}
    state = drawn(method, batch)
    after, info = jax.jit(method.step)(KEY, state, batch, hparams)

    @jax.jit
    def loss(params):
        state_there = state._replace(params=params)
        return jnp.mean(method.evaluate(KEY, state_there, batch, hparams)["loss"])

    np.testing.assert_allclose(info["loss"], loss(state.params), rtol=1e-12)
    way = drawn_like(state.params, seed=1)

    def moved(by):
        return loss(jax.tree.map(lambda x, w: x + by * w, state.params, way))

    changes = jax.tree.map(
        lambda w, x, y: np.sum(w * (x - np.asarray(y))), way, state.params, after.params
    )
    slope = sum(jax.tree.leaves(changes))
    np.testing.assert_allclose((moved(1e-5) - moved(-1e-5)) / 2e-5, slope, rtol=1e-6)


@pytest.mark.parametrize(("cell", "teacher_forcing"), [("lstm", True), ("gru", False)])
def test_learns_to_copy(cell, teacher_forcing):
    """All words of up to three of three letters."""
    words = [(a, b, c, 0) for a in range(1, 4) for b in range(4) for c in range(4) if b or not c]
    tokens = np.array(words, np.int32)
    batch = {"tokens": tokens, "length": np.argmin(tokens, axis=1).astype(np.int32) + 1}
    method = build(True, cell, 24, 4, teacher_forcing=teacher_forcing, learning_rate=2e-2)
    hparams = dict(method.hparams)

    @jax.jit
    def train(state):
        def step(state, _):
            return method.step(KEY, state, batch, hparams)

        state = jax.lax.scan(step, state, length=200)[0]
        values = method.evaluate(KEY, state, batch, hparams)
        return values["exact"], method.views.reconstruct(state, batch, hparams)

    exact, said = jax.device_get(train(drawn(method, batch, scale=0.3)))
    assert np.mean(exact) > 0.95
    np.testing.assert_allclose(np.sum(said, axis=-1), 1, rtol=1e-5)  # probabilities
    exact = exact.astype(bool)
    np.testing.assert_array_equal(np.argmax(said, -1)[exact, 0], tokens[exact, 0])


def test_bottlenecks_act_in_training_and_the_views_are_deterministic():
    batch = token_batch()
    method = build(bottlenecks=[bottlenecks.noise(0.0), bottlenecks.k_sparse(2)])
    assert method.hparams.keys() == {"learning_rate", "latent_noise", "k"}
    state, hparams = drawn(method, batch), dict(method.hparams)
    latent = jax.device_get(jax.jit(method.views.encode)(state, batch, hparams))
    np.testing.assert_array_equal((latent != 0).sum(axis=1), 2)
    step = jax.jit(method.step)
    quiet = [step(jax.random.key(i), state, batch, hparams)[1]["loss"] for i in range(2)]
    noisy = [
        step(jax.random.key(i), state, batch, hparams | {"latent_noise": 1.0})[1]["loss"]
        for i in range(2)
    ]
    assert quiet[0] == quiet[1]
    assert noisy[0] != noisy[1]


def test_its_defaults():
    assert build().hparams == {"learning_rate": 1e-3}
    options = {"features": 2, "cell": "gru", "hidden": 2}
    clipped = optax.chain(optax.clip_by_global_norm(10.0), optax.scale_by_adam())
    default, given = build(False, **options), build(False, **options, optimizer=clipped)
    batch, small = sequence_batch(), sequence_batch()
    batch["sequence"] = 1e3 * batch["sequence"]  # gradients of norms far above 10
    states = []
    for method in (default, given):
        state, step = drawn(method, batch), jax.jit(method.step)
        for shown in (batch, small):
            state, info = step(KEY, state, shown, dict(method.hparams))
        states.append((state, info))
    chex.assert_trees_all_equal(*states)


def test_tokens_are_drawn_by_their_logits():
    logits = jnp.log(jnp.array([[0.1, 0.6, 0.3]])) + jnp.zeros((4000, 3))
    drawn = methods.observations.categorical().sample(KEY, logits, {})
    assert drawn.dtype == logits.dtype
    np.testing.assert_array_equal(drawn.sum(axis=1), 1)
    np.testing.assert_allclose(drawn.mean(axis=0), [0.1, 0.6, 0.3], atol=0.03)


def test_refuses():
    with pytest.raises(InputError, match="give no observation"):
        build(True, observation=methods.observations.gaussian())
    with pytest.raises(InputError, match="share the hyperparameter latent_noise"):
        build(bottlenecks=[bottlenecks.noise(), bottlenecks.noise()])
    with pytest.raises(InputError, match=r"needs tokens; the data have \['length', 'sequence'\]"):
        drawn(build(), sequence_batch())
    with pytest.raises(InputError, match=r"sequences are \[4, 2\] and the decoder's \[4, 5\]"):
        drawn(build(False), sequence_batch())
