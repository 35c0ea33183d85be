"""FactorVAE: whose gradient goes where, against both players' losses by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY, SIZE = jax.random.key(3), 2


def images(count=6):
    return {"image": jax.random.uniform(jax.random.key(7), (count, 3), float)}


def built(**options):
    networks = nets.mlp(2 * SIZE, ()), nets.mlp(3, ()), nets.mlp(1, ())
    plain = {"optimizer": optax.identity(), "discriminator_optimizer": optax.identity()}
    method = methods.factor_vae(*networks, SIZE, **plain | options)
    return method, drawn(method, images(), scale=1.0)


def dense(layer, x):
    return x @ layer["Dense_0"]["kernel"] + layer["Dense_0"]["bias"][None]


def latents(encoder, x, noise):
    outputs = dense(encoder, x)
    return outputs[:, :SIZE] + jnp.exp(outputs[:, SIZE:] / 2) * noise


def test_a_step_of_both_players_by_hand():
    method, state = built(
        tc_weight=3.0, beta=0.5, learning_rate=0.25, discriminator_learning_rate=0.1
    )
    x, hparams, params = images()["image"], dict(method.hparams), state.params
    plain = methods.vae(nets.mlp(2 * SIZE, ()), nets.mlp(3, ()), SIZE, beta=0.5)
    coding, telling = jax.random.split(KEY)
    told = jax.random.split(telling, 4)

    def noise(key):
        return jax.random.normal(key, (6 * SIZE,), float).reshape(6, SIZE)

    def vae_loss(own):
        """The VAE's, and the mean logit of the same draws."""
        values = plain.evaluate(coding, state._replace(params=own), images(), hparams)
        z = latents(own["encoder"], x, noise(jax.random.split(coding, 3)[0]))
        logit = jnp.mean(dense(params["discriminator"], z))
        return jnp.mean(values["loss"]) + 3 * logit, logit

    def discriminator_loss(discriminator, encoder):
        z = latents(encoder, x, noise(told[1]))
        other = jax.random.permutation(told[2], z[3:], axis=0, independent=True)
        right = jax.nn.log_sigmoid(dense(discriminator, z[:3]))
        return -jnp.mean(right + jax.nn.log_sigmoid(-dense(discriminator, other))) / 2

    @jax.jit
    def both(state):
        own = {name: params[name] for name in ("encoder", "decoder")}
        (loss, logit), gradient = jax.value_and_grad(vae_loss, has_aux=True)(own)
        told_loss, slope = jax.value_and_grad(discriminator_loss)(
            params["discriminator"], params["encoder"]
        )
        expected = jax.tree.map(lambda p, g: p - 0.25 * g, own, gradient)
        expected["discriminator"] = jax.tree.map(
            lambda p, g: p - 0.1 * g, params["discriminator"], slope
        )
        popular = jax.grad(discriminator_loss, 1)(params["discriminator"], params["encoder"])
        found = method.step(KEY, state, images(), hparams)
        return found, expected, (loss, logit, told_loss), popular

    (after, info), expected, figures, popular = both(state)
    chex.assert_trees_all_close(after.params, expected, rtol=1e-10)
    names = ("vae_loss", "vae_total_correlation", "discriminator_loss")
    np.testing.assert_allclose([info[name] for name in names], figures, rtol=1e-12)
    # with its latents attached the discriminator's loss would move the encoder as well
    assert np.max(np.abs(popular["Dense_0"]["kernel"])) > 0.01


def test_it_is_evaluated_as_a_vae_with_its_discriminators_logit():
    method, state = built(tc_weight=2.0)
    plain = methods.vae(nets.mlp(2 * SIZE, ()), nets.mlp(3, ()), SIZE)
    hparams = dict(method.hparams)

    @jax.jit
    def seen(state):
        both = [m.evaluate(KEY, state, images(), hparams) for m in (method, plain)]
        views = [
            (m.views.encode(state, images(), hparams), m.views.sample(KEY, state, 3, hparams))
            for m in (method, plain)
        ]
        return both, views

    (values, alone), views = seen(state)
    logit = values.pop("total_correlation")
    expected = {**alone, "loss": alone["loss"] + 2 * logit}
    chex.assert_trees_all_close(values, expected, rtol=1e-12)
    chex.assert_trees_all_equal(*views)
    z = latents(
        state.params["encoder"],
        images()["image"],
        jax.random.normal(jax.random.split(KEY, 3)[0], (12,), float).reshape(6, 2),
    )
    np.testing.assert_allclose(logit, dense(state.params["discriminator"], z)[:, 0], rtol=1e-10)


def test_defaults():
    method, _ = built()
    assert method.hparams == {
        "beta": 1.0,
        "tc_weight": 10.0,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 1e-4,
    }
    usual = methods.factor_vae(nets.mlp(4, ()), nets.mlp(3, ()), nets.mlp(1, ()), 2)
    named = built(
        optimizer=optax.scale_by_adam(), discriminator_optimizer=optax.scale_by_adam(0.5, 0.9)
    )[0]

    @jax.jit
    def steps(state):
        """Two: of the first one Adam's direction is a sign, whatever its numbers."""
        found = []
        for m in (usual, named):
            hparams = dict(m.hparams)
            first, _ = m.step(KEY, state, images(), hparams)
            found.append(m.step(jax.random.key(4), first, images(), hparams)[0].params)
        return found

    chex.assert_trees_all_equal(*steps(drawn(usual, images())))


def test_refuses():
    method, _ = built()
    # of one example in a half every permutation is that example
    for count in (1, 2, 3):
        with pytest.raises(InputError, match="of 2 examples at least: use a batch of 4 or more"):
            jax.eval_shape(method.init, KEY, images(count), dict(method.hparams))
    odd = jax.eval_shape(method.init, KEY, images(5), dict(method.hparams))
    assert odd.params["discriminator"]["Dense_0"]["kernel"].shape == (2, 1)
    method = methods.factor_vae(nets.mlp(4, ()), nets.mlp(3, ()), nets.mlp(2, ()), 2)
    networks = nets.mlp(4, ()), nets.mlp(3, ())
    for discriminator, options, message in (
        ("mlp", {}, "discriminator is 'mlp': use"),
        (nets.mlp(1), {"regularisers": None}, "regularisers is a NoneType: use"),
        (nets.mlp(1), {"importance_samples": 0}, "importance_samples is 0: use"),
        (nets.mlp(1), {"discriminator_optimizer": optax.sgd(1.0)}, "discriminator has a learning"),
    ):
        with pytest.raises(InputError, match=message):
            methods.factor_vae(*networks, discriminator, 2, **options)
    with pytest.raises(InputError, match=r"one logit, \[B, 1\], and gives"):
        jax.eval_shape(method.init, KEY, images(), dict(method.hparams))
