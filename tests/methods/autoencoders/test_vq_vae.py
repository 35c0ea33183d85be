"""A quantised autoencoder: its step, what it reports and its views, and a stage on its codes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import observations, priors, quantisers
from tests.methods.drawn import drawn, drawn_like

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(1).uniform(size=(5, 2, 2, 1))
#: Of two places, two numbers each.
PLACES = (2, 1, 2)


def linear(quantiser, **options):
    """Of networks without hidden layers, descended by the gradient itself."""
    options = {"optimizer": optax.identity(), "learning_rate": 0.1} | options
    networks = nets.mlp(PLACES, ()), nets.mlp((2, 2, 1), ())
    return methods.vq_vae(*networks, PLACES, quantiser=quantiser, **options)


def batch(images=IMAGES):
    return {"image": jnp.asarray(images)}


def prepared(method, batch):
    state = drawn(method, batch)
    own = state.params["quantiser"]
    if "counts" in own:
        counts = jnp.asarray(np.random.default_rng(2).uniform(0.5, 2, own["counts"].shape))
        own = own | {"counts": counts}
    return state._replace(params=state.params | {"quantiser": own})


@pytest.mark.parametrize("ema", [True, False])
def test_a_step_is_that_of_the_definition(x64, ema):
    method = linear(
        quantisers.codebook(3, ema=ema, commitment=0.3, **({"decay": 0.8} if ema else {}))
    )
    state, hparams = prepared(method, batch()), dict(method.hparams)
    after, info = jax.jit(method.step)(KEY, state, batch(), hparams)

    layers = {name: state.params[name]["Dense_0"] for name in ("encoder", "decoder")}
    enc, dec = (jax.tree.map(np.asarray, layers[name]) for name in ("encoder", "decoder"))
    x, book = IMAGES.reshape(5, 4), np.asarray(state.params["quantiser"]["codebook"])[0]
    z = (x @ enc["kernel"] + enc["bias"]).reshape(-1, 2)  # ten places
    codes = np.argmin(np.sum((z[:, None] - book[None]) ** 2, axis=2), axis=1)
    quantised = book[codes]
    out = quantised.reshape(5, 4) @ dec["kernel"] + dec["bias"]
    error, distance = np.sum((out - x) ** 2), np.sum((z - quantised) ** 2)
    weight = 0.3 + (not ema)
    np.testing.assert_allclose(info["loss"], (error + weight * distance) / 5, rtol=1e-12)
    np.testing.assert_allclose(info["reconstruction"], error / 5, rtol=1e-12)
    np.testing.assert_allclose(info["quantisation"], weight * distance / 5, rtol=1e-12)
    assert info["codes_used"] == len(set(codes))

    slope_out = 2 * (out - x) / 5
    # straight through: the decoder's slope at the code, and that of the commitment
    slope_z = slope_out @ dec["kernel"].T + (0.6 * (z - quantised) / 5).reshape(5, 4)
    expected = {
        "decoder": {"kernel": quantised.reshape(5, 4).T @ slope_out, "bias": slope_out.sum(axis=0)},
        "encoder": {"kernel": x.T @ slope_z, "bias": slope_z.sum(axis=0)},
    }
    for name, slopes in expected.items():
        for part, slope in slopes.items():
            new, old = after.params[name]["Dense_0"][part], layers[name][part]
            np.testing.assert_allclose(new, old - 0.1 * slope, rtol=1e-10, err_msg=name)

    chosen, own = np.eye(3)[codes], after.params["quantiser"]
    if ema:
        before = np.asarray(state.params["quantiser"]["counts"])[0]
        counts = 0.8 * before + 0.2 * chosen.sum(axis=0)
        sums = 0.8 * before[:, None] * book + 0.2 * chosen.T @ z
        np.testing.assert_allclose(own["counts"][0], counts, rtol=1e-12)
        np.testing.assert_allclose(own["codebook"][0], sums / counts[:, None], rtol=1e-10)
    else:
        slope = chosen.T @ (2 * (quantised - z)) / 5
        np.testing.assert_allclose(own["codebook"][0], book - 0.1 * slope, rtol=1e-10)


def test_the_loss_does_not_depend_on_the_size_of_the_batch(x64):
    method = linear(quantisers.codebook(3, 2, ema=False))
    state, hparams = prepared(method, batch()), dict(method.hparams)
    step = jax.jit(method.step)
    (one, told), (two, told_twice) = (
        step(KEY, state, batch(np.concatenate([IMAGES] * times)), hparams) for times in (1, 2)
    )
    for own, other in zip(
        *map(jax.tree.leaves, ((one.params, told), (two.params, told_twice))), strict=True
    ):
        np.testing.assert_allclose(own, other, rtol=1e-10)


def affine(params, x):
    """A network without hidden layers, of examples as vectors."""
    layer = jax.tree.map(np.asarray, params["Dense_0"])
    return x.reshape(len(x), -1) @ layer["kernel"] + layer["bias"]


def log_bernoulli(logits, bits):
    """log p(x) of each of some images [N, ...], by each row of logits [M, D]: [M, N]."""
    signs = 1 - 2 * bits.reshape(1, len(bits), -1)
    return -np.logaddexp(0, signs * logits[:, None]).sum(axis=2)


def test_without_a_commitment_it_is_the_reconstruction_alone_and_averages_have_no_moments():
    method = linear(quantisers.codebook(3, commitment=0.0), optimizer=optax.scale_by_adam())
    state = drawn(method, batch())
    values = jax.jit(method.evaluate)(KEY, state, batch(), dict(method.hparams))
    np.testing.assert_array_equal(values["loss"], values["reconstruction"])
    assert state.optimizer.mu["quantiser"] == {"codebook": None, "counts": None}


def test_views_and_figures_of_a_whole(x64):
    method = linear(quantisers.finite_scalar((3, 2)), reconstruction=observations.bernoulli())
    bits = (IMAGES > 0.5).astype(float)
    state, hparams = drawn(method, batch(bits), scale=1.5), dict(method.hparams)
    views, present = method.views, jnp.arange(5) < 3

    @jax.jit
    def found(state):
        latent = views.encode(state, batch(bits), hparams)
        values = method.evaluate(KEY, state, batch(bits), hparams)
        return {
            "latent": latent,
            "decoded": views.decode(state, latent, hparams),
            "reconstructed": views.reconstruct(state, batch(bits), hparams),
            "values": values,
            "whole": method.conclude(values, present, hparams),
            "said": views.log_likelihood(KEY, state, batch(bits), hparams),
            "sample": views.sample(KEY, state, 50, hparams),
        }

    found = jax.tree.map(np.asarray, found(state))
    z = np.tanh(affine(state.params["encoder"], bits)).reshape(5, 2, 2)
    digits = np.round((z + 1) * np.array([1, 0.5]))
    latent = (digits * np.array([1, 2]) - 1).reshape(5, 4)
    codes = (digits @ np.array([1, 3])).astype(int)
    np.testing.assert_allclose(found["latent"], latent, atol=1e-12)
    np.testing.assert_array_equal(found["values"]["codes"].reshape(5, 2), codes)
    logits = affine(state.params["decoder"], latent)
    images = 1 / (1 + np.exp(-logits.reshape(bits.shape)))
    for name in ("decoded", "reconstructed"):
        np.testing.assert_allclose(found[name], images, rtol=1e-10)
    shares = np.bincount(codes[:3].ravel(), minlength=6) / 6
    entropy = -sum(share * np.log(share) for share in shares if share)
    assert found["whole"].keys() == {"perplexity", "codes_used"}
    np.testing.assert_allclose(found["whole"]["perplexity"], np.exp(entropy), rtol=1e-10)
    assert found["whole"]["codes_used"] == (shares > 0).sum()

    # log p(x) = log sum over all codes of p(c) p(x | c) is never below what the views say of it
    values = np.array([[x, y] for y in (-1, 1) for x in (-1, 0, 1)])
    every = np.array([[*a, *b] for a, b in itertools.product(values, repeat=2)])
    logits = affine(state.params["decoder"], every)
    nats = log_bernoulli(logits, bits)
    assert (found["said"] <= np.log(np.mean(np.exp(nats), axis=0)) + 1e-12).all()
    own = nats[codes @ np.array([6, 1]), np.arange(5)]
    np.testing.assert_allclose(found["said"], own - 2 * np.log(6), rtol=1e-10)
    # a sample is one of the 36 images that there are
    gaps = np.abs(found["sample"].reshape(50, 1, 4) - 1 / (1 + np.exp(-logits))[None]).max(axis=2)
    assert gaps.min(axis=1).max() < 1e-12
    assert len(set(gaps.argmin(axis=1))) > 10
    assert linear(quantisers.codebook(2)).views.log_likelihood is None


def test_a_stage_on_codes_bounds_the_likelihood_and_decodes_its_samples(x64):
    quantiser, likelihood = quantisers.codebook(3), observations.bernoulli()
    networks = nets.mlp(PLACES, ()), nets.mlp((2, 2, 1), ())
    method = linear(quantiser, reconstruction=likelihood)
    trained = drawn(method, batch(), scale=1.0).params
    coding = quantisers.coding(*networks, quantiser, PLACES)
    prior = priors.autoregressive(nets.pixel_cnn(3, 2, 1, 1), (2, 1, 1))
    inner = methods.density_model(prior, (2, 1, 1))
    second = methods.stage(coding.encoder, inner, coding.decoder, likelihood=likelihood)
    hparams, bits = dict(second.hparams), (IMAGES > 0.5).astype(float)
    state = jax.eval_shape(second.init, KEY, batch(bits), hparams, coding.parts(trained))
    frozen, own = coding.parts(trained), drawn_like(state.method.params, 1.0)
    state = state._replace(frozen=frozen, method=state.method._replace(params=own))
    every = np.array(list(itertools.product(range(3), repeat=2)))

    @jax.jit
    def found(state):
        codes = {"image": jnp.asarray(every).reshape(-1, 2, 1, 1)}
        return {
            "loss": second.evaluate(KEY, state, batch(bits), hparams)["loss"],
            "said": second.views.log_likelihood(KEY, state, batch(bits), hparams),
            "prior": inner.views.log_likelihood(KEY, state.method, codes, hparams),
            "below": inner.views.sample(KEY, state.method, 6, hparams),
            "sample": second.views.sample(KEY, state, 6, hparams),
        }

    found = jax.tree.map(np.asarray, found(state))
    book = np.asarray(trained["quantiser"]["codebook"])[0]
    z = affine(trained["encoder"], bits).reshape(5, 2, 1, 2)
    codes = np.argmin(np.sum((z - book) ** 2, axis=3), axis=2)
    place = codes @ np.array([3, 1])
    np.testing.assert_allclose(found["loss"], -found["prior"][place], rtol=1e-10)
    logits = affine(trained["decoder"], book[every])
    joint = found["prior"][:, None] + log_bernoulli(logits, bits)
    np.testing.assert_allclose(found["said"], joint[place, np.arange(5)], rtol=1e-10)
    assert (found["said"] <= np.log(np.exp(joint).sum(axis=0)) + 1e-12).all()
    drawn_images = 1 / (1 + np.exp(-affine(trained["decoder"], book[found["below"].reshape(6, 2)])))
    np.testing.assert_allclose(found["sample"].reshape(6, 4), drawn_images, rtol=1e-10)


def test_refuses():
    networks = nets.mlp(4, ()), nets.mlp((2, 2, 1), ())
    with pytest.raises(InputError, match=r"^quantiser is the function codebook: call it"):
        methods.vq_vae(*networks, 4, quantiser=quantisers.codebook)
    with pytest.raises(InputError, match=r"latent_shape\[0\] is 0: use a whole number, 1 or more"):
        methods.vq_vae(*networks, 0)
    method = methods.vq_vae(*networks, (2, 2))
    with pytest.raises(InputError, match=r"must give latents \[B, 2, 2\], and gives \[5, 4\]"):
        method.init(KEY, batch(), dict(method.hparams))
    method = methods.vq_vae(networks[0], nets.mlp(3, ()), 4)
    with pytest.raises(InputError, match=r"the decoder makes \[5, 3\]"):
        method.init(KEY, batch(), dict(method.hparams))
    above = methods.density_model(priors.factorised(), 4)
    given = {"likelihood": observations.bernoulli()}
    with pytest.raises(InputError, match="a likelihood is what a decoder's outputs say"):
        methods.stage(networks[0], above, **given)
    method = methods.stage(networks[0], above, networks[1], **given)
    with pytest.raises(InputError, match="the latents of a stage are codes, whole numbers"):
        method.init(KEY, batch(), dict(method.hparams))
    codes = priors.autoregressive(nets.pixel_cnn(2), (2, 2, 1))
    with pytest.raises(InputError, match="needs a prior there, and this one is on the codes"):
        methods.vae(nets.mlp(8, ()), networks[1], 4, prior=codes)
