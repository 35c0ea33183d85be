"""A step against the gradients of its losses in NumPy, of networks that can be written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import FRACTION, InputError, Network
from ae_jax.nets import Growing

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
ROWS, FADE = 4, 0.3
RATES = {"learning_rate": 0.3, "discriminator_learning_rate": 0.7}
START = {
    "latent": [0.8],
    "larger": [0.5, -0.4, 0.9, 1.1],
    "to_small": [0.7],
    "to_large": [1.3],
    "smaller": [0.6, 0.2, -0.3, 0.8],
    "logit": [0.9, 0.4],
    "from_small": [1.2],
    "from_large": [0.5],
}
GENERATOR, DISCRIMINATOR = list(START)[:4], list(START)[4:]


def network(name, apply):
    return Network(lambda key, x: jnp.asarray(START[name]), apply)


def pooled(weights, x):
    return jnp.sum(x * weights.reshape(1, 2, 2, 1), axis=(1, 2), keepdims=True)


def players():
    """Images of 2x2 pixels from those of a single one, by two blocks; and logits of them."""

    def scaled(name):
        return network(name, lambda w, x: w[0] * x)

    generator = Growing(
        {
            "latent": network("latent", lambda w, z: w[0] * z[:, :, None, None]),
            "larger": network("larger", lambda w, x: x * w.reshape(1, 2, 2, 1)),
        },
        {"to_small": scaled("to_small"), "to_large": scaled("to_large")},
    )
    discriminator = Growing(
        {
            "smaller": network("smaller", pooled),
            "logit": network("logit", lambda w, x: (w[0] * x + w[1] * x**2)[:, 0, 0]),
        },
        {"from_small": scaled("from_small"), "from_large": scaled("from_large")},
    )
    return generator, discriminator


def images(p, z):
    """[B, 4]."""
    small, large = p["to_small"][0], p["to_large"][0] * p["larger"]
    return p["latent"][0] * z * ((1 - FADE) * small + FADE * large)[None]


def judged(p, x):
    """Logits [B], and norms of their slopes by x."""
    small, large = p["from_small"][0] / 4, p["from_large"][0] * p["smaller"]
    weights = (1 - FADE) * small + FADE * large
    seen, (a, b) = x @ weights, p["logit"]
    return a * seen + b * seen**2, np.sqrt((a + 2 * b * seen) ** 2 * np.sum(weights**2))


def gradient(loss, p, names):
    """By complex steps: exact to the last digits."""
    found = {}
    for name in names:
        found[name] = np.zeros(len(p[name]))
        for i in range(len(p[name])):
            moved = {key: value.astype(complex) for key, value in p.items()}
            moved[name][i] += 1e-30j
            found[name][i] = loss(moved).imag / 1e-30
    return found


def test_a_step_moves_the_discriminator_and_then_the_generator():
    method = methods.progressive_gan(*players(), 1, optimizer=optax.identity())
    assert method.domains["fade"] == FRACTION
    assert method.hparams["fade"] == 1
    hparams = {**method.hparams, **RATES, "fade": FADE, "drift_weight": 0.2}
    x = jax.random.uniform(KEY, (ROWS, 2, 2, 1))
    state = method.init(KEY, {"image": x}, hparams)
    key = jax.random.key(6)
    after, info = jax.jit(method.step)(key, state, {"image": x}, hparams)

    keys = [jax.random.split(move) for move in jax.random.split(key)]
    noise = [jax.random.split(generating)[0] for generating, _ in keys]
    z, other_z = (np.asarray(jax.random.normal(own, (ROWS, 1), float)) for own in noise)
    penalty = jax.random.split(jax.random.split(keys[0][1], 5)[4])[1]
    share = np.asarray(jax.random.uniform(jax.random.split(penalty)[0], (ROWS,)))[:, None]
    p = {name: np.asarray(value) for name, value in START.items()}
    x = np.asarray(x).reshape(ROWS, 4)
    real = (1 - FADE) * x.mean(axis=1, keepdims=True) + FADE * x
    fake = images(p, z)

    def discriminating(p):
        logits = judged(p, real)[0]
        slopes = judged(p, share * real + (1 - share) * fake)[1]
        costs = judged(p, fake)[0] - logits + 10 * (slopes - 1) ** 2 + 0.2 * logits**2
        return np.mean(costs)

    def generating(p):
        return -np.mean(judged(p, images(p, other_z))[0])

    values = jax.jit(method.evaluate)(key, state, {"image": x.reshape(ROWS, 2, 2, 1)}, hparams)
    told = judged(p, fake)[0] - judged(p, real)[0]  # without penalties
    np.testing.assert_allclose(values["discriminator_loss"], told, rtol=1e-12)
    deceived = -judged(p, images(p, other_z))[0]
    np.testing.assert_allclose(values["generator_loss"], deceived, rtol=1e-12)
    np.testing.assert_allclose(info["discriminator_loss"], discriminating(p), rtol=1e-12)
    by = gradient(discriminating, p, DISCRIMINATOR)
    norm = np.sqrt(sum(np.sum(g**2) for g in by.values()))
    np.testing.assert_allclose(info["discriminator_gradient_norm"], norm, rtol=1e-12)
    p |= {name: p[name] - 0.7 * by[name] for name in by}
    np.testing.assert_allclose(info["generator_loss"], generating(p), rtol=1e-12)
    by = gradient(generating, p, GENERATOR)
    p |= {name: p[name] - 0.3 * by[name] for name in by}
    for name, value in p.items():
        np.testing.assert_allclose(after.params[name], value, rtol=1e-12, err_msg=name)

    seen = method.views.decode(after, jnp.asarray(z), hparams)
    np.testing.assert_allclose(np.reshape(seen, (ROWS, 4)), images(p, z), rtol=1e-12)
    sample = method.views.sample(noise[0], after, ROWS, hparams)
    np.testing.assert_allclose(sample, seen, rtol=1e-12)


def test_a_first_stage_has_no_fade_and_both_fade_or_none():
    generator, discriminator = nets.growing_generator((4,)), nets.growing_discriminator((4,))
    method = methods.progressive_gan(generator, discriminator, 2)
    assert "fade" not in method.hparams
    assert {"gradient_penalty_weight", "drift_weight"} <= set(method.hparams)
    assert "drift_weight" not in methods.progressive_gan(*players(), 1, regularisers=()).hparams
    with pytest.raises(InputError, match="one player fades and the other does not"):
        methods.progressive_gan(players()[0], discriminator, 2)
    with pytest.raises(InputError, match=r"makes \[4, 4, 4, 1\] of a .* \[4, 8, 8, 1\]: resize"):
        jax.eval_shape(method.init, KEY, {"image": jnp.zeros((4, 8, 8, 1))}, method.hparams)
    with pytest.raises(InputError, match="batch of 6 cannot be cut into groups of 4"):
        jax.eval_shape(method.init, KEY, {"image": jnp.zeros((6, 4, 4, 1))}, method.hparams)
