"""A density that is fitted: to examples, and to the latents of a frozen encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import data, methods, nets, training
from ae_jax.core import InputError
from ae_jax.methods import flows, priors
from tests.methods.drawn import drawn

KEY = jax.random.key(0)


def test_an_affine_density_reaches_the_best_gaussian(x64):
    # one autoregressive step without hidden layers: a Gaussian with any covariance
    flow = flows.masked_autoregressive(1, ())
    method = methods.density_model(priors.flow(flow), 2, learning_rate=0.05)
    x = np.random.default_rng(0).normal(size=(400, 2)) @ np.array([[1.5, 0.4], [0.0, 0.6]]) + 1
    batch, hparams = {"image": jnp.asarray(x)}, dict(method.hparams)
    state = method.init(KEY, batch, hparams)

    @jax.jit
    def fitted(state):
        return jax.lax.scan(
            lambda state, key: (method.step(key, state, batch, hparams)[0], None),
            state,
            jax.random.split(KEY, 600),
        )[0]

    state = fitted(state)
    loss = np.mean(method.evaluate(KEY, state, batch, hparams)["loss"])
    covariance = np.cov(x.T, bias=True)
    best = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    # the log-scale of an affine step may depend on what was before: it is a little better
    assert best - 0.02 < loss < best + 0.001
    nats = method.views.log_likelihood(KEY, state, batch, hparams)
    np.testing.assert_allclose(-np.mean(nats), loss, rtol=1e-12)
    sample = np.asarray(method.views.sample(KEY, state, 20_000, hparams))
    np.testing.assert_allclose(sample.mean(axis=0), x.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(sample.T), covariance, rtol=0.15, atol=0.05)


def test_in_a_stage_it_is_of_latents_and_its_samples_are_decoded():
    encoder, decoder = nets.mlp(2, ()), nets.mlp((3, 1, 1), ())
    inner = methods.density_model(priors.flow(flows.coupling(2, (4,))), 2)
    method = methods.stage(encoder, inner, decoder)
    batch = {"image": jax.random.uniform(KEY, (5, 3, 1, 1))}
    hparams = dict(method.hparams)
    state = method.init(KEY, batch, hparams)
    loss = method.evaluate(KEY, state, batch, hparams)["loss"]
    z = encoder.apply(state.frozen["encoder"], batch["image"])
    np.testing.assert_allclose(
        loss, inner.evaluate(KEY, state.method, {"image": z}, hparams)["loss"]
    )
    sample = method.views.sample(KEY, state, 4, hparams)
    latent = inner.views.sample(KEY, state.method, 4, hparams)
    np.testing.assert_allclose(sample, decoder.apply(state.frozen["decoder"], latent))
    assert sample.shape == (4, 3, 1, 1)


def test_a_step_descends_by_the_mean_gradient(x64):
    prior = priors.flow(flows.masked_autoregressive(2, (3,), activation="tanh"))
    method = methods.density_model(prior, (2,), optimizer=optax.identity(), learning_rate=0.5)
    batch = {"image": jax.random.normal(KEY, (4, 2))}
    state, hparams = drawn(method, batch), dict(method.hparams)
    after, info = jax.jit(method.step)(KEY, state, batch, hparams)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        return -jnp.mean(prior.log_prob(batch["image"], params, {}))

    value, slope = loss(state.params)
    np.testing.assert_allclose(info["loss"], value, rtol=1e-12)
    for old, new, own in zip(
        *map(jax.tree.leaves, (state.params, after.params, slope)), strict=True
    ):
        np.testing.assert_allclose(new, old - 0.5 * own, rtol=1e-10, atol=1e-14)


def test_refuses():
    with pytest.raises(InputError, match="has nothing to learn"):
        methods.density_model(priors.normal(), 2)
    with pytest.raises(InputError, match=r"shape\[0\] is 0"):
        methods.density_model(priors.factorised(), 0)
    method = methods.density_model(priors.factorised(), (2, 2))
    with pytest.raises(InputError, match=r"of examples \[2, 2\] is shown \[3, 4\]"):
        method.init(KEY, {"image": jnp.zeros((3, 4))}, dict(method.hparams))
    for prior in (priors.vamp(nets.mlp(4, ())), priors.by_class(3)):
        with pytest.raises(InputError, match="neither an encoder nor classes to be told"):
            methods.density_model(prior, 2)
    with pytest.raises(InputError, match=r"shape\[0\] is 4.0: use a whole number"):
        methods.density_model(priors.factorised(), 4.0)


@pytest.mark.parametrize("shape", [(4, 4, 1), (2, 1, 1), 16])
def test_codes_of_another_shape_are_not_cut_to_fit(shape):
    # they were told apart by nothing, and pieces of examples taken for examples
    prior = priors.autoregressive(nets.pixel_cnn(2, 2, 1), (2, 2, 1))
    with pytest.raises(InputError, match="density is of 4 numbers, and is given"):
        methods.density_model(prior, shape)


def test_grey_images_are_no_codes():
    # they were rounded towards 0
    shape = (2, 2, 1)
    method = methods.density_model(
        priors.autoregressive(nets.pixel_cnn(2, 2, 1), shape), shape, learning_rate=0.1
    )
    grey = data.stored(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, *shape))
    with pytest.raises(InputError, match=r"training data have image 0\.0666"):
        training.run(method, grey, [{"seed": 0}], 1, batch_size=2)
    drawn = methods.prepared(method, methods.binarized)
    for binary in ((method, data.binarized(grey)), (drawn, grey)):
        training.run(*binary, [{"seed": 0}], 1, batch_size=2, dry=True)
