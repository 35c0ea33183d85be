"""Deep clustering: whole-set targets, one step against NumPy, and when it stops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import corruptions, data, methods, nets
from ae_jax.core import InputError
from ae_jax.methods import shown

COUNT, SHAPE, K = 23, (2, 3, 1), 3
IMAGES = np.random.default_rng(0).random((COUNT, *SHAPE))
NUMBERS = {"clustering_weight": 0.7, "reconstruction_weight": 0.3, "degrees": 2.0}
NUMBERS |= {"refresh_every": 3.0, "tolerance": 0.0, "learning_rate": 0.1}


@pytest.fixture(autouse=True)
def double(x64):
    return x64


def networks():
    return nets.mlp(2, ()), nets.mlp(SHAPE, ())


def made(**options):
    dataset = data.stored(IMAGES)
    given = {"optimizer": optax.identity()} | options
    return methods.deep_clustering(*networks(), K, dataset, **given)


def batch(rows):
    return {"image": jnp.asarray(IMAGES[rows])}


def begun(method, **numbers):
    hparams = {name: jnp.asarray(x) for name, x in (NUMBERS | numbers).items()}
    hparams |= {n: jnp.asarray(float(x)) for n, x in method.hparams.items() if n not in hparams}
    return jax.jit(method.init)(jax.random.key(0), batch(slice(7)), hparams), hparams


@pytest.fixture(scope="module")
def ours():
    with jax.enable_x64(True):
        method = made()
        return method, jax.jit(method.step)


def affine(params):
    kernel, bias = sorted(map(np.asarray, jax.tree.leaves(params)), key=np.ndim)[::-1]
    return kernel, bias


def assigned(latent, centres, nu):
    kernel = (1 + np.sum((latent[:, None] - centres) ** 2, axis=2) / nu) ** (-(nu + 1) / 2)
    return kernel / kernel.sum(axis=1, keepdims=True)


def expected(params, before, rows, nu=2.0):
    """Of a step on some rows the kernels, biases and centres, by the closed forms, in NumPy."""
    flat = IMAGES.reshape(COUNT, -1)
    w, b = affine(before["encoder"])
    q = assigned(flat @ w + b, np.asarray(before["centres"]), nu)
    p = q**2 / q.sum(axis=0)  # of all examples
    p = (p / p.sum(axis=1, keepdims=True))[rows]
    (w, b), (v, c), mu = affine(params["encoder"]), affine(params["decoder"]), params["centres"]
    x, mu = flat[rows], np.asarray(mu)
    z = x @ w + b
    away = z[:, None] - mu
    pull = (p - assigned(z, mu, nu)) / (1 + np.sum(away**2, axis=2) / nu) * (nu + 1) / nu
    cluster = NUMBERS["clustering_weight"] * pull[:, :, None] * away
    error = NUMBERS["reconstruction_weight"] * 2 * (z @ v + c - x)
    of_z = cluster.sum(axis=1) + error @ v.T
    n, rate = len(rows), NUMBERS["learning_rate"]
    return {
        "encoder": (w - rate * x.T @ of_z / n, b - rate * of_z.sum(axis=0) / n),
        "decoder": (v - rate * z.T @ error / n, c - rate * error.sum(axis=0) / n),
        "centres": mu + rate * cluster.sum(axis=0) / n,
    }


def agree(params, other):
    for name in ("encoder", "decoder"):
        for found, value in zip(affine(params[name]), other[name], strict=True):
            np.testing.assert_allclose(found, value.reshape(found.shape), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(params["centres"], other["centres"], rtol=1e-10)


def test_steps_are_those_that_numpy_takes_and_refreshes_are_of_the_whole_set(ours):
    method, step = ours
    state, hparams = begun(method)
    snapshot, random = state.params, np.random.default_rng(1)
    for i in range(5):
        rows = random.permutation(COUNT)[:7]
        if i == 3:  # refreshed before the fourth step
            snapshot = state.params
        wanted = expected(state.params, snapshot, rows)
        state, _ = step(jax.random.key(i), state, batch(rows), hparams)
        agree(state.params, wanted)
        w, b = affine(snapshot["encoder"])
        centres = np.asarray(snapshot["centres"])
        q = assigned(IMAGES.reshape(COUNT, -1) @ w + b, centres, 2.0)
        np.testing.assert_allclose(state.running["log_frequencies"], np.log(q.sum(0)), rtol=1e-10)
        np.testing.assert_array_equal(state.running["labels"], q.argmax(axis=1))


def test_without_a_clustering_weight_a_step_is_the_plain_autoencoders():
    spoiled = shown.corrupted(corruptions.masking, 0.4)
    options = {"shown": spoiled, "optimizer": optax.scale_by_adam()}
    method, plain = made(**options), methods.autoencoder(*networks(), **options)
    state, hparams = begun(method, clustering_weight=0.0, reconstruction_weight=1.0)
    start = {name: state.params[name] for name in ("encoder", "decoder")}
    other = jax.jit(plain.init)(jax.random.key(0), batch(slice(7)), hparams, start)
    step, plain_step = jax.jit(method.step), jax.jit(plain.step)
    for i in range(3):
        state, _ = step(jax.random.key(i), state, batch(slice(7)), hparams)
        other, _ = plain_step(jax.random.key(i), other, batch(slice(7)), hparams)
    for name in start:
        jax.tree.map(np.testing.assert_array_equal, state.params[name], other.params[name])


def test_it_stops_when_few_examples_change_their_cluster(ours):
    method, step = ours
    state, hparams = begun(method, tolerance=0.5, learning_rate=1e-6)
    for i in range(3):
        before = state
        state, info = step(jax.random.key(i), state, batch(slice(7)), hparams)
        assert info["changed"] == 1
        assert not np.array_equal(before.params["centres"], state.params["centres"])
    after, info = step(jax.random.key(3), state, batch(slice(7)), hparams)  # refreshed, then stops
    assert info["changed"] == 0
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)
    again, _ = step(jax.random.key(4), after, batch(slice(9, 16)), hparams)
    jax.tree.map(np.testing.assert_array_equal, again, after)


def test_at_first_all_have_changed_whatever_their_number():
    dataset = data.stored(np.resize(IMAGES, (49, *SHAPE)))  # 49 times 1 / 49, rounded, is below 1
    method = methods.deep_clustering(*networks(), K, dataset, optimizer=optax.identity())
    state, _ = begun(method)
    assert state.running["changed"] == 1  # of which a tolerance of 1 does not stop it


def test_targets_are_of_clean_examples_whatever_is_shown():
    spoiled = shown.corrupted(corruptions.masking, 1.0)  # shows nothing but zeros
    method = made(shown=spoiled)
    state, hparams = begun(method, reconstruction_weight=0.0)
    rows = np.arange(7)
    _, info = jax.jit(method.step)(jax.random.key(0), state, batch(rows), hparams)
    w, b = affine(state.params["encoder"])
    centres = np.asarray(state.params["centres"])
    q = assigned(IMAGES.reshape(COUNT, -1) @ w + b, centres, 2.0)
    p = q**2 / q.sum(axis=0)
    p = (p / p.sum(axis=1, keepdims=True))[rows]
    of_nothing = assigned(b.reshape(1, -1), centres, 2.0)
    divergence = np.sum(p * np.log(p / of_nothing), axis=1).mean()
    np.testing.assert_allclose(info["divergence"], divergence, rtol=1e-10)


def test_what_cannot_be_used():
    with pytest.raises(InputError, match="clusters is 0: use"):
        methods.deep_clustering(*networks(), 0, data.stored(IMAGES))
    with pytest.raises(InputError, match="24 clusters need as many examples, got 23"):
        methods.deep_clustering(*networks(), 24, data.stored(IMAGES))
    wrong = methods.deep_clustering(nets.mlp(2, ()), nets.mlp(5, ()), K, data.stored(IMAGES))
    with pytest.raises(InputError, match="the decoder makes"):
        begun(wrong)
