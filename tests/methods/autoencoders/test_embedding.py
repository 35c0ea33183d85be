import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, metrics
from ae_jax.core import POSITIVE, InputError
from tests.methods.drawn import drawn

KEY = jax.random.key(0)


def pairs(centre, context):
    return {"centre": jnp.array(centre, jnp.int32), "context": jnp.array(context, jnp.int32)}


def test_it_begins_at_the_uniform_distribution():
    method, batch = methods.skip_gram(7, 3), pairs([0, 6, 6], [1, 2, 6])

    @jax.jit
    def begun():
        state = method.init(KEY, batch, dict(method.hparams))
        values = method.evaluate(KEY, state, batch, dict(method.hparams))
        return state.params, values, method.views.encode(state, batch, dict(method.hparams))

    params, values, latent = begun()
    np.testing.assert_allclose(values["loss"], np.full(3, np.log(7)), rtol=1e-6)
    np.testing.assert_allclose(latent, np.asarray(params["word"])[[0, 6, 6]], rtol=1e-6)


def test_loss_and_gradient_by_hand(x64):
    method = methods.skip_gram(3, 2, optimizer=optax.identity())
    batch = pairs([2, 0], [1, 1])
    word, context = np.array([[1.0, 2], [3, 4], [5, -6]]), np.array([[0.1, 0], [0, 0.2], [0.3, 0]])
    params = {"word": jnp.asarray(word), "context": jnp.asarray(context)}
    state = drawn(method, batch)._replace(params=params)
    logits = word[[2, 0]] @ context.T
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    @jax.jit
    def both(state):
        values = method.evaluate(KEY, state, batch, {"learning_rate": 1.0})
        return values, method.step(KEY, state, batch, {"learning_rate": 1.0})[0]

    values, after = both(state)
    np.testing.assert_allclose(values["loss"], -np.log(p[:, 1]), rtol=1e-12)
    # d loss / d v_c = sum_o (p_o - [o = context]) u_o; d loss / d u_o = (p_o - [..]) v_c
    error = (p - [[0, 1, 0]]) / 2  # the mean of two pairs
    d_word, d_context = np.zeros((3, 2)), error.T @ word[[2, 0]]
    d_word[[2, 0]] = error @ context
    np.testing.assert_allclose(after.params["word"], word - d_word, rtol=1e-12)
    np.testing.assert_allclose(after.params["context"], context - d_context, rtol=1e-12)


def test_words_with_equal_contexts_become_neighbours():
    # 0 and 1 stand near 4, 2 and 3 near 5: the conditional entropy is 0
    batch = pairs([0, 1, 2, 3], [4, 4, 5, 5])
    method = methods.skip_gram(6, 4, learning_rate=0.05)
    hparams = dict(method.hparams)

    @jax.jit
    def trained():
        state = method.init(KEY, batch, hparams)
        state = jax.lax.scan(lambda s, _: method.step(KEY, s, batch, hparams), state, length=200)[0]
        return state.params["word"][:4], method.evaluate(KEY, state, batch, hparams)["loss"]

    words, loss = trained()
    assert loss.max() < 0.05
    places, _ = metrics.nearest_neighbours(words, words, 2)
    np.testing.assert_array_equal(places, [[0, 1], [1, 0], [2, 3], [3, 2]])


def test_its_defaults_and_the_first_embeddings():
    method = methods.skip_gram(1000)
    assert method.hparams == {"learning_rate": 1e-3}
    word = jax.jit(method.init)(KEY, pairs([0], [1]), {}).params["word"]
    assert word.shape == (1000, 64)
    np.testing.assert_allclose(jnp.std(word), 1 / 8, rtol=0.02)


def test_refuses():
    for name in ("vocabulary_size", "embedding_size"):
        with pytest.raises(InputError, match=f"{name} is 0: use a whole number, 1 or more"):
            methods.skip_gram(**{"vocabulary_size": 3, name: 0})
    assert methods.skip_gram(1, 1).domains == {"learning_rate": POSITIVE}
