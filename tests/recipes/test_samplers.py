"""Densities of codes against NumPy, SciPy and scikit-learn, and what is decoded of their draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from ae_jax import data, methods, nets, training
from ae_jax.core import InputError, Method, Views
from ae_jax.methods import flows, observations, posteriors
from ae_jax.methods import priors as prior_parts
from ae_jax.probability import priors
from ae_jax.recipes import samplers
from tests.methods.drawn import drawn

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
CODES = np.random.default_rng(0).normal(size=(80, 2)) @ np.array([[1.5, 0.4], [0.0, 0.6]]) + 1
PLACES = np.random.default_rng(1).normal(size=(5, 2)) + 1
COUNT = 4000


def nats(density, z):
    return np.asarray(jax.jit(density.log_prob)(jnp.asarray(z)))


def draws(density, size=2):
    return np.asarray(jax.jit(density.draw, static_argnums=1)(KEY, (COUNT, size)))


def test_a_gaussian_has_the_mean_and_covariance_of_the_codes(x64):
    density = samplers.gaussian(CODES)
    mean, covariance = CODES.mean(axis=0), np.cov(CODES.T, bias=True)
    expected = stats.multivariate_normal(mean, covariance)
    np.testing.assert_allclose(nats(density, PLACES), expected.logpdf(PLACES), rtol=1e-12)
    z = draws(density)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=4 * 1.5 / np.sqrt(COUNT))
    np.testing.assert_allclose(np.cov(z.T), covariance, rtol=0.15)
    wider = stats.multivariate_normal(mean, covariance + 0.5 * np.eye(2))
    found = nats(samplers.gaussian(CODES, ridge=0.5), PLACES)
    np.testing.assert_allclose(found, wider.logpdf(PLACES), rtol=1e-12)


def test_a_mixture_is_scikit_learns(x64):
    apart = np.concatenate([CODES, [6, -3] + 0.3 * CODES[:40]])
    density = samplers.gaussian_mixture(apart, 2, seed=3)
    mixture = GaussianMixture(2, random_state=3).fit(apart)
    assert np.ptp(mixture.weights_) > 0.2
    np.testing.assert_allclose(
        nats(density, 3 * PLACES), mixture.score_samples(3 * PLACES), rtol=1e-10
    )
    near = draws(density) @ [1, -1] > 4  # the second, but for a share that is 0
    np.testing.assert_allclose(near.mean(), 1 / 3, atol=4 * 0.47 / np.sqrt(COUNT))
    # of one component it is the Gaussian, without any iteration
    one = nats(samplers.gaussian_mixture(CODES, 1), PLACES)
    np.testing.assert_allclose(one, nats(samplers.gaussian(CODES, 1e-6), PLACES), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_step_of_expectation_maximisation_is_that_of_the_table(x64):
    i, j = np.arange(9)[:, None], np.arange(2)[None]
    x = np.sin(1 + 0.9 * i + 1.7 * j) * (1 + 0.3 * j) + 2 * (i % 3 == 0)
    start = (
        np.array([0.4, 0.6]),
        np.array([[1.0, 1.0], [-0.5, 0.2]]),
        np.array([[[1.0, 0.2], [0.2, 0.8]], [[0.7, -0.1], [-0.1, 1.1]]]),
    )
    after = (
        [0.532597579207, 0.467402420793],
        [[1.57197340759, 1.40040567114], [0.0633156639772, -0.178836932199]],
        [
            [[0.863738566983, 0.979761072179], [0.979761072179, 1.97839851589]],
            [[0.669001845149, -0.332270139205], [-0.332270139205, 0.662895148319]],
        ],
    )
    # what the sampler runs, for one step from there
    weights, means, covariances = start
    found = GaussianMixture(
        2,
        max_iter=1,
        reg_covar=0,
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
    ).fit(x)
    for own, expected in zip(
        (found.weights_, found.means_, found.covariances_), after, strict=True
    ):
        np.testing.assert_allclose(own, expected, rtol=1e-9)
    likelier = [nats(priors.correlated_mixture(*own), x).mean() for own in (start, after)]
    np.testing.assert_allclose(likelier, [-3.45673068097, -2.760013667], rtol=1e-9)


def test_a_kernel_density_is_as_wide_as_left_out_codes_are_likeliest(x64):
    codes, widths = CODES[:, :1], [0.02, 0.2, 0.4, 3.0]
    density = samplers.kernel_density(codes, widths)
    grid = np.linspace(-15, 15, 6001)
    found = nats(density, grid[:, None])
    np.testing.assert_allclose(np.sum(np.exp(found)) * 0.005, 1, rtol=1e-9)
    expected = {
        width: KernelDensity(bandwidth=width).fit(codes).score_samples(grid[::1000, None])
        for width in widths
    }
    (chosen,) = [w for w, own in expected.items() if np.allclose(own, found[::1000], rtol=1e-9)]
    # of the codes that it is made of, the narrowest makes the most
    seen = {w: KernelDensity(bandwidth=w).fit(codes).score(codes) for w in widths}
    assert max(seen, key=seen.get) == 0.02 < chosen < 3
    assert (density.classes, density.centres) == (0, None)
    # by default about as wide as Scott's rule says of a Gaussian
    spread = draws(samplers.kernel_density(CODES))
    scott = CODES.var(axis=0).mean() * 80 ** (-1 / 3)
    added = (np.var(spread, axis=0) - np.var(CODES, axis=0)).mean()
    assert scott / 64 < added < 4 * scott


def test_kernels_are_drawn_of_many_codes(monkeypatch):
    monkeypatch.setattr(samplers, "KERNELS", 20)
    density = samplers.kernel_density(CODES, [1e-3], folds=2)
    z = draws(density)
    apart = np.linalg.norm(z[:, None] - CODES[None], axis=2).argmin(axis=1)
    assert len(np.unique(apart)) == 20


def test_codes_on_a_sphere_are_uniform_there():
    density = samplers.sphere(CODES / np.linalg.norm(CODES, axis=1, keepdims=True))
    np.testing.assert_allclose(nats(density, PLACES), -np.log(2 * np.pi), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(draws(density), axis=1), 1, rtol=1e-5)
    with pytest.raises(InputError, match="long, and not on the unit sphere"):
        samplers.sphere(CODES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: samplers.gaussian(CODES[0]), r"codes are \[N, Z\], got \[2\]"),
        (lambda: samplers.gaussian(CODES[:1]), "a Gaussian needs 2 codes that differ, and of 1"),
        (lambda: samplers.gaussian(CODES[:, [0, 0]]), "vary in 1 of 2 directions only"),
        (
            lambda: samplers.gaussian_mixture(np.where(CODES > 3, np.nan, CODES)),
            "of 80 codes are not finite",
        ),
        (lambda: samplers.gaussian_mixture(CODES[:5], 6), "6 components needs 6 codes that differ"),
        (lambda: samplers.gaussian_mixture(0 * CODES, 3), "of 80 there are 1"),
        (lambda: samplers.gaussian_mixture(CODES, 0), "components is 0"),
        (
            lambda: samplers.gaussian_mixture(CODES[:3], 3, ridge=0.0),
            "has shrunk to no density: use fewer components, or a larger ridge",
        ),
        (lambda: samplers.kernel_density(CODES[:4]), "5 folds needs 5 codes that differ"),
        (lambda: samplers.kernel_density(CODES, [0.1, 0.0]), r"bandwidths are \[0.1, 0.0\]: use"),
        (lambda: samplers.kernel_density(CODES, 0.5), "bandwidths are 0.5: use a list"),
        (lambda: samplers.kernel_density(CODES, [np.inf]), r"bandwidths are \[inf\]: use a list"),
        (lambda: samplers.kernel_density(CODES, seed=-1), "seed is -1: use a whole number"),
        (lambda: samplers.gaussian_mixture(CODES, 2, seed=-1), "seed is -1: use a whole number"),
        (lambda: samplers.gaussian(CODES * 1e30), "codes are up to .*30 from 0: scale what makes"),
        (lambda: samplers.gaussian(CODES.astype(str)), r"codes are numbers \[N, Z\], got <U"),
        (lambda: samplers.gaussian(CODES).log_prob(jnp.zeros((3, 5))), "use latents of size 2"),
        (
            lambda: samplers.kernel_density(CODES).log_prob(jnp.zeros((3, 1))),
            "use latents of size 2, not 1",
        ),
        (lambda: samplers.trained(CODES, samplers.gaussian(CODES)), "method is a Prior: use what"),
        (
            lambda: samplers.trained(CODES, samplers.second_stage(2), learning_rate=[0.1, 0.2]),
            r"learning_rate is \[0.1, 0.2\]: use more than 0",
        ),
        (lambda: samplers.kernel_density(CODES, folds=1), "folds is 1: use a whole number, 2"),
        (lambda: samplers.gaussian(CODES)(KEY, (3, 5)), "has 2 dimensions: use latents of size 2"),
        (
            lambda: samplers.trained(CODES, methods.autoencoder(nets.mlp(1, ()), nets.mlp(2, ()))),
            "a method that has no samples is no sampler",
        ),
    ],
)
def test_what_is_no_density_is_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)


def conditional():
    return methods.vae(nets.mlp(4, ()), nets.mlp(SHAPE, ()), 2, classes=10)


ENCODER, DECODER = nets.mlp(4, ()), nets.mlp(SHAPE, ())
AUTOENCODERS = {
    "plain": (lambda: methods.autoencoder(nets.mlp(2, ()), DECODER), 2),
    "contractive": (
        lambda: methods.autoencoder(
            nets.mlp(2, ()), DECODER, penalties=[methods.penalties.contractive()]
        ),
        2,
    ),
    "stacked": (
        lambda: methods.stage(
            nets.mlp(3, ()), methods.autoencoder(nets.mlp(2, ()), nets.mlp(3, ())), DECODER
        ),
        2,
    ),
    "VAE": (lambda: methods.vae(ENCODER, DECODER, 2), 2),
    "conditional VAE": (conditional, 12),
    "RBM": (lambda: methods.rbm(2), 2),
    "belief network": (lambda: methods.deep_belief_network((2, 6)), 2),
    "adversarial autoencoder": (
        lambda: methods.adversarial_autoencoder(nets.mlp(2, ()), DECODER, nets.mlp(1, ()), 2),
        2,
    ),
    "BiGAN": (lambda: methods.bigan(nets.mlp(2, ()), DECODER, nets.mlp(1, ()), 2), 2),
}


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_any_autoencoder_is_sampled(name):
    make, size = AUTOENCODERS[name]
    method, density = make(), priors.mixture(np.zeros((1, 1, size)), 1.0)
    hparams, batch = dict(method.hparams), {"image": jnp.zeros((3, *SHAPE)), "label": np.arange(3)}

    def seen(state, batch):
        model = training.Model({}, method, state, hparams)
        return model.encode(batch), samplers.generated(KEY, model, density, (5, size))

    state = jax.eval_shape(functools.partial(method.init, hparams=hparams), KEY, batch)
    code, made = jax.eval_shape(seen, state, batch)
    assert code.shape == (3, size)
    assert made.size == 5 * 64


@pytest.fixture(scope="module")
def vae():
    dataset = data.subset(data.load("digits"), slice(60))
    method = methods.vae(ENCODER, DECODER, 2)
    state = drawn(method, data.head(dataset, 2))
    return training.Model({}, method, state, dict(method.hparams)), dataset


def test_codes_are_means_and_draws_of_posteriors(vae):
    model, dataset = vae
    means = samplers.codes(model, dataset)
    drawing = posteriors.encoding(ENCODER, 2)
    some = samplers.drawn_codes(KEY, model, dataset, drawing)
    assert means.shape == some.shape == (60, 2)
    layer = jax.tree.map(np.asarray, model.state.params["encoder"]["Dense_0"])
    outputs = data.all_images(dataset).reshape(60, 64) @ layer["kernel"] + layer["bias"]
    np.testing.assert_allclose(means, outputs[:, :2], rtol=1e-3, atol=1e-4)
    noise = (some - outputs[:, :2]) / np.exp(outputs[:, 2:] / 2)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    aggregate = samplers.aggregate_posterior(model, dataset, ENCODER, 2)
    each = stats.norm(outputs[None, :, :2], np.exp(outputs[None, :, 2:] / 2))
    expected = np.log(np.exp(each.logpdf(PLACES[:, None]).sum(axis=2)).mean(axis=1))
    np.testing.assert_allclose(nats(aggregate, PLACES), expected, rtol=1e-3)
    z = draws(aggregate)
    variance = outputs[:, :2].var(axis=0) + np.exp(outputs[:, 2:]).mean(axis=0)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.2)
    images = samplers.generated(KEY, model, samplers.gaussian(some), (7, 2))
    assert images.shape == (7, *SHAPE)
    assert 0 <= images.min() < images.max() <= 1  # the likelihood's means, no logits


def test_what_cannot_be_sampled_so_is_refused(vae):
    model, dataset = vae
    blind = model._replace(method=model.method._replace(views=Views(encode=lambda *_: None)))
    with pytest.raises(InputError, match="encodes and decodes is sampled so: this does not decode"):
        samplers.codes(blind, dataset)
    with pytest.raises(InputError, match=r"made by posteriors\.encoding"):
        samplers.drawn_codes(KEY, model, dataset, ENCODER)
    flow = posteriors.flow(flows.planar())
    with pytest.raises(InputError, match="no parameters for this posterior"):
        samplers.aggregate_posterior(model, dataset, ENCODER, 2, flow)
    with pytest.raises(InputError, match="these are on the sphere"):
        samplers.two_stage(nets.mlp(4, ()), DECODER, 3, posterior=posteriors.von_mises_fisher())


def test_a_trained_density_is_of_the_codes_own_units(x64):
    flow = prior_parts.flow(flows.masked_autoregressive(1, ()))
    codes = CODES * [3.0, 0.1]
    density = samplers.trained(codes, methods.density_model(flow, 2), 3, batch_size=40)
    mean, deviation = codes.mean(axis=0), codes.std(axis=0)
    x, y = (m + s * np.linspace(-8, 8, 161) for m, s in zip(mean, deviation, strict=True))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    cell = (x[1] - x[0]) * (y[1] - y[0])
    np.testing.assert_allclose(np.sum(np.exp(nats(density, grid))) * cell, 1, rtol=1e-3)
    z = draws(density)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.2 * deviation.max())
    np.testing.assert_allclose(z.std(axis=0), deviation, rtol=0.2)


def test_a_trained_method_without_a_likelihood_draws_alone():
    views = Views(sample=lambda key, state, count, hparams: jnp.ones((count, 2)))
    method = Method(
        hparams={"learning_rate": 1.0},
        init=lambda key, batch, hparams: {"n": jnp.zeros(())},
        step=lambda key, state, batch, hparams: (state, {"loss": state["n"]}),
        evaluate=lambda key, state, batch, hparams: {"loss": batch["image"][:, 0]},
        views=views,
    )
    constant = np.stack([CODES[:, 0], np.full(80, 7.0)], axis=1)
    density = samplers.trained(constant, method, 1)
    expected = [CODES[:, 0].mean() + CODES[:, 0].std(), 8.0]
    np.testing.assert_allclose(density(KEY, (3, 2)), [expected] * 3, rtol=1e-6)
    with pytest.raises(InputError, match="draws alone"):
        density.log_prob(jnp.ones((1, 2)))


def test_a_second_stage_draws_with_its_decoders_noise():
    method = samplers.two_stage(
        ENCODER, DECODER, 2, likelihood=observations.gaussian(), widths=(3,)
    )
    batch = {"image": jnp.zeros((2, *SHAPE))}
    state = jax.eval_shape(method.init, KEY, batch, dict(method.hparams))
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state)
    # latents are first N(0.5, 1/4), whatever is drawn before; the first decoder gives the first one
    second = state.method.params["decoder"]
    second["network"]["Dense_1"]["bias"] += 0.5
    second["scale"] = jnp.log(0.25)
    kernel = state.frozen["decoder"]["Dense_0"]["kernel"]
    state.frozen["decoder"]["Dense_0"]["kernel"] = kernel.at[0, 0].set(1.0)
    sample = jax.jit(method.views.sample, static_argnums=2)(KEY, state, COUNT, method.hparams)
    first = np.asarray(sample).reshape(COUNT, 64)[:, 0]
    assert stats.kstest(first, stats.norm(0.5, 0.5).cdf).pvalue > 0.01
    assert np.std(np.asarray(sample).reshape(COUNT, 64)[:, 1:]) == 0


def test_two_stages_are_of_draws_of_the_first_and_not_of_means():
    method = samplers.two_stage(ENCODER, DECODER, 2, widths=(3,))
    means = methods.stage(
        posteriors.encoding(ENCODER, 2),
        samplers.second_stage(2, (3,)),
        observations.decoding(DECODER, observations.bernoulli()),
    )
    x = jnp.asarray(np.random.default_rng(0).random((300, *SHAPE)), jnp.float32)
    state = jax.eval_shape(method.init, KEY, {"image": x}, dict(method.hparams))
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state)
    # posteriors N(0, 4): what the second stage cannot explain is their variance
    bias = jnp.asarray([0.0, 0.0, np.log(4), np.log(4)], jnp.float32)
    state.frozen["encoder"]["Dense_0"]["bias"] = bias

    @functools.partial(jax.jit, static_argnums=0)
    def error(evaluate, key):
        return jnp.mean(evaluate(key, state, {"image": x}, dict(method.hparams))["reconstruction"])

    # log N(z; 0, 1) of two numbers: (z^2 + log 2 pi) / 2 each
    np.testing.assert_allclose(error(method.evaluate, KEY), 4 + np.log(2 * np.pi), rtol=0.1)
    np.testing.assert_allclose(error(means.evaluate, KEY), np.log(2 * np.pi), rtol=1e-4)
