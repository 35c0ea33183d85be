"""Three simultaneous moves against their gradients by hand, and the VAE that is among them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import observations
from ae_jax.methods.adversarial import regularisers
from ae_jax.probability import gaussian
from tests.methods.adversarial.linear import identity, linear, slope, softplus, weights_of

pytestmark = pytest.mark.usefixtures("x64")

KEY, STEP = jax.random.key(5), jax.random.key(6)
X = np.array([[0.9], [0.2], [-0.7], [0.5]])
M, L, V, F, H = 0.6, -0.3, 0.8, 1.4, -0.9
NUMBERS = {
    "learning_rate": 0.3,
    "encoder_learning_rate": 0.2,
    "discriminator_learning_rate": 0.7,
    "beta": 0.5,
    "feature_weight": 1.7,
    "adversarial_weight": 0.6,
}


def built(features=None, **options):
    return methods.vae_gan(
        linear([[M, L]]),
        linear([[V]]),
        linear([[F]]) if features is None else features,
        linear([[H]]),
        1,
        output=lambda made: made,
        optimizer=optax.identity(),
        **options,
    )


def batch():
    return {"image": jnp.asarray(X)}


def normal(key):
    return np.asarray(jax.random.normal(key, (4, 1), float))


def test_a_step_is_three_moves_that_see_the_same_networks():
    method = built()
    hparams = {**method.hparams, **NUMBERS}
    state = method.init(KEY, batch(), hparams)
    after, info = jax.jit(method.step)(STEP, state, batch(), hparams)
    encoder_key, decoder_key, discriminator_key = jax.random.split(STEP, 3)
    mean, log_var = M * X, L * X

    def posterior(key):
        eps = normal(jax.random.split(key, 3)[1])
        return mean + np.exp(log_var / 2) * eps, eps

    # |l(x) - l(x')|^2 / 2 + beta KL
    z, eps = posterior(jax.random.split(encoder_key)[0])
    error = 0.5 * F**2 * (V * z - X) ** 2
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)
    dz = F**2 * (V * z - X) * V
    d_mean = np.mean((dz + 0.5 * mean) * X)
    d_log_var = np.mean((dz * eps * np.exp(log_var / 2) / 2 + 0.25 * (np.exp(log_var) - 1)) * X)
    encoder = [[M - 0.2 * d_mean, L - 0.2 * d_log_var]]
    np.testing.assert_allclose(info["encoder_loss"], np.mean(error + 0.5 * kl), rtol=1e-12)
    np.testing.assert_allclose(info["encoder_kl"], np.mean(kl), rtol=1e-12)

    # gamma |l(x) - l(x')|^2 / 2 - log D(x') / 2 - log D(G(z)) / 2
    keys = jax.random.split(decoder_key, 4)
    z, _ = posterior(keys[0])
    prior = normal(jax.random.split(keys[2])[0])
    error = 0.5 * F**2 * (V * z - X) ** 2
    logits = [H * F * V * latent for latent in (z, prior)]
    cost = 0.5 * (softplus(-logits[0]) + softplus(-logits[1]))
    dv = 1.7 * F**2 * (V * z - X) * z
    dv += 0.3 * H * F * ((slope(logits[0]) - 1) * z + (slope(logits[1]) - 1) * prior)
    np.testing.assert_allclose(info["decoder_loss"], np.mean(1.7 * error + 0.6 * cost), rtol=1e-12)
    np.testing.assert_allclose(info["decoder_feature_error"], np.mean(error), rtol=1e-12)

    # -log D(x) - log(1 - D(x')) / 2 - log(1 - D(G(z))) / 2, and nothing of the features' error
    keys = jax.random.split(discriminator_key, 3)
    z, _ = posterior(keys[0])
    prior = normal(jax.random.split(keys[1])[0])
    seen = X, V * z, V * prior
    logits = [H * F * x for x in seen]
    loss = softplus(-logits[0]) + 0.5 * (softplus(logits[1]) + softplus(logits[2]))
    slopes = slope(logits[0]) - 1, 0.5 * slope(logits[1]), 0.5 * slope(logits[2])
    d_product = np.mean(sum(s * x for s, x in zip(slopes, seen, strict=True)))
    np.testing.assert_allclose(info["discriminator_loss"], np.mean(loss), rtol=1e-12)

    expected = {
        "encoder": encoder,
        "decoder": [[V - 0.3 * np.mean(dv)]],
        "features": [[F - 0.7 * H * d_product]],
        "head": [[H - 0.7 * F * d_product]],
    }
    for name, value in weights_of(after).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, err_msg=name)


def test_with_pixels_for_features_and_no_contest_it_is_the_gaussian_vae(monkeypatch):
    eps = jnp.asarray(normal(KEY))  # one draw for all, whatever the key
    monkeypatch.setattr(
        gaussian, "sample", lambda key, mean, log_var: mean + jnp.exp(log_var / 2) * eps
    )
    method = built(identity(), adversarial_weight=0.0)
    vae = methods.vae(
        linear([[M, L]]),
        linear([[V]]),
        1,
        likelihood=observations.gaussian(1.0),
        optimizer=optax.identity(),
    )
    found = []
    for one in (method, vae):
        rates = dict.fromkeys(("learning_rate", "encoder_learning_rate"), 0.5)
        hparams = {**one.hparams, **rates}
        state = one.init(KEY, batch(), hparams)
        after = weights_of(jax.jit(one.step)(STEP, state, batch(), hparams)[0])
        found.append([after[name] for name in ("encoder", "decoder")])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert np.all(found[0][0] != [[M, L]])


def test_what_it_evaluates_and_shows():
    method = built(regularisers=[regularisers.r1(0.5)])
    assert method.hparams == {
        "learning_rate": 3e-4,
        "encoder_learning_rate": 3e-4,
        "discriminator_learning_rate": 3e-4,
        "beta": 1.0,
        "feature_weight": 1.0,
        "adversarial_weight": 1.0,
        "r1_weight": 0.5,
    }
    hparams = dict(method.hparams)
    state = method.init(KEY, batch(), hparams)
    values = jax.jit(method.evaluate)(KEY, state, batch(), hparams)
    keys = jax.random.split(KEY, 5)
    z = M * X + np.exp(L * X / 2) * normal(jax.random.split(keys[0], 3)[1])
    prior = normal(jax.random.split(keys[1])[0])
    logits = [H * F * x for x in (X, V * z, V * prior)]
    expected = {
        "feature_error": 0.5 * F**2 * (V * z - X) ** 2,
        "kl": 0.5 * ((M * X) ** 2 + np.exp(L * X) - 1 - L * X),
        "squared_error": (V * M * X - X) ** 2,
        "discriminator_loss": softplus(-logits[0])
        + 0.5 * (softplus(logits[1]) + softplus(logits[2])),
        "decoder_loss": 0.5 * (softplus(-logits[1]) + softplus(-logits[2])),
    }
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value[:, 0], rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(method.views.encode(state, batch(), hparams), M * X, rtol=1e-12)
    sample = method.views.sample(KEY, state, 4, hparams)
    np.testing.assert_allclose(sample, V * normal(KEY), rtol=1e-12)
    # with R1: half of gamma times the squared slope of a linear critic
    step = jax.jit(method.step)
    penalised, free = (
        step(STEP, state, batch(), {**hparams, "r1_weight": weight})[1]["discriminator_loss"]
        for weight in (0.5, 0.0)
    )
    np.testing.assert_allclose(penalised - free, 0.25 * (F * H) ** 2, rtol=1e-12)


def test_refuses():
    with pytest.raises(InputError, match="latent_size is 0"):
        methods.vae_gan(*[nets.mlp(1, ())] * 4, 0)
    with pytest.raises(InputError, match="log_var_bound is 0"):
        methods.vae_gan(*[nets.mlp(1, ())] * 4, 1, log_var_bound=0.0)
    method = methods.vae_gan(*[nets.mlp(1, ())] * 4, 1)
    with pytest.raises(InputError, match=r"log-variances of 1 latents, \[B, 2\]"):
        method.init(KEY, batch(), method.hparams)
    two = methods.vae_gan(nets.mlp(2, ()), nets.mlp(1, ()), nets.mlp(1, ()), nets.mlp(2, ()), 1)
    with pytest.raises(InputError, match="must give one logit"):
        two.init(KEY, batch(), two.hparams)
