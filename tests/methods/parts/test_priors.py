"""Priors of latents, and which posteriors have their divergence from one in closed form."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import methods, nets, probability
from ae_jax.core import InputError, Network
from ae_jax.methods import hierarchies, posteriors, priors
from ae_jax.methods.parts.priors import closed_form
from ae_jax.probability import gaussian
from tests.methods.drawn import drawn_like

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(3)


def test_the_normal_one_is_standard():
    prior, z = priors.normal(), jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)))
    found = prior.log_prob(z, {}, {})
    np.testing.assert_array_equal(found, gaussian.log_prob(z, 0 * z, 0 * z))
    expected = jax.random.normal(KEY, (4, 3), float)
    np.testing.assert_array_equal(prior.sample(KEY, {}, (4, 3), {}), expected)
    assert (prior.standard, prior.support, prior.init) == (True, "plane", None)
    posterior = posteriors.gaussian()
    assert closed_form(posterior, prior) is posterior.kl_standard
    assert closed_form(posterior, priors.fixed(probability.priors.uniform())) is None


def test_a_fixed_density_is_as_it_was():
    ring, z = probability.priors.ring(4), jax.random.normal(KEY, (4, 2), float)
    prior = priors.fixed(ring)
    np.testing.assert_allclose(prior.log_prob(z, {}, {}), ring.log_prob(z), rtol=1e-12)
    np.testing.assert_array_equal(prior.sample(KEY, {}, (4, 2), {}), ring(KEY, (4, 2)))
    assert (prior.standard, prior.support) == (False, "plane")


def test_the_sphere_has_a_uniform_prior():
    z = priors.sphere().sample(KEY, {}, (50_000, 3), {})
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.mean(z, axis=0), 0, atol=4 / np.sqrt(3 * 50_000))
    np.testing.assert_allclose(np.cov(np.asarray(z).T), np.eye(3) / 3, atol=0.01)
    areas = {2: 1.83787706641, 3: 2.53102424697, 10: 3.23874277946, 50: -25.4733350713}
    for size, log_area in areas.items():
        found = priors.sphere().log_prob(jnp.zeros((2, size)), {}, {})
        np.testing.assert_allclose(found, -log_area, rtol=1e-10)
    assert (priors.sphere().standard, priors.sphere().support) == (True, "sphere")


def test_the_factorised_one_is_learned():
    prior = priors.factorised(components=3)
    own = prior.init(KEY, jnp.zeros((2, 5)), 2)
    assert {name: x.shape for name, x in own.items()} == dict.fromkeys(
        ("location", "log_scale", "logits"), (2, 3)
    )
    np.testing.assert_array_equal(own["location"], [[-1, 0, 1]] * 2)
    z, params = jnp.asarray([[0.0, 7.25], [-1.0, 2.0]]), {"prior": own, "encoder": {}}
    found = prior.log_prob(z, params, {})
    expected = probability.rounded_logistic.log_prob(z, *own.values())
    np.testing.assert_array_equal(found, expected)
    assert prior.sample(KEY, params, (4, 2), {}).shape == (4, 2)
    assert (prior.standard, prior.support) == (False, "plane")
    with pytest.raises(InputError, match="components is 0: use a whole number, 1 or more"):
        priors.factorised(0)


@pytest.mark.parametrize(("shape", "size"), [((2, 2, 1), 3), ((1, 2, 2), 2)])
def test_probabilities_of_all_codes_sum_to_one_and_are_those_of_samples(shape, size):
    network = nets.pixel_cnn(size, 4, 2, 1)
    prior = priors.autoregressive(network, shape)
    places, count = math.prod(shape), 20_000
    params = {"prior": drawn_like(jax.eval_shape(prior.init, KEY, jnp.zeros((1, *shape)), places))}
    every = np.array(list(itertools.product(range(size), repeat=places)))

    @jax.jit
    def found(params):
        drawn = prior.sample(KEY, params, (count, places), {})
        return jnp.exp(prior.log_prob(jnp.asarray(every), params, {})), drawn

    probability, drawn = map(np.asarray, found(params))
    np.testing.assert_allclose(probability.sum(), 1, rtol=1e-12)
    assert probability.max() > 4 * probability.min()
    weights = size ** np.arange(places)[::-1]
    frequency = np.bincount(drawn @ weights, minlength=len(every)) / count
    error = np.sqrt(probability * (1 - probability) / count)
    assert (np.abs(frequency - probability) < 5 * error + 1e-9).all()
    assert (prior.standard, prior.support) == (False, "codes")


def test_what_is_no_code_is_missed_by_nobody():
    prior = priors.autoregressive(nets.pixel_cnn(3, 2, 1, 1), (2, 1, 1))
    params = {"prior": prior.init(KEY, jnp.zeros((1, 2, 1, 1)), 2)}
    for dtype, strange in ((int, (-1, 3)), (float, (-1, 3, 0.5, np.nan))):
        codes = np.array([[2, 0], *([2, value] for value in strange)], dtype)
        nats = jax.jit(prior.log_prob)(jnp.asarray(codes), params, {})
        np.testing.assert_array_equal(np.isnan(nats), [False, *[True] * len(strange)])


def test_an_autoregressive_one_needs_a_network_and_a_shape():
    with pytest.raises(InputError, match=r"shape\[1\] is 0"):
        priors.autoregressive(nets.pixel_cnn(2), (2, 0, 1))
    with pytest.raises(InputError, match="network is the function pixel_cnn: call it"):
        priors.autoregressive(nets.pixel_cnn, (2, 2, 1))
    flat = Network(lambda key, x: {}, lambda params, x: jnp.zeros((len(x), 7)))
    prior = priors.autoregressive(flat, (2, 2, 1))
    method = methods.density_model(prior, (2, 2, 1))
    with pytest.raises(InputError, match=r"logits \[B, 2, 2, 1, K\] of codes, and gives \[3, 7\]"):
        traced(method, np.zeros((3, 2, 2, 1), int))


def traced(method, x, **entries):
    """A step of a method, which is not run."""
    batch, hparams = {"image": x, **entries}, dict(method.hparams)
    state = jax.eval_shape(method.init, KEY, batch, hparams)
    return jax.eval_shape(method.step, KEY, state, batch, hparams)


ENCODER, DECODER, X = nets.mlp(4, ()), nets.mlp(3, ()), np.zeros((2, 3))


def test_classes_of_several_factors_are_those_of_any_list():
    method = methods.vae(ENCODER, DECODER, 2, classes=[2, 3], prior=priors.by_class((2, 3)))
    traced(method, X, factors=np.zeros((2, 2), int))
    with pytest.raises(InputError, match=r"of \(3, 2\) classes, and the VAE is told \[2, 3\]"):
        methods.vae(ENCODER, DECODER, 2, classes=[2, 3], prior=priors.by_class((3, 2)))


@pytest.mark.parametrize("interval", [(1, 0), (0,), 5, (0, np.inf), (np.nan, 1), "01"])
def test_pseudo_inputs_stay_in_an_interval(interval):
    with pytest.raises(InputError, match=r"use \(low, high\) with low < high, or None"):
        priors.vamp(ENCODER, 3, interval=interval)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 1)])
def test_pseudo_inputs_begin_about_the_mean_image(low, high):
    """A tenth of the interval about it, and inside whatever is learned: they are logistic in it."""
    x = np.linspace(low, high, 12).reshape(4, 3)
    raw = priors.vamp(ENCODER, 20_000, interval=(low, high)).init(KEY, jnp.asarray(x), 2)
    shown = low + (high - low) / (1 + np.exp(-np.asarray(raw, float)))
    np.testing.assert_allclose(shown.mean(axis=0), x.mean(axis=0), atol=0.02 * (high - low))
    np.testing.assert_allclose(shown.std(axis=0), 0.1 * (high - low), rtol=0.05)


def test_a_vamp_prior_reads_the_encoder_of_its_vae():
    with pytest.raises(InputError, match="pseudo-inputs of a VampPrior do not have: use"):
        methods.vae(ENCODER, DECODER, 2, classes=3, prior=priors.vamp(ENCODER, 3))
    top = hierarchies.top_down((1, 1), features=1, top=priors.vamp(nets.mlp(2, ()), 3))
    with pytest.raises(InputError, match="pseudo-inputs of a VampPrior do not have: use"):
        methods.semi_supervised_vae(
            nets.mlp(3, ()),
            DECODER,
            nets.mlp(3, ()),
            2,
            3,
            posterior=top.posterior,
            prior=top.prior,
        )
    method = methods.vae(ENCODER, DECODER, 2, prior=priors.vamp(nets.mlp(4, (7,)), 3))
    with pytest.raises(InputError, match="the parameters of another network, or inputs"):
        traced(method, X)


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("concrete", 6, "prior is of 3 numbers, and is given 6"),
        ("concrete", 4, "posterior is of 6 numbers, and is given 4"),
        ("categorical", 6, "prior is of 3 numbers, and is given 6"),
        ("joint", 6, "prior is of 3 numbers, and is given 6"),
    ],
)
def test_prior_and_posterior_are_of_as_many_latents_as_there_are(kind, size, message):
    def made(part, variables):
        if kind == "joint":
            return part.joint(own=part.concrete(3, variables))
        return getattr(part, kind)(3, variables)

    with pytest.raises(InputError, match=message):
        methods.vae(
            nets.mlp(size, ()), DECODER, size, posterior=made(posteriors, 2), prior=made(priors, 1)
        )
