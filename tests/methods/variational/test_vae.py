"""The variational autoencoder's step by hand, and its likelihood where the exact one is known."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import multivariate_normal

from ae_jax import methods, nets
from ae_jax.core import NOT_NEGATIVE, POSITIVE, InputError
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

VARIANCE = 0.3


def linear_vae(samples, offset):
    """x ~ N(W z + b, 0.3) with orthogonal columns in W, and a posterior that may be off.

    Returns:
      (key, x) -> the bound on log p(x), [B]; and the distribution of x.
    """
    random = np.random.RandomState(0)
    weights = np.linalg.qr(random.normal(size=(5, 2)))[0] * np.array([[1.5, 0.7]])
    bias = random.normal(size=5)
    # z | x ~ N(W^T (x - b) / (s^2 + 0.3), 0.3 / (s^2 + 0.3)), s^2 the columns' squared norms
    total = np.sum(weights**2, axis=0) + VARIANCE
    gain = weights / total[None, :]
    encoder = np.concatenate([gain, np.zeros((5, 2))], axis=1)
    at_zero = np.concatenate([offset - bias @ gain, np.log(VARIANCE / total)])
    method = methods.vae(
        nets.mlp(4, ()),
        nets.mlp(5, ()),
        2,
        likelihood=methods.observations.gaussian(VARIANCE),
        importance_samples=samples,
    )
    state = drawn(method, {"image": jnp.zeros((1, 5))})
    leaves, structure = jax.tree.flatten(state.params)
    found = {leaf.shape: leaf for leaf in map(jnp.asarray, (weights.T, bias, encoder, at_zero))}
    params = jax.tree.unflatten(structure, [found[leaf.shape] for leaf in leaves])
    covariance = weights @ weights.T + VARIANCE * np.eye(5)
    view = jax.jit(method.views.log_likelihood)

    def log_likelihood(key, x):
        return view(key, state._replace(params=params), {"image": x}, method.hparams)

    return log_likelihood, multivariate_normal(bias, covariance)


def test_the_bound_of_the_exact_posterior_is_the_likelihood():
    x = jnp.asarray(np.random.RandomState(1).normal(size=(4, 5)))
    log_likelihood, exact = linear_vae(1, 0.0)
    np.testing.assert_allclose(log_likelihood(jax.random.key(0), x), exact.logpdf(x), rtol=1e-10)


def test_the_bound_of_another_posterior_rises_to_the_likelihood():
    x = jnp.asarray(np.random.RandomState(1).normal(size=(1000, 5)))
    bounds = []
    for samples in (1, 10, 1000):
        log_likelihood, exact = linear_vae(samples, np.array([0.5, -0.3]))
        bounds.append(float(jnp.mean(log_likelihood(jax.random.key(0), x))))
    # the ELBO is too low by KL(q || p(z | x)), the squared offset over twice the variance
    level = np.mean(exact.logpdf(x))
    gap = np.sum(np.array([0.25, 0.09]) * (np.array([2.25, 0.49]) + VARIANCE) / (2 * VARIANCE))
    np.testing.assert_allclose(bounds[0], level - gap, atol=0.1)
    assert bounds[0] < bounds[1] < bounds[2]
    np.testing.assert_allclose(bounds[2], level, atol=0.02)


SIZE, KEY = 2, jax.random.key(3)
bounded = methods.posteriors.gaussian


def images(count=5):
    return {"image": jax.random.uniform(jax.random.key(7), (count, 3), float)}


def built(likelihood=None, **options):
    encoder, decoder = nets.mlp(2 * SIZE, ()), nets.mlp(3, ())
    plain = {"optimizer": optax.identity(), "likelihood": likelihood}
    method = methods.vae(encoder, decoder, SIZE, **plain | options)
    return method, drawn(method, images(), scale=1.0)


def by_hand(params, x, noise, beta, nll, bound=None):
    """Each example's KL divergence, error and objective."""

    def dense(layer, x):
        return x @ layer["Dense_0"]["kernel"] + layer["Dense_0"]["bias"][None]

    outputs = dense(params["encoder"], x)
    mean, log_var = outputs[:, :SIZE], outputs[:, SIZE:]
    if bound is not None:
        log_var = bound * jnp.tanh(log_var / bound)
    # KL(N(m, v) || N(0, 1)) = (m^2 + v - log v - 1) / 2
    kl = jnp.sum(mean**2 + jnp.exp(log_var) - log_var - 1, axis=1) / 2
    error = jnp.sum(nll(dense(params["decoder"], mean + jnp.exp(log_var / 2) * noise), x), axis=1)
    return kl, error, error + beta * kl


def bernoulli_nll(logits, x):
    return -x * jax.nn.log_sigmoid(logits) - (1 - x) * jax.nn.log_sigmoid(-logits)


def gaussian_nll(mean, x):
    return (x - mean) ** 2 / (2 * VARIANCE) + jnp.log(2 * jnp.pi * VARIANCE) / 2


LIKELIHOODS = {
    "default": (None, bernoulli_nll),
    "gaussian": (methods.observations.gaussian(VARIANCE), gaussian_nll),
}


@pytest.mark.parametrize(
    ("name", "beta", "bound"),
    [("default", 1.0, None), ("default", 2.5, None), ("gaussian", 0.5, 0.7)],
)
def test_a_step_descends_the_objective_of_a_sampled_latent(name, beta, bound):
    likelihood, nll = LIKELIHOODS[name]
    method, state = built(likelihood, beta=beta, learning_rate=0.25, posterior=bounded(bound))
    x, hparams, key = images()["image"], dict(method.hparams), jax.random.key(11)
    # the noise is the first of the step's three keys'
    noise = jax.random.normal(jax.random.split(key, 3)[0], (5, SIZE), float)

    def objective(params):
        return jnp.mean(by_hand(params, x, noise, beta, nll, bound)[2])

    @jax.jit
    def both(state):
        gradient = jax.grad(objective)(state.params)
        expected = jax.tree.map(lambda p, g: p - 0.25 * g, state.params, gradient)
        found = method.step(key, state, images(), hparams)
        values = method.evaluate(key, state, images(), hparams)
        return found, values, expected, by_hand(state.params, x, noise, beta, nll, bound)

    (after, info), values, expected, (kl, error, loss) = both(state)
    chex.assert_trees_all_close(after.params, expected, rtol=1e-10)
    assert info.keys() == {"loss", "reconstruction", "kl", "elbo", "gradient_norm"}
    for figure, value in {
        "kl": kl,
        "reconstruction": error,
        "elbo": -error - kl,
        "loss": loss,
    }.items():
        np.testing.assert_allclose(info[figure], np.mean(value), rtol=1e-12, err_msg=figure)
        np.testing.assert_allclose(values[figure], value, rtol=1e-12, err_msg=figure)


def test_views_are_of_the_posteriors_mean_and_of_the_prior():
    method, state = built()
    x, hparams = images()["image"], dict(method.hparams)
    layers = jax.tree.map(np.asarray, state.params)
    encoder, decoder = (layers[name]["Dense_0"] for name in ("encoder", "decoder"))
    mean = (np.asarray(x) @ encoder["kernel"] + encoder["bias"])[:, :SIZE]

    def probabilities(latent):
        return 1 / (1 + np.exp(-latent @ decoder["kernel"] - decoder["bias"]))

    views = method.views

    @jax.jit
    def seen(state):
        return {
            "encode": views.encode(state, images(), hparams),
            "reconstruct": views.reconstruct(state, images(), hparams),
            "decode": views.decode(state, mean, hparams),
            "sample": views.sample(KEY, state, 7, hparams),
        }

    latent = np.asarray(jax.random.normal(KEY, (7, SIZE), float))
    expected = {
        "encode": mean,
        "reconstruct": probabilities(mean),
        "decode": probabilities(mean),
        "sample": probabilities(latent),
    }
    chex.assert_trees_all_close(seen(state), expected, rtol=1e-12)


def test_its_defaults():
    method = methods.vae(nets.mlp(4, ()), nets.mlp(3, ()), 2)
    assert method.hparams == {"beta": 1.0, "learning_rate": 1e-3}
    assert method.domains == {"beta": NOT_NEGATIVE, "learning_rate": POSITIVE}
    both = [built(optimizer=optimizer) for optimizer in (None, optax.scale_by_adam())]
    # a hundred importance samples
    samples = [
        built(**options)[0].views.log_likelihood
        for options in ({"importance_samples": 99}, {}, {"importance_samples": 100})
    ]

    @jax.jit
    def all_of(x):
        hparams = dict(method.hparams)
        steps = [m.step(KEY, state, {"image": x}, hparams) for m, state in both]
        return steps, [view(KEY, both[0][1], {"image": x}, hparams) for view in samples]

    steps, (few, default, many) = all_of(images()["image"])
    chex.assert_trees_all_equal(*(state for _, state in both))
    chex.assert_trees_all_equal(*steps)
    np.testing.assert_array_equal(default, many)
    assert np.all(few != many)


def test_a_bound_keeps_log_variances_finite_and_without_it_the_divergence_is_named():
    given, (free, state) = images(), built()
    bias = jnp.array([0.0, 0, 800, 800])
    wide = {"encoder": {"Dense_0": {"kernel": jnp.zeros((3, 4)), "bias": bias}}}
    state = state._replace(params={**state.params, **wide})
    both = {None: free, 10.0: built(posterior=bounded(10.0))[0]}

    @jax.jit
    def told(state):
        return [m.step(KEY, state, given, dict(m.hparams))[1] for m in both.values()]

    rows = dict(zip(both, told(state), strict=True))
    broken = {name for name, value in rows[None].items() if not np.isfinite(value)}
    assert "kl" in broken
    assert "reconstruction" not in broken or np.isinf(rows[None]["reconstruction"])
    assert np.isfinite(list(rows[10.0].values())).all()
    # two latents of variance exp(10)
    np.testing.assert_allclose(rows[10.0]["kl"], np.exp(10) - 10 - 1, rtol=1e-12)


def test_refuses():
    for plain in (
        methods.observations.squared_error(),
        methods.observations.absolute_error(),
        methods.observations.correntropy(),
    ):
        with pytest.raises(InputError, match="needs a likelihood"):
            built(plain)
    for bound in (0.0, -1.0, "a", [1.0], np.inf):
        with pytest.raises(InputError, match=r"log_var_bound is .*: use more than 0"):
            bounded(bound)
    for count in ("latent_size", "importance_samples"):
        with pytest.raises(InputError, match=f"{count} is 0: use a whole number, 1 or more"):
            methods.vae(nets.mlp(4, ()), nets.mlp(3, ()), **{"latent_size": 2, count: 0})
    shared = methods.observations.gaussian()._replace(hparams={"beta": 2.0})
    with pytest.raises(InputError, match="share the hyperparameter beta"):
        built(shared)
    method = methods.vae(nets.mlp(5, ()), nets.mlp(3, ()), 2)
    with pytest.raises(InputError, match=r"of 2 latents, \[B, 4\], and gives \[5, 5\]"):
        jax.eval_shape(method.init, KEY, images(), dict(method.hparams))
