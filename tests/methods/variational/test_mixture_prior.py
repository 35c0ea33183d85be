"""VaDE: a VAE whose prior is a mixture, and its bound of latents and clusters together."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import special, stats

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import bounds, priors
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(3)
X = np.random.default_rng(0).random((4, 3))
BATCH = {"image": X}
#: Of one latent: N(0.4, e^-1) is every example's posterior, beside three overlapping components.
POSTERIOR = (0.4, -1.0)
MIXTURE = {
    "mean": np.array([[-1.0], [0.6], [1.5]]),
    "log_var": np.array([[0.2], [-1.5], [-0.4]]),
    "logits": np.array([0.5, 0.0, -0.7]),
}
WEIGHTS = special.softmax(MIXTURE["logits"])


def made(latent_size, components, **options):
    return methods.vae(
        nets.mlp(2 * latent_size, ()),
        nets.mlp(3, ()),
        latent_size,
        prior=priors.gaussian_mixture(components) if components else None,
        likelihood=methods.observations.gaussian(0.3),
        **options,
    )


def test_of_one_standard_component_it_is_the_vae_number_for_number():
    mixed, plain = (made(2, components, bound=bounds.elbo("sampled")) for components in (1, None))
    hparams, other = dict(plain.hparams), drawn(plain, BATCH)
    standard = {"mean": jnp.zeros((1, 2)), "log_var": jnp.zeros((1, 2)), "logits": jnp.zeros(1)}
    state = drawn(mixed, BATCH)
    state = state._replace(params={**other.params, "prior": standard})

    @jax.jit
    def seen(state, other):
        found = []
        for method, at in ((mixed, state), (plain, other)):
            after, info = method.step(KEY, at, BATCH, hparams)
            networks = {name: after.params[name] for name in ("encoder", "decoder")}
            values = method.evaluate(KEY, at, BATCH, hparams)
            likelihood = method.views.log_likelihood(KEY, at, BATCH, hparams)
            figures = {name: info[name] for name in ("loss", "reconstruction", "kl", "elbo")}
            found.append((networks, figures, values, likelihood))
        return found

    ours, known = seen(state, other)
    chex.assert_trees_all_close(ours, known, rtol=1e-12, atol=1e-14)
    assert plain.views.predict is None
    np.testing.assert_array_equal(mixed.views.predict(state, BATCH, hparams), np.zeros((4, 1)))


def by_hand(z):
    """log q(z | x) [N], and log p(z, k) [N, 3], of latents [N]."""
    own = stats.norm(POSTERIOR[0], np.exp(POSTERIOR[1] / 2)).logpdf(z)
    deviation = np.exp(MIXTURE["log_var"][:, 0] / 2)
    of_clusters = stats.norm(MIXTURE["mean"][:, 0], deviation).logpdf(np.asarray(z)[..., None])
    return own, of_clusters + np.log(WEIGHTS)


GRID = POSTERIOR[0] + np.exp(POSTERIOR[1] / 2) * np.linspace(-9, 9, 2001)


def expected(values):
    """The mean over the posterior of a function whose values on the grid are given, [2001, ...]."""
    density = np.exp(by_hand(GRID)[0])
    return np.tensordot(density, values, axes=(0, 0)) * (GRID[1] - GRID[0])


def with_clusters(responsible, z):
    """log q(z, k | x) - log p(z, k), the mean over clusters of some probabilities, at latents."""
    own, joint = by_hand(z)
    return own + np.sum(responsible * (np.log(responsible) - joint), axis=-1)


def given(z):
    """p(k | z)."""
    return special.softmax(by_hand(z)[1], axis=-1)


@pytest.fixture(scope="module")
def evaluated():
    """The divergences of 20,000 draws, and the draws."""
    with jax.enable_x64(True):
        method, batch = made(1, 3), {"image": jnp.zeros((20_000, 3))}
        state = drawn(method, batch)
        encoder = {"Dense_0": {"kernel": jnp.zeros((3, 2)), "bias": jnp.asarray(POSTERIOR)}}
        state = state._replace(params={**state.params, "encoder": encoder, "prior": MIXTURE})
        values = jax.jit(method.evaluate)(KEY, state, batch, dict(method.hparams))
        noise = jax.random.normal(jax.random.split(KEY, 3)[0], (20_000,), float)
        z = POSTERIOR[0] + np.exp(POSTERIOR[1] / 2) * np.asarray(noise)
        return np.asarray(values["kl"]), z


def test_every_draw_costs_what_it_costs_together_with_its_cluster(evaluated):
    kl, z = evaluated
    np.testing.assert_allclose(kl, with_clusters(given(z), z), rtol=1e-9, atol=1e-12)
    # other probabilities of the clusters cost more, of whatever draw
    for other in (WEIGHTS, special.softmax([0.0, 0.1, 0.2]), given(z[::-1])):
        assert np.all(with_clusters(other, z) >= kl - 1e-12)


def test_the_published_bound_is_lower_by_what_clusters_do_not_know_of_the_latent(evaluated):
    kl, z = evaluated
    own, joint = by_hand(GRID)
    ours = expected(own - special.logsumexp(joint, axis=1))
    assert abs(kl.mean() - ours) < 4 * kl.std() / np.sqrt(len(kl))

    def published(responsible):
        """sum_k r_k (KL(q || N_k) + log r_k - log pi_k), in closed form."""
        mean, variance = POSTERIOR[0], np.exp(POSTERIOR[1])
        others, variances = MIXTURE["mean"][:, 0], np.exp(MIXTURE["log_var"][:, 0])
        apart = (mean - others) ** 2 / variances + variance / variances - 1
        of_clusters = (apart - np.log(variance / variances)) / 2
        return responsible @ (of_clusters + np.log(responsible) - np.log(WEIGHTS))

    # of the mean over draws, of those of one draw, and of the best that do not know the draw
    mean, best = expected(given(GRID)), special.softmax(expected(joint))
    for responsible in (mean, given(z[0]), best):
        missed = expected(responsible * (np.log(responsible) - np.log(given(GRID)))).sum()
        assert published(responsible) == pytest.approx(ours + missed, rel=1e-8)
        assert missed > 0.05
    assert published(best) <= min(published(mean), published(given(z[0])))


def test_gradients_of_all_parameters_are_those_of_the_objective():
    model = latent_model(nets.mlp(4, ()), nets.mlp(3, ()), 2, prior=priors.gaussian_mixture(3))
    objective = vae_objective(model, beta=0.7)
    method = made(2, 3)
    params = drawn(method, BATCH).params

    @jax.jit
    def loss(params):
        values, _ = objective.terms(KEY, params, BATCH, objective.hparams, True)
        return jnp.mean(values["loss"])

    check_grads(loss, (params,), 1, ["rev"], rtol=1e-5)
    moved = jax.jit(jax.grad(loss))(params)
    assert all(np.abs(x).max() > 1e-4 for x in jax.tree.leaves(moved))


def test_views_are_of_the_mixture_that_is_learned():
    method = made(1, 3)
    state = drawn(method, BATCH)
    state = state._replace(params={**state.params, "prior": MIXTURE})
    hparams = dict(method.hparams)
    latent = np.asarray(method.views.encode(state, BATCH, hparams))
    found = method.views.predict(state, BATCH, hparams)
    np.testing.assert_allclose(np.exp(found), given(latent[:, 0]), rtol=1e-10)
    decoder = state.params["decoder"]["Dense_0"]
    made_of = jax.jit(method.views.sample, static_argnums=2)(KEY, state, 4000, hparams)
    z = (np.asarray(made_of) - np.asarray(decoder["bias"])) @ np.linalg.pinv(decoder["kernel"])
    deviation = np.exp(MIXTURE["log_var"][:, 0] / 2)
    parts = (MIXTURE["mean"][:, 0], deviation)
    below = stats.kstest(z[:, 0], lambda z: stats.norm.cdf(z[:, None], *parts) @ WEIGHTS)
    assert below.pvalue > 0.01


def test_components_start_apart():
    own = priors.gaussian_mixture(4).init(KEY, jnp.zeros((2, 5)), 3)
    assert {name: x.shape for name, x in own.items()} == {
        "mean": (4, 3),
        "log_var": (4, 3),
        "logits": (4,),
    }
    assert len(np.unique(own["mean"])) == 12
    with pytest.raises(InputError, match="components is 0: use a whole number, 1 or more"):
        priors.gaussian_mixture(0)
