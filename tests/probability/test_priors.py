"""Priors against their densities, and labels against the places that they name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax import methods
from ae_jax.core import InputError
from ae_jax.probability import priors
from tests.methods.adversarial.linear import linear

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(3)
COUNT = 4000


def drawn(prior, count, *label, size=2):
    return np.asarray(jax.jit(prior.draw, static_argnums=1)(KEY, (count, size), *label))


#: vae_values: nine points, two Gaussians, and the densities of SciPy.
MIXTURE = {
    "weights": [0.4, 0.6],
    "means": [[1.0, 1.0], [-0.5, 0.2]],
    "covariances": [[[1.0, 0.2], [0.2, 0.8]], [[0.7, -0.1], [-0.1, 1.1]]],
}


def test_a_mixture_of_any_covariances():
    prior = priors.correlated_mixture(**MIXTURE)
    i, j = np.arange(9)[:, None], np.arange(2)[None]
    z = np.sin(1 + 0.9 * i + 1.7 * j) * (1 + 0.3 * j) + 2 * (i % 3 == 0)
    np.testing.assert_allclose(z[0], [2.84147098481, 2.5555938443], rtol=1e-10)
    nats = [
        *(-5.23970206173, -3.33110226145, -3.45458210727, -2.67392928223, -2.32814207778),
        *(-2.35837552367, -5.97019368674, -2.40835825098, -3.3461908769),
    ]
    np.testing.assert_allclose(jax.jit(prior.log_prob)(z), nats, rtol=1e-10)
    x = drawn(prior, COUNT)
    means, weights = np.array(MIXTURE["means"]), np.array(MIXTURE["weights"])
    centre = weights @ means
    spread = np.einsum("k,kij->ij", weights, MIXTURE["covariances"])
    spread += np.einsum("k,ki,kj->ij", weights, means - centre, means - centre)
    np.testing.assert_allclose(x.mean(axis=0), centre, atol=4 * 1.2 / np.sqrt(COUNT))
    np.testing.assert_allclose(np.cov(x.T), spread, atol=0.12)
    with pytest.raises(InputError, match=r"weights \[K\], means \[K, Z\] and covariances"):
        priors.correlated_mixture(MIXTURE["weights"], np.ones((2, 3)), MIXTURE["covariances"])
    with pytest.raises(InputError, match="not positive definite"):
        priors.correlated_mixture([1.0], [[0.0, 0.0]], [[[1.0, 1.0], [1.0, 1.0]]])


def test_a_ring_is_a_mixture_with_a_gaussian_for_each_class():
    prior = priors.ring(5, radius=3.0, deviation=0.5)
    angle = 2 * np.pi * np.arange(5) / 5
    centres = 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(prior.centres[:, 0], centres, rtol=0, atol=1e-15)
    z = np.random.default_rng(0).normal(size=(7, 2), scale=3)
    densities = np.stack([stats.multivariate_normal(c, 0.25).pdf(z) for c in centres])
    log_prob = jax.jit(prior.log_prob)
    np.testing.assert_allclose(log_prob(z), np.log(densities.mean(axis=0)), rtol=1e-12)
    label = np.array([0, 4, 2, -1, 1, 5, 3])
    given = log_prob(z, jnp.asarray(label))
    own = np.log(densities[label.clip(0, 4), np.arange(7)])
    own[3] = np.log(densities[:, 3].mean())
    np.testing.assert_allclose(np.delete(given, 5), np.delete(own, 5), rtol=1e-12)
    assert np.isnan(given[5])  # there is no sixth class


def test_what_is_drawn_at_a_label_is_of_its_gaussian_and_without_one_of_any():
    prior = priors.ring(5, radius=3.0, deviation=0.5)
    label = jnp.arange(COUNT) % 5
    noise = (drawn(prior, COUNT, label) - prior.centres[label, 0]) / 0.5
    for values in noise.T:
        assert stats.kstest(values, "norm").pvalue > 0.01
    assert abs(np.corrcoef(noise.T)[0, 1]) < 4 / np.sqrt(COUNT)
    anywhere = drawn(prior, COUNT)
    np.testing.assert_array_equal(anywhere, drawn(prior, COUNT, jnp.full(COUNT, -1)))
    found = np.argmin(np.linalg.norm(anywhere - prior.centres, axis=2), axis=0)
    np.testing.assert_array_equal(priors.likeliest_class(prior, jnp.asarray(anywhere)), found)
    assert stats.chisquare(np.bincount(found, minlength=5)).pvalue > 0.01
    assert np.isnan(drawn(prior, 2, jnp.array([4, 5]))).tolist() == [[False] * 2, [True] * 2]


def test_a_swiss_roll_is_as_dense_everywhere_and_its_stretches_are_classes():
    prior = priors.swiss_roll(4, radius=3.0, deviation=0.1)
    assert prior.centres.shape == (4, 256, 2)
    curve = prior.centres.reshape(-1, 2)
    radius = np.linalg.norm(curve, axis=1)
    np.testing.assert_allclose(radius[[0, -1]], [1, 3], rtol=2e-3)
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.03  # even in the angle, the outer end has thrice the steps
    turns = np.unwrap(np.arctan2(*curve.T[::-1]))
    np.testing.assert_allclose(turns[-1] - turns[0], 3 * np.pi, rtol=5e-3)
    # the points of a class are on its stretch
    label = jnp.arange(COUNT) % 4
    z = drawn(prior, COUNT, label)
    of_class = np.linalg.norm(z[:, None] - prior.centres[label], axis=-1).min(axis=1)
    assert of_class.max() < 5 * 0.1
    assert stats.kstest(of_class / 0.1, stats.halfnorm.cdf).statistic < 0.05
    # the density integrates to 1
    grid = np.stack(np.meshgrid(*[np.linspace(-3.5, 3.5, 71)] * 2), axis=-1).reshape(-1, 2)
    log_prob = jax.jit(priors.swiss_roll(4, 3.0, 0.2).log_prob)
    mass = np.exp(log_prob(jnp.asarray(grid, jnp.float32))).sum() * 0.1**2
    np.testing.assert_allclose(mass, 1, rtol=0.01)


def test_normal_and_uniform_are_of_any_dimension_and_look_at_no_label():
    z = np.array([[0.3, -0.8, 0.1], [0.2, 1.5, 0.0]])
    for prior, expected in (
        (priors.normal(), stats.norm.logpdf(z).sum(axis=1)),
        (priors.uniform(-1.0, 1.0), [-3 * np.log(2), -np.inf]),
        (priors.uniform(-2.0, 2.0), [-3 * np.log(4)] * 2),
    ):
        label = jnp.array([0, 1])
        np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-12)
        np.testing.assert_allclose(prior.log_prob(z, label), expected, rtol=1e-12)
        np.testing.assert_array_equal(prior(KEY, (2, 3), label), prior(KEY, (2, 3)))
        assert prior.classes == 0
    np.testing.assert_array_equal(priors.normal()(KEY, (2, 3)), jax.random.normal(KEY, (2, 3)))
    drawn = priors.uniform(-2.0, 1.0)(KEY, (COUNT, 1))[:, 0]
    assert stats.kstest(drawn, stats.uniform(-2, 3).cdf).pvalue > 0.01


def test_a_gan_draws_its_noise_from_them():
    method = methods.gan(
        linear([[1.0], [2.0]]), linear([[1.0]]), 2, prior=priors.ring(3), output=lambda made: made
    )
    state = method.init(KEY, {"image": jnp.zeros((4, 1))}, method.hparams)
    found = jax.jit(method.views.sample, static_argnums=2)(KEY, state, 5, method.hparams)
    np.testing.assert_allclose(found, drawn(priors.ring(3), 5) @ [[1.0], [2.0]], rtol=1e-12)


def test_refuses():
    for call, message in (
        (lambda: priors.ring(0), "modes of a prior is 0: use a whole number, 1 or more"),
        (lambda: priors.ring(radius=0.0), "radius of a prior is 0.0: use more than 0"),
        (lambda: priors.swiss_roll(deviation=0.0), "deviation of a prior is 0.0: use more than 0"),
        (lambda: priors.swiss_roll(1.5), "classes of a prior is 1.5"),
        (lambda: priors.uniform(1.0, 1.0), "low < high, got 1.0 and 1.0"),
        (
            lambda: priors.mixture(np.zeros((2, 2)), 1.0),
            r"\[classes, components, Z\], got \[2, 2\]",
        ),
        (lambda: priors.likeliest_class(priors.normal(), jnp.zeros((1, 2))), "has no classes"),
        (lambda: priors.swiss_roll()(KEY, (4, 3)), "2 dimensions: use latents of size 2, not 3"),
    ):
        with pytest.raises(InputError, match=message):
            call()
