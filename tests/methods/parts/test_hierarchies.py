"""Levels of latents: exact likelihoods where all is linear and Gaussian, reductions, and steps."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import multivariate_normal, norm

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import bounds, hierarchies, priors
from tests.marks import rare
from tests.methods.drawn import drawn
from tests.methods.slopes import assert_moved_by_the_slope

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(3)
SIZES = (2, 1, 1)
KINDS = {
    "bottom_up": hierarchies.bottom_up,
    "top_down": lambda sizes, **given: hierarchies.top_down(sizes, features=3, **given),
    "ladder": hierarchies.ladder,
}


# z_3 ~ N(0, 1), z_2 = 0.8 z_3 + 0.1 + noise, z_1 = (1.5 z_2, 0) + shift + noise, x = W z_1 + noise.
# The columns of W are orthogonal and one dimension of z_1 depends on z_2, so that all posteriors
# that are asked for have diagonal covariances.
SLOPES = {1: np.array([[1.5], [0.0]]), 2: np.array([[0.8]])}
SHIFTS = {1: np.array([0.3, -0.2]), 2: np.array([0.1])}
VARIANCES = {1: np.array([0.4, 0.9]), 2: np.array([0.6])}
WEIGHTS = np.array([[1.2, 0.0], [0.5, 0.0], [0.0, 0.7]])
NOISE = 0.3
X = np.array([[0.9, -0.4, 1.2], [-1.5, 0.2, 0.1]])
BATCH = {"image": X}


class Linear:
    """The joint Gaussian of z_1, z_2, z_3 and x, whose indices are 0 and 1, 2, 3, 4 to 6."""

    def __init__(self):
        # v = shift + chain v + noise
        chain = np.zeros((7, 7))
        chain[0:2, 2:3], chain[2:3, 3:4], chain[4:, 0:2] = *SLOPES.values(), WEIGHTS
        shift = np.concatenate([SHIFTS[1], SHIFTS[2], np.zeros(4)])
        noise = np.diag([*VARIANCES[1], *VARIANCES[2], 1.0, *[NOISE] * 3])
        solved = np.linalg.inv(np.eye(7) - chain)
        self.mean, self.covariance = solved @ shift, solved @ noise @ solved.T

    def given(self, wanted, known):
        """Slopes, shift and covariance of some indices given others."""
        c = self.covariance
        slopes = c[np.ix_(wanted, known)] @ np.linalg.inv(c[np.ix_(known, known)])
        shift = self.mean[wanted] - slopes @ self.mean[known]
        return slopes, shift, c[np.ix_(wanted, wanted)] - slopes @ c[np.ix_(known, wanted)]

    def told(self, index):
        """The density of x as a Gaussian of some latents: mean in x, and its covariance."""
        slopes, shift, covariance = self.given([4, 5, 6], index)
        precision = np.linalg.inv(covariance)
        spread = np.linalg.inv(slopes.T @ precision @ slopes)
        gain = spread @ slopes.T @ precision
        return gain, -gain @ shift, spread


def layer(slopes, shift, covariance):
    """A linear layer that gives means, and log-variances that nothing changes."""
    covariance = np.atleast_2d(covariance)
    assert np.allclose(covariance, np.diag(np.diag(covariance)), atol=1e-12)
    kernel = np.concatenate([slopes.T, np.zeros_like(slopes.T)], axis=1)
    return kernel, np.concatenate([shift, np.log(np.diag(covariance))])


def dense(*parts):
    """Parameters of a linear network whose outputs are those of layers side by side."""
    kernels, biases = zip(*parts, strict=True)
    made = {"kernel": np.concatenate(kernels, axis=1), "bias": np.concatenate(biases)}
    return {"Dense_0": jax.tree.map(jnp.asarray, made)}


def exact(kind, model):
    """Parameters at which the posterior is that of the model, level by level."""
    z1, z2, z3, x = [0, 1], [2], [3], [4, 5, 6]
    prior = {str(i): dense(layer(SLOPES[i], SHIFTS[i], np.diag(VARIANCES[i]))) for i in (1, 2)}
    if kind == "bottom_up":
        encoder = dense(layer(*model.given(z1, x)))
        own = {"2": dense(layer(*model.given(z2, z1))), "3": dense(layer(*model.given(z3, z2)))}
    elif kind == "top_down":
        features = np.eye(3), np.zeros(3)
        encoder = dense(features, layer(*model.given(z3, x)))
        own = {
            "1": dense(layer(*model.given(z1, x + z2))),
            "2": dense(layer(*model.given(z2, x + z3))),
        }
    else:
        told = [layer(*model.told(z)) for z in (z1, z2)]
        encoder, own = dense(*told, layer(*model.given(z3, x))), {}
    decoder = dense((WEIGHTS.T, np.zeros(3)))
    return {"encoder": encoder, "decoder": {"1": decoder}, "prior": prior, "posterior": own}


def of(kind, sizes=SIZES, **options):
    """A VAE of linear networks, whose decoder sees the lowest level."""
    given = {"widths": (), **options.pop("hierarchy", {})}
    hierarchy = KINDS[kind](sizes, **given)
    outputs = hierarchy.posterior.outputs(sum(sizes))
    return methods.vae(
        nets.mlp(outputs, ()),
        nets.chain(nets.part(0, sizes[0]), nets.mlp(3, ())),
        sum(sizes),
        likelihood=methods.observations.gaussian(NOISE),
        posterior=hierarchy.posterior,
        prior=hierarchy.prior,
        regularisers=[hierarchy.levels],
        optimizer=optax.identity(),
        importance_samples=2,
        **options,
    ), hierarchy


def test_all_kinds_know_the_exact_posterior_and_the_prior():
    model, x = Linear(), [4, 5, 6]
    made = {kind: of(SIZES, widths=()) for kind, of in KINDS.items()}
    given = {kind: exact(kind, model) for kind in KINDS}

    @jax.jit
    def found(given):
        def of_one(hierarchy, params):
            encoder, posterior = params["encoder"]["Dense_0"], hierarchy.posterior
            outputs = X @ encoder["kernel"] + encoder["bias"][None]
            parameters = posterior.read(outputs, 4, {}, params, BATCH)
            z, nats = posterior.draw(KEY, parameters)
            return (
                (z, posterior.sample(KEY, parameters)),
                (nats, posterior.log_prob(z, parameters)),
                posterior.mean(parameters),
                hierarchy.prior.log_prob(z, params, {}),
            )

        return {kind: of_one(made[kind], params) for kind, params in given.items()}

    slopes, shift, covariance = model.given([0, 1, 2, 3], x)
    means = X @ slopes.T + shift
    prior = multivariate_normal(model.mean[:4], model.covariance[:4, :4])
    for draws, nats, mean, prior_nats in found(given).values():
        np.testing.assert_array_equal(*draws)
        pairs = zip(np.asarray(draws[0]), means, strict=True)
        known = [multivariate_normal(m, covariance).logpdf(z) for z, m in pairs]
        np.testing.assert_allclose(nats, [known, known], rtol=1e-10)
        np.testing.assert_allclose(mean, means, rtol=1e-10)
        np.testing.assert_allclose(prior_nats, prior.logpdf(draws[0]), rtol=1e-10)


def test_importance_weights_are_the_likelihood_at_the_exact_posterior():
    model, (method, _) = Linear(), of("ladder")
    hparams, params = dict(method.hparams), exact("ladder", model)
    state = drawn(method, BATCH)
    chex.assert_trees_all_equal_shapes(state.params, params)

    @jax.jit
    def found(state):
        return (
            method.views.log_likelihood(KEY, state, BATCH, hparams),
            method.evaluate(KEY, state, BATCH, hparams),
        )

    likelihood, values = found(state._replace(params=params))
    x = [4, 5, 6]
    known = multivariate_normal(model.mean[x], model.covariance[np.ix_(x, x)]).logpdf(X)
    np.testing.assert_allclose(likelihood, known, rtol=1e-11)
    # one draw has no noise either, and its parts are those of the levels
    np.testing.assert_allclose(values["elbo"], known, rtol=1e-11)
    parts = sum(values[f"kl_{level}"] for level in (1, 2, 3))
    np.testing.assert_allclose(parts, values["kl"], rtol=1e-11)


def test_draws_of_the_prior_are_of_all_levels():
    model, prior = Linear(), hierarchies.ladder(SIZES, widths=()).prior
    params = exact("ladder", model)
    samples = jax.jit(lambda key: prior.sample(key, params, (20_000, 4), {}))(KEY)
    error = np.std(samples, axis=0) / np.sqrt(len(samples))
    assert (np.abs(np.mean(samples, axis=0) - model.mean[:4]) < 4.5 * error).all()
    np.testing.assert_allclose(np.cov(samples.T), model.covariance[:4, :4], atol=0.1)


def plain(bound):
    """The VAE of two latents."""
    return methods.vae(
        nets.mlp(4, ()),
        nets.chain(nets.part(0), nets.mlp(3, ())),
        2,
        likelihood=methods.observations.gaussian(NOISE),
        bound=bound,
        optimizer=optax.identity(),
        importance_samples=2,
    )


@pytest.mark.parametrize(
    ("kind", "bound"),
    [("ladder", bounds.iwae(2)), rare("bottom_up", bounds.elbo()), rare("top_down", bounds.elbo())],
)
def test_one_level_is_the_plain_vae_number_for_number(kind, bound):
    known, (method, _) = plain(bound), of(kind, (2,), bound=bound)
    state = drawn(known, BATCH)
    own = {**state.params, "posterior": {}, "prior": {}}
    if kind == "top_down":  # whose encoder gives features as well, which nobody reads
        layer = own["encoder"]["Dense_0"].items()
        wide = {
            name: jnp.concatenate([jnp.zeros_like(p[..., :3]), p], axis=-1) for name, p in layer
        }
        own["encoder"] = {"Dense_0": wide}

    @jax.jit
    def found(state, own):
        return [
            (
                m.step(KEY, s, BATCH, dict(m.hparams))[1]["loss"],
                m.views.log_likelihood(KEY, s, BATCH, dict(m.hparams)),
                m.views.sample(KEY, s, 3, dict(m.hparams)),
            )
            for m, s in ((known, state), (method, own))
        ]

    plainly, levelled = found(state, state._replace(params=own))
    chex.assert_trees_all_close(levelled, plainly, rtol=1e-14)


@pytest.mark.parametrize("kind", [rare("bottom_up"), rare("top_down"), "ladder"])
def test_a_step_moves_all_parameters_by_the_gradient_of_the_bound(kind):
    sizes, rate = (2, 2), 0.1
    shape = {"bottom_up": 4, "top_down": 3 + 4, "ladder": 8}[kind]
    top = {
        "bottom_up": lambda encoder: priors.gaussian_mixture(2),
        "top_down": lambda encoder: priors.vamp(nets.some_outputs(encoder, -4), 2, interval=None),
        "ladder": lambda encoder: priors.vamp(nets.some_outputs(encoder, -4), 2, interval=None),
    }[kind](nets.mlp(shape, ()))
    hierarchy = {"top": top, "widths": (3,), "activation": "tanh"}
    method, made = of(kind, sizes, hierarchy=hierarchy, bound=bounds.iwae(2), learning_rate=rate)
    assert made.posterior.outputs(4) == shape
    assert (method.views.predict is None) == (kind != "bottom_up")
    assert_moved_by_the_slope(method, BATCH, KEY, rate)


def test_a_pseudo_input_gives_the_top_the_posterior_of_an_example():
    encoder = nets.mlp(3 + 4, ())
    top = priors.vamp(nets.some_outputs(encoder, -4), 1, interval=None)
    prior = hierarchies.top_down((2, 2), features=3, top=top, widths=()).prior
    random = np.random.default_rng(0)
    shapes = {"encoder": (3, 7), "prior": (2, 4)}
    layers = {
        name: {"kernel": random.normal(size=shape), "bias": random.normal(size=shape[1:])}
        for name, shape in shapes.items()
    }
    own, above = ({"Dense_0": jax.tree.map(jnp.asarray, layers[name])} for name in shapes)
    x, z = random.normal(size=(1, 3)), random.normal(size=(5, 4))
    params = {"encoder": own, "prior": {"1": above, "top": jnp.asarray(x)}}
    outputs = x @ layers["encoder"]["kernel"] + layers["encoder"]["bias"]
    lower = z[:, 2:] @ layers["prior"]["kernel"] + layers["prior"]["bias"]

    def nats(z, outputs):
        return norm.logpdf(z, outputs[:, :2], np.exp(outputs[:, 2:] / 2)).sum(axis=1)

    expected = nats(z[:, 2:], outputs[:, 3:]) + nats(z[:, :2], lower)
    found = jax.jit(lambda z: prior.log_prob(z, params, {}))(jnp.asarray(z))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_refuses():
    with pytest.raises(InputError, match="at least one level"):
        hierarchies.ladder(())
    with pytest.raises(InputError, match=r"sizes\[1\] is 0"):
        hierarchies.bottom_up((2, 0))
    with pytest.raises(InputError, match="features is 0"):
        hierarchies.top_down((2, 2), features=0)
    with pytest.raises(InputError, match="lies in the plane, told nothing"):
        hierarchies.ladder((2, 3), top=priors.sphere())
    with pytest.raises(InputError, match="lies in the plane, told nothing"):
        hierarchies.ladder((2, 3), top=priors.by_class(2))
    with pytest.raises(InputError, match="unknown activation 'swirl'"):
        hierarchies.ladder((2, 3), activation="swirl")
    ladder = hierarchies.ladder((2, 1))
    parts = {"posterior": ladder.posterior, "prior": ladder.prior}

    def init(outputs, size, **parts):
        method = methods.vae(nets.mlp(outputs, ()), nets.mlp(3, ()), size, **parts)
        jax.eval_shape(method.init, KEY, BATCH, dict(method.hparams))

    with pytest.raises(
        InputError, match="levels of 2, 1 latents are 3 in all, and latent_size is 4"
    ):
        init(6, 4, **parts)
    with pytest.raises(InputError, match=r"must give 6 numbers for levels of 2, 1 latents"):
        init(5, 3, **parts)
    with pytest.raises(InputError, match="a ladder reads its own prior"):
        init(6, 3, posterior=ladder.posterior)
    with pytest.raises(InputError, match="DIP-VAE needs a posterior of independent dimensions"):
        init(6, 3, **parts, regularisers=[methods.latent_regularisers.dip()])
    with pytest.raises(InputError, match="sizes is 3: use a list of numbers"):
        hierarchies.ladder(3)
    for other in ({}, parts):
        with pytest.raises(InputError, match="these levels are of another posterior: use"):
            init(6, 3, **other, regularisers=[hierarchies.ladder((2, 1)).levels])
    below = hierarchies.bottom_up((2, 1))
    with pytest.raises(InputError, match="levels are parts of its own prior: give the method"):
        init(4, 3, posterior=below.posterior, regularisers=[below.levels])
