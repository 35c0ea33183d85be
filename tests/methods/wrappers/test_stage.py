"""What stands on a frozen encoder sees latents, and its views come back to data space."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import methods, nets
from ae_jax.core import POSITIVE, InputError, Method, Network, Views

KEY = jax.random.key(0)
START = {"encoder": jnp.asarray(3.0), "decoder": jnp.asarray(10.0)}


class Inner(NamedTuple):
    image: jax.Array
    optimizer: tuple = (1,)


def recorder(views=True):
    """A method that keeps and evaluates what it is shown, and decodes by adding 1."""

    def conclude(values, present, hparams):
        return {"whole": jnp.sum(values["seen"])}

    shown = Views(
        encode=lambda state, batch, hparams: batch["image"],
        decode=lambda state, latent, hparams: latent + 1,
        reconstruct=lambda state, batch, hparams: batch["image"] + 2,
        predict=lambda state, batch, hparams: batch["image"] + 3,
        sample=lambda key, state, count, hparams: jnp.full((count, 1), 5.0),
    )
    return Method(
        hparams={"rate": 0.5},
        domains={"rate": POSITIVE},
        init=lambda key, batch, hparams: Inner(batch["image"]),
        step=lambda key, state, batch, hparams: (
            state._replace(image=batch["image"]),
            {"loss": hparams["rate"]},
        ),
        evaluate=lambda key, state, batch, hparams: {"seen": batch["image"][:, 0]},
        views=shown if views else Views(),
        conclude=conclude,
        inference=lambda state: state._replace(optimizer=()),
    )


def times():
    """x times its parameter, which is a random number in [0, 1) at first."""
    return Network(lambda key, x: jax.random.uniform(key), lambda params, x: params * x)


def batch(level):
    return {"image": jnp.full((2, 1), level), "label": jnp.arange(2)}


def test_the_method_sees_latents_wherever_it_sees_images():
    method = methods.stage(times(), recorder(), times())
    assert (method.hparams, method.domains) == ({"rate": 0.5}, {"rate": POSITIVE})
    state = method.init(KEY, batch(2.0), method.hparams, START)
    np.testing.assert_array_equal(state.method.image, np.full((2, 1), 6.0))
    after, info = method.step(KEY, state, batch(4.0), method.hparams)
    np.testing.assert_array_equal(after.method.image, np.full((2, 1), 12.0))
    assert info == {"loss": 0.5}
    chex.assert_trees_all_equal(after.frozen, START)
    values = method.evaluate(KEY, state, batch(5.0), method.hparams)
    np.testing.assert_array_equal(values["seen"], [15, 15])
    assert method.conclude(values, jnp.ones(2, bool), method.hparams) == {"whole": 30}
    kept = method.inference(state)
    assert kept.method.optimizer == ()
    chex.assert_trees_all_equal(kept.frozen, START)


def test_views_come_back_through_the_decoder():
    method = methods.stage(times(), recorder(), times())
    state = method.init(KEY, batch(2.0), method.hparams, START)
    views, hparams = method.views, method.hparams
    np.testing.assert_array_equal(views.encode(state, batch(2.0), hparams), np.full((2, 1), 6.0))
    # (1 + 1) * 10, (3 * 2 + 2) * 10, 5 * 10
    np.testing.assert_array_equal(views.decode(state, jnp.ones((2, 1)), hparams), [[20], [20]])
    np.testing.assert_array_equal(views.reconstruct(state, batch(2.0), hparams), [[80], [80]])
    np.testing.assert_array_equal(views.sample(KEY, state, 2, hparams), [[50], [50]])
    # what is predicted of a latent stays as it is
    np.testing.assert_array_equal(views.predict(state, batch(2.0), hparams), np.full((2, 1), 9.0))
    alone = methods.stage(times(), recorder()).views
    assert None not in (alone.encode, alone.predict)
    assert alone.decode is alone.reconstruct is alone.sample is None
    assert methods.stage(times(), recorder(views=False), times()).views == Views()


def test_parts_that_are_not_given_are_random():
    method = methods.stage(times(), recorder(), times())
    state = method.init(KEY, batch(2.0), method.hparams)
    assert 0 < state.frozen["encoder"] < 1
    assert state.frozen["encoder"] != state.frozen["decoder"]
    given = method.init(KEY, batch(2.0), method.hparams, {"encoder": START["encoder"]})
    assert given.frozen == {**state.frozen, "encoder": START["encoder"]}
    with pytest.raises(InputError, match="do not fit the encoder"):
        method.init(KEY, batch(2.0), method.hparams, {"encoder": jnp.ones(2)})
    below = methods.stage(nets.mlp(3, ()), methods.autoencoder(nets.mlp(2, ()), nets.mlp(3, ())))
    with pytest.raises(InputError, match="do not fit the decoder"):
        below.init(KEY, batch(2.0), below.hparams, {"decoder": jnp.ones(2)})


def test_the_method_may_see_draws_of_a_posterior():
    encoder = methods.posteriors.encoding(nets.mlp(2, ()), 1)
    decoder = methods.observations.decoding(nets.mlp(1, ()), methods.observations.bernoulli())
    method = methods.stage(encoder, recorder(), decoder, noisy=True)
    layers = {"kernel": jnp.asarray([[1.0, 0.0]]), "bias": jnp.asarray([0.0, np.log(4.0)])}
    out = {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}
    start = {"encoder": {"Dense_0": layers}, "decoder": {"Dense_0": out}}
    shown = {"image": jnp.full((500, 1), 3.0)}
    state = method.init(KEY, shown, method.hparams, start)
    after, _ = jax.jit(method.step)(KEY, state, shown, method.hparams)
    again, _ = jax.jit(method.step)(jax.random.key(1), state, shown, method.hparams)
    evaluated = method.evaluate(KEY, state, shown, method.hparams)["seen"][:, None]
    for seen in (after.method.image, evaluated):
        np.testing.assert_allclose(seen.mean(), 3, atol=0.3)
        np.testing.assert_allclose(seen.std(), 2, rtol=0.1)  # the means alone do not differ
    assert np.all(again.method.image != after.method.image)
    in_training = methods.stage(encoder, recorder(), noisy="training")
    same, _ = jax.jit(in_training.step)(KEY, state, shown, method.hparams)
    np.testing.assert_array_equal(same.method.image, after.method.image)
    evaluated = in_training.evaluate(KEY, state, shown, method.hparams)["seen"]
    np.testing.assert_array_equal(evaluated, np.full(500, 3.0))
    np.testing.assert_array_equal(method.views.encode(state, shown, method.hparams), 3)
    made = method.views.decode(state, jnp.ones((2, 1)), method.hparams)
    np.testing.assert_allclose(made, 1 / (1 + np.exp(-2.0)), rtol=1e-5)
    for other in (
        lambda: methods.stage(nets.mlp(2), recorder(), noisy=True),
        lambda: methods.stage(encoder, recorder(), shown=methods.shown.entry(), noisy=True),
    ):
        with pytest.raises(InputError, match="need an encoder with a noisy pass and images"):
            other()
    with pytest.raises(InputError, match="noisy is 'always': use training, or True"):
        methods.stage(encoder, recorder(), noisy="always")


def test_the_method_sees_latents_of_what_is_shown_beside_those_of_what_is_there():
    def told(key, batch, hparams):
        return batch["image"] + hparams["rise"] + jax.random.uniform(key)

    def seen(state, batch, hparams):
        return batch["shown"]

    part = methods.shown.Shown(
        lambda batch, hparams: batch["image"] + 0.5, told, {"rise": 2.0}, {"rise": POSITIVE}
    )
    inner = recorder()._replace(
        step=lambda key, state, batch, hparams: (batch, {"key": jax.random.uniform(key)}),
        evaluate=lambda key, state, batch, hparams: batch,
        views=Views(encode=seen),
    )
    method = methods.stage(times(), inner, shown=part)
    assert method.hparams == {"rate": 0.5, "rise": 2.0}
    assert method.domains == {"rate": POSITIVE, "rise": POSITIVE}
    state = method.init(KEY, batch(2.0), method.hparams, {"encoder": START["encoder"]})
    own, drawing = jax.random.split(KEY)
    noisy = np.full((2, 1), 3 * (4 + 2 + jax.random.uniform(drawing)))
    after, info = method.step(KEY, state, batch(4.0), method.hparams)
    values = method.evaluate(KEY, state, batch(4.0), method.hparams)
    for found in (after.method, values):
        np.testing.assert_array_equal(found["image"], np.full((2, 1), 13.5))  # 3 (4 + 1/2)
        np.testing.assert_allclose(found["shown"], noisy, rtol=1e-6)
    assert info["key"] == jax.random.uniform(own)
    latent = method.views.encode(state, batch(4.0), method.hparams)
    np.testing.assert_array_equal(latent, np.full((2, 1), 13.5))
    other = methods.stage(times(), inner, shown=methods.shown.entry("other"))
    found = other.evaluate(KEY, state, {**batch(4.0), "other": jnp.ones((2, 1))}, other.hparams)
    np.testing.assert_array_equal(found["image"], np.full((2, 1), 12.0))
    np.testing.assert_array_equal(found["shown"], np.full((2, 1), 3.0))
    with pytest.raises(InputError, match="share the hyperparameter rate"):
        methods.stage(times(), inner, shown=part._replace(hparams={"rate": 1.0}))
