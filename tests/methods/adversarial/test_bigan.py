"""Both moves against their gradients by hand, and the best discriminator of a table of pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import losses, methods, nets
from ae_jax.core import InputError, Network
from tests.methods.adversarial.linear import identity, linear, slope, softplus, weights_of

pytestmark = pytest.mark.usefixtures("x64")

KEY, STEP = jax.random.key(5), jax.random.key(6)
X = np.array([[0.9], [0.2], [-0.7], [0.5]])
W, V, D = 0.6, -0.4, np.array([[1.5], [-0.7]])


def built(features=None, **options):
    options = {"optimizer": optax.identity(), "output": lambda made: made, **options}
    return methods.bigan(linear([[W]]), linear([[V]]), linear(D), 1, features=features, **options)


def batch(x=X):
    return {"image": jnp.asarray(x)}


def latents(key):
    """What a move draws for the generator."""
    keys = jax.random.split(jax.random.split(key)[0], 3)
    return np.asarray(jax.random.normal(keys[1], (4, 1), float))


def test_a_step_moves_the_discriminator_and_then_both_others_together():
    method = built()
    hparams = {"learning_rate": 0.3, "discriminator_learning_rate": 0.7}
    state = method.init(KEY, batch(), hparams)
    after, info = jax.jit(method.step)(STEP, state, batch(), hparams)
    keys = jax.random.split(STEP)
    z = latents(keys[0])
    real, fake = np.concatenate([X, W * X], axis=1), np.concatenate([V * z, z], axis=1)
    loss = softplus(-real @ D) + softplus(fake @ D)
    d = D - 0.7 * (real.T @ (slope(real @ D) - 1) + fake.T @ slope(fake @ D)) / 4
    np.testing.assert_allclose(info["discriminator_loss"], np.mean(loss), rtol=1e-12)

    z = latents(keys[1])
    real, fake = np.concatenate([X, W * X], axis=1), np.concatenate([V * z, z], axis=1)
    loss = softplus(real @ d) + softplus(-fake @ d)  # with the two kinds exchanged
    dw = np.mean(slope(real @ d) * d[1] * X)
    dv = np.mean((slope(fake @ d) - 1) * d[0] * z)
    np.testing.assert_allclose(info["encoder_generator_loss"], np.mean(loss), rtol=1e-12)
    expected = {"encoder": [[W - 0.3 * dw]], "generator": [[V - 0.3 * dv]], "discriminator": d}
    for name, value in weights_of(after).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, err_msg=name)
    # an encoder that took its codes for generated ones would go the other way
    assert dw * np.mean((slope(real @ d) - 1) * d[1] * X) < 0


def test_features_are_seen_beside_the_latent_and_move_with_the_discriminator():
    scale = Network(lambda key, x: {"w": jnp.array([[2.0]])}, lambda p, x: x @ p["w"])
    plain, seen = built(), built(scale)
    hparams = dict(plain.hparams)
    state = plain.init(KEY, batch(), hparams)
    half = {"discriminator": {"w": jnp.asarray(D * [[0.5], [1.0]])}}
    same = seen.init(KEY, batch(), hparams, half)
    for name in ("discriminator_loss", "encoder_generator_loss", "squared_error"):
        found = [
            m.evaluate(KEY, s, batch(), hparams)[name] for m, s in ((plain, state), (seen, same))
        ]
        np.testing.assert_allclose(*found, rtol=1e-12)
    errors = (V * W * X - X)[:, 0] ** 2
    np.testing.assert_allclose(found[1], errors, rtol=1e-12)
    after, _ = jax.jit(seen.step)(STEP, same, batch(), {**hparams, "learning_rate": 0.0})
    assert after.params["features"]["w"] != 2
    np.testing.assert_array_equal(weights_of(after)["encoder"], [[W]])
    sample = plain.views.sample(KEY, state, 4, hparams)
    np.testing.assert_allclose(sample, V * jax.random.normal(KEY, (4, 1), float), rtol=1e-12)


def table(encoder, generator):
    """Three examples and three latents, one-hot and equally likely; D has a logit for each pair."""

    def logits(params, pair):
        x, z = jnp.split(pair, 2, axis=1)
        return jnp.sum((x @ params["w"]) * z, axis=1, keepdims=True)

    discriminator = Network(lambda key, x: {"w": jnp.zeros((3, 3))}, logits)
    return methods.bigan(
        linear(np.eye(3)[list(encoder)]),
        linear(np.eye(3)[list(generator)]),
        discriminator,
        3,
        prior=lambda key, shape: jnp.eye(3)[: shape[0]],
        output=lambda made: made,
        optimizer=optax.identity(),
    )


@pytest.mark.parametrize(
    ("encoder", "generator"),
    [((1, 2, 0), (2, 0, 1)), ((1, 2, 0), (1, 2, 0)), ((0, 0, 1), (0, 2, 1))],
)
def test_the_best_discriminator_loses_log_4_less_twice_the_divergence_of_the_pairs(
    encoder, generator
):
    method = table(encoder, generator)
    p, q = np.zeros((3, 3)), np.zeros((3, 3))
    for i in range(3):
        p[i, encoder[i]] += 1 / 3
        q[generator[i], i] += 1 / 3
    inverse = np.array_equal(p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (p + q) / 2
        divergence = sum(np.nansum(r * np.log(r / middle)) / 2 for r in (p, q))
        best = np.nan_to_num(np.log(p / q), nan=0.0, posinf=40.0, neginf=-40.0)
    given, hparams = batch(np.eye(3)), dict(method.hparams)
    start = {"discriminator": {"w": jnp.asarray(best)}}
    state = method.init(KEY, given, hparams, start)
    found = np.mean(jax.jit(method.evaluate)(KEY, state, given, hparams)["discriminator_loss"])
    np.testing.assert_allclose(found, np.log(4) - 2 * divergence, rtol=1e-12, atol=1e-15)
    _, info = jax.jit(method.step)(STEP, state, given, hparams)
    assert info["discriminator_gradient_norm"] < 1e-12
    if inverse:
        np.testing.assert_allclose(found, 1.3862943611198906, rtol=1e-12)
        assert info["encoder_generator_gradient_norm"] < 1e-12
    else:
        assert found < 1.2


def test_other_objectives_are_exchanged_too():
    """Of least squares with targets 0 and 1, real pairs go to 0 and generated ones to 1."""
    method = built(objective=losses.adversarial.least_squares())
    state = method.init(KEY, batch(), method.hparams)
    values = jax.jit(method.evaluate)(KEY, state, batch(), method.hparams)
    z = latents(jax.random.split(KEY)[1])
    real, fake = np.concatenate([X, W * X], axis=1), np.concatenate([V * z, z], axis=1)
    expected = 0.5 * (real @ D) ** 2 + 0.5 * (fake @ D - 1) ** 2
    np.testing.assert_allclose(values["encoder_generator_loss"], expected[:, 0], rtol=1e-12)


def test_refuses():
    with pytest.raises(InputError, match="latent_size is 0"):
        methods.bigan(identity(), identity(), identity(), 0)
    two = methods.bigan(linear([[W]]), linear([[V]]), nets.mlp(1, ()), 2)
    with pytest.raises(InputError, match=r"must give latents \[B, 2\], and gives \[4, 1\]"):
        two.init(KEY, batch(), two.hparams)
    logits = methods.bigan(linear([[W]]), linear([[V]]), nets.mlp(2, ()), 1)
    with pytest.raises(InputError, match="must give one logit"):
        logits.init(KEY, batch(), logits.hparams)
