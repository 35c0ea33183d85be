"""VAEs on the Poincare ball: what outputs are, what is refused, and what curvature 0 comes to."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods import bounds, posteriors, priors
from ae_jax.probability import poincare, riemannian_normal, wrapped_normal
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(3)
X = np.random.default_rng(0).normal(size=(4, 3))
BATCH = {"image": X}
BOTH = {"wrapped": wrapped_normal, "riemannian": riemannian_normal}


def small(outputs=4, decoder=None, **options):
    method = methods.vae(
        nets.mlp(outputs, (5,), "tanh"),
        decoder or nets.mlp(3, (5,), "tanh"),
        2,
        likelihood=methods.observations.gaussian(0.5),
        optimizer=optax.identity(),
        importance_samples=3,
        **options,
    )
    return method, drawn(method, BATCH)


@pytest.mark.parametrize("name", BOTH)
def test_outputs_are_where_the_mean_is_seen_from_the_origin(name):
    c, density = 0.7, BOTH[name]
    make = {"wrapped": posteriors.wrapped_normal, "riemannian": posteriors.riemannian_normal}
    prior = {"wrapped": priors.wrapped_normal, "riemannian": priors.riemannian_normal}[name](c, 1.5)
    posterior = make[name](c)
    size = posterior.outputs(2)
    assert size == {"wrapped": 4, "riemannian": 3}[name]
    outputs = np.random.default_rng(1).normal(size=(5, size))

    @jax.jit
    def found(outputs):
        own = posterior.read(outputs, 2, {})
        z = posterior.sample(KEY, own)
        told = {"prior_scale": 1.5}
        first = prior.sample(KEY, {}, (5, 2), told)
        return own, z, posterior.log_prob(z, own), prior.log_prob(z, {}, told), first

    @jax.jit
    def expected(mean, log_var, z):
        own, wide = density.sample(KEY, mean, log_var, c), jnp.full_like(log_var, 2 * np.log(1.5))
        return (
            own,
            density.log_prob(z, mean, log_var, c),
            density.log_prob(z, 0 * mean, wide, c),
            density.sample(KEY, 0 * mean, wide, c),
        )

    own, z, *others = found(outputs)
    away = poincare.distance(np.zeros((5, 2)), own.mean, c)
    np.testing.assert_allclose(away, np.linalg.norm(outputs[:, :2], axis=1), rtol=1e-10)
    log_var = outputs[:, 2:] if name == "wrapped" else outputs[:, 2]
    np.testing.assert_array_equal(own.log_var, log_var)
    for value, other in zip((z, *others), expected(own.mean, log_var, z), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-10)
    with pytest.raises(InputError, match=r"means of 3 latents .* and gives \[5, "):
        posterior.read(outputs, 3, {})


def test_without_curvature_it_is_the_plain_vae_number_for_number():
    plain, state = small(bound=bounds.elbo("sampled"))

    def twice(network):
        return network._replace(apply=lambda params, x: network.apply(params, 2 * x))

    decoder = twice(nets.mlp(3, (5,), "tanh"))
    parts = {"posterior": posteriors.wrapped_normal(0.0), "prior": priors.wrapped_normal(0.0)}
    flat, own = small(decoder=decoder, **parts)

    @jax.jit
    def both(state):
        return [
            (
                method.step(KEY, state, BATCH, dict(method.hparams)),
                method.views.log_likelihood(KEY, state, BATCH, dict(method.hparams)),
            )
            for method in (plain, flat)
        ]

    assert own.params.keys() == state.params.keys()
    ((first, info), weights), ((second, other), others) = both(state)
    np.testing.assert_allclose(other["loss"], info["loss"], rtol=1e-12)
    np.testing.assert_allclose(others, weights, rtol=1e-12)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12),
        first.params,
        second.params,
    )


def test_the_bound_of_a_decoder_that_sees_nothing_is_log_p_less_the_divergence():
    # and weights p / q are 1 on average, of densities with respect to one and the same volume
    blind = Network(lambda key, x: {}, lambda params, x: jnp.zeros((len(x), 3), x.dtype))
    c = 1.0
    parts = {"posterior": posteriors.riemannian_normal(c), "prior": priors.wrapped_normal(c)}
    constant = Network(
        lambda key, x: {}, lambda params, x: jnp.tile(jnp.array([[0.3, -0.2, -0.5]]), (len(x), 1))
    )
    method = methods.vae(
        constant, blind, 2, likelihood=methods.observations.gaussian(0.5), **parts
    )._replace()
    many = {"image": np.broadcast_to(X[:1], (20_000, 3))}

    @jax.jit
    def values(batch):
        state = method.init(KEY, batch, dict(method.hparams))
        return method.evaluate(KEY, state, batch, dict(method.hparams))

    found = values(many)
    weights = np.exp(-np.asarray(found["kl"]))
    assert abs(np.mean(weights) - 1) < 4 * np.std(weights) / np.sqrt(len(weights))
    assert np.mean(found["kl"]) > 0
    log_p = -np.sum(X[0] ** 2) - 1.5 * np.log(np.pi)
    np.testing.assert_allclose(-found["reconstruction"], log_p, rtol=1e-10)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"posterior": posteriors.wrapped_normal(1.0), "prior": priors.wrapped_normal(0.5)},
            "posterior on the ball of curvature -1 needs a prior there, .* ball of curvature -0.5: "
            r"use priors.wrapped_normal\(1\)",
        ),
        ({"posterior": posteriors.wrapped_normal()}, "needs a prior there, .* is on the plane"),
        ({"prior": priors.riemannian_normal()}, r"on the plane needs .* use priors.normal\(\)"),
    ],
)
def test_posterior_and_prior_lie_in_one_ball(parts, words):
    with pytest.raises(InputError, match=words):
        methods.vae(nets.mlp(4, ()), nets.mlp(3, ()), 2, **parts)


def test_a_curvature_is_not_negative():
    for make in (posteriors.wrapped_normal, priors.riemannian_normal):
        with pytest.raises(InputError, match="curvature is -1: use 0 or more"):
            make(-1)
        with pytest.raises(InputError, match="curvature is 'round': use 0 or more"):
            make("round")
