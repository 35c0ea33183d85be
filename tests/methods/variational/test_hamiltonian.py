"""The Hamiltonian VAE: unbiased weights, reductions, and a step's gradient through the leapfrog."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import multivariate_normal

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import bounds, flows, posteriors, priors
from tests.marks import rare
from tests.methods.drawn import drawn
from tests.methods.slopes import assert_moved_by_the_slope

pytestmark = pytest.mark.usefixtures("x64")

KEY, VARIANCE = jax.random.key(3), 0.3
X = np.random.default_rng(0).normal(size=(3, 3))
BATCH = {"image": X}


def networks(widths=()):
    return nets.mlp(4, widths, "tanh"), nets.mlp(3, widths, "tanh"), 2


def small(widths=(), **options):
    """A Hamiltonian VAE of two latents."""
    given = {"likelihood": methods.observations.gaussian(VARIANCE), "optimizer": optax.identity()}
    return methods.hamiltonian_vae(*networks(widths), **{**given, **options})


@pytest.mark.parametrize("bound", [bounds.elbo("sampled"), rare(bounds.iwae(2))])
def test_without_steps_it_is_the_vae_number_for_number(bound):
    given = {"likelihood": methods.observations.gaussian(VARIANCE), "optimizer": optax.identity()}
    known = methods.vae(*networks(), bound=bound, **given, importance_samples=2)
    method = small(steps=0, bound=bound, importance_samples=2)
    state, own = drawn(known, BATCH), drawn(method, BATCH)
    assert set(own.params) - set(state.params) == {"posterior"}
    own = own._replace(params={**own.params, **state.params})

    @jax.jit
    def found(state, own):
        return [
            (
                m.step(KEY, s, BATCH, dict(m.hparams))[1]["loss"],
                m.views.log_likelihood(KEY, s, BATCH, dict(m.hparams)),
                m.views.encode(s, BATCH, dict(m.hparams)),
            )
            for m, s in ((known, state), (method, own))
        ]

    chex.assert_trees_all_equal(*found(state, own))


@pytest.mark.parametrize("tempering", [rare("quadratic"), "free"])
def test_the_mean_of_importance_weights_is_the_likelihood(tempering):
    """Of a linear decoder, where it is known; and the draws are moved towards what explains x."""
    samples = 4000
    options = {"steps": 3, "step_size": 0.25, "tempering": tempering}
    method = small(**options, importance_samples=samples)
    state = drawn(method, BATCH)
    random = np.random.default_rng(2)
    weights, bias = random.normal(size=(2, 3)), random.normal(size=3)
    state.params["decoder"]["Dense_0"] = {
        "kernel": jnp.asarray(weights),
        "bias": jnp.asarray(bias),
    }
    # a posterior that is the prior, at which weights would be far apart without steps
    state.params["encoder"] = jax.tree.map(jnp.zeros_like, state.params["encoder"])
    hparams = dict(method.hparams)

    @jax.jit
    def found(state):
        likelihood = method.views.log_likelihood(KEY, state, BATCH, hparams)
        return likelihood, method.views.encode(state, BATCH, hparams)

    likelihood, latent = found(state)
    covariance = weights.T @ weights + VARIANCE * np.eye(3)
    exact = multivariate_normal(bias, covariance).logpdf(X)
    np.testing.assert_allclose(likelihood, exact, atol=0.1)
    # what is lost where the volume, or the momentum's normaliser, is forgotten: Z / 2 log beta_0
    assert abs(np.log(hparams["inverse_temperature"])) > 1
    posterior = np.linalg.solve(np.eye(2) + weights @ weights.T / VARIANCE, weights / VARIANCE)
    away = [np.sum((z - (X - bias) @ posterior.T) ** 2, axis=1) for z in (0 * latent, latent)]
    assert (away[1] < away[0]).all()


@pytest.mark.full
def test_free_tempering_starts_on_the_schedule_and_one_is_no_tempering():
    methods_of = [
        small(steps=2, tempering="quadratic"),
        small(steps=2, tempering="free"),
        small(steps=2, learned=False),
    ]
    states = [drawn(method, BATCH) for method in methods_of]
    for state in states:
        state.params["posterior"] = jax.tree.map(jnp.zeros_like, state.params["posterior"])

    @jax.jit
    def found(states, hotter):
        return [
            method.step(KEY, state, BATCH, {**method.hparams, "inverse_temperature": hotter})
            for method, state in zip(methods_of, states, strict=True)
        ]

    for hotter in (0.3, 1.0):
        after = found(states, hotter)
        losses = np.array([info["loss"] for _, info in after])
        np.testing.assert_allclose(losses, losses[0], rtol=1e-13)
        slopes = [state.params["posterior"].get("tempering", 0.0) for state, _ in after]
        assert all((np.abs(slope) > 0).all() == (hotter < 1) for slope in slopes[:2])
        assert np.isfinite([info["gradient_norm"] for _, info in after]).all()


def test_a_step_moves_all_parameters_by_the_gradient_of_the_bound():
    rate = 0.1
    prior = priors.gaussian_mixture(2)
    method = small(
        (4,), tempering="free", prior=prior, bound=bounds.iwae(2), learning_rate=rate, steps=2
    )
    assert_moved_by_the_slope(method, BATCH, KEY, rate)


def test_steps_are_told_labels_as_the_decoder_is():
    method = small(classes=2, prior=priors.by_class(2))
    batch = {**BATCH, "label": jnp.array([0, 1, 1])}
    state = jax.eval_shape(method.init, KEY, batch, dict(method.hparams))
    found = jax.eval_shape(method.evaluate, KEY, state, batch, dict(method.hparams))
    assert found["loss"].shape == (3,)


def test_refuses():
    with pytest.raises(InputError, match="steps is -1: use a whole number, 0 or more"):
        small(steps=-1)
    with pytest.raises(InputError, match="unknown tempering 'fast': use quadratic or free"):
        small(tempering="fast")
    with pytest.raises(InputError, match="leapfrog starts from a plain posterior"):
        small(posterior=posteriors.flow(flows.planar()))
    with pytest.raises(InputError, match="leapfrog starts from a plain posterior"):
        small(posterior=posteriors.von_mises_fisher(), prior=priors.sphere())
    with pytest.raises(InputError, match="knows it with its own draws alone"):
        small(bound=bounds.doubly_reparametrised(2))
    with pytest.raises(InputError, match="a posterior on the plane needs a prior there"):
        small(prior=priors.sphere())
