"""Parametric t-SNE's step against its gradient by hand, and what it makes of a whole data set."""

import jax
import numpy as np
import optax
import pytest

from ae_jax import losses, methods, nets
from ae_jax.core import InputError
from ae_jax.methods.matching import blocks

X = np.random.default_rng(0).normal(size=(12, 4))
KEY = jax.random.key(0)


def test_a_step_is_gradient_descent_on_the_divergence(x64):
    encoder = nets.mlp(3, ())
    method = methods.parametric_tsne(encoder, 3, optimizer=optax.identity())
    assert method.hparams == {"learning_rate": 1e-3, "perplexity": 30.0, "degrees": 2.0}
    hparams, batch = {"learning_rate": 0.1, "perplexity": 4.0, "degrees": 2.0}, {"image": X}
    state = method.init(KEY, batch, hparams)
    after, info = jax.jit(method.step)(KEY, state, batch, hparams)
    p = losses.joint_neighbours(X, 4.0)

    def lowered(params):
        return losses.neighbour_divergence(p, encoder.apply(params, X), 2.0)

    value, slope = jax.value_and_grad(lowered)(state.params["encoder"])
    np.testing.assert_allclose(info["loss"], value, rtol=1e-9)
    expected = jax.tree.map(lambda w, g: w - 0.1 * g, state.params["encoder"], slope)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), after.params["encoder"], expected
    )


def test_a_whole_data_set_is_compared_in_blocks(x64, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 5)
    method = methods.parametric_tsne(nets.mlp(2, ()), perplexity=2.0)
    hparams = dict(method.hparams)
    assert hparams["degrees"] == 1
    state = method.init(KEY, {"image": X}, hparams)
    values = method.evaluate(KEY, state, {"image": X}, hparams)
    latent = np.asarray(method.views.encode(state, {"image": X}, hparams))

    def of(rows):
        p = losses.joint_neighbours(X[rows], 2.0)
        return losses.neighbour_divergence(p, latent[rows])

    loss = jax.jit(method.conclude)(values, np.arange(12) < 9, hparams)["loss"]
    expected = (5 * of(slice(0, 5)) + 4 * of(slice(5, 9))) / 9
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_what_does_not_fit_is_refused():
    method = methods.parametric_tsne(nets.mlp(3, ()))
    hparams, batch = dict(method.hparams), {"image": X.astype(np.float32)}
    with pytest.raises(InputError, match=r"makes \[12, 3\] of a batch of 12: give it 2 outputs"):
        jax.eval_shape(lambda key: method.init(key, batch, hparams), KEY)
