"""Posteriors on the sphere: what is read of outputs, and a VAE's bound against enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import latent_regularisers, observations, posteriors, priors
from ae_jax.probability import power_spherical, sphere, von_mises_fisher
from tests.marks import rare

KEY = jax.random.key(4)
BOTH = {
    "von_mises_fisher": (posteriors.von_mises_fisher, von_mises_fisher),
    "power_spherical": (posteriors.power_spherical, power_spherical),
}


@pytest.mark.parametrize("name", ["von_mises_fisher", rare("power_spherical")])
def test_outputs_are_a_direction_and_a_concentration_above_one(name):
    posterior, density = BOTH[name][0](), BOTH[name][1]
    assert posterior.outputs(4) == 5
    assert posterior.support == "sphere"
    outputs = jnp.array([[3, 0, 0, 4, 0.5], [0, 0, -1e-20, 0, -90], [0, 0, 0, 0, 600]])
    parameters = posterior.read(outputs, 4, {})
    expected = [[0.6, 0, 0, 0.8], [0, 0, -1, 0], [1, 0, 0, 0]]
    np.testing.assert_allclose(parameters.direction, expected, rtol=1e-6)
    np.testing.assert_array_equal(posterior.mean(parameters), parameters.direction)
    k = [1 + np.log1p(np.exp(0.5)), 1, 601]
    np.testing.assert_allclose(parameters.concentration, k, rtol=1e-6)

    @jax.jit
    def values(outputs):
        parameters = posterior.read(outputs, 4, {})
        z = posterior.sample(KEY, parameters)
        kl = posterior.kl_standard(parameters)
        return z, posterior.log_prob(z, parameters), kl

    z, log_prob, kl = values(outputs)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-6)
    expected = density.log_prob(z, *parameters), density.kl_uniform(parameters.concentration, 4)
    np.testing.assert_allclose(log_prob, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(kl, expected[1], rtol=1e-6)

    def total(outputs):
        z, log_prob, kl = values(outputs)
        return jnp.sum(z[:, 0]) + jnp.sum(log_prob) + jnp.sum(kl)

    assert np.all(np.isfinite(jax.jit(jax.grad(total))(outputs)))
    # a longer vector is the same direction
    gradient = jax.grad(lambda x: posterior.read(x, 4, {}).direction[0] @ jnp.arange(4.0))(
        outputs[:1]
    )
    np.testing.assert_allclose(gradient[0, :4] @ outputs[0, :4], 0, atol=1e-6)
    with pytest.raises(InputError, match=r"\[B, 4\], and gives \[3, 5\]"):
        posterior.read(outputs, 3, {})
    with pytest.raises(InputError, match="2 dimensions or more, got 1"):
        posterior.read(outputs[:, :2], 1, {})


@pytest.mark.parametrize("name", ["von_mises_fisher", rare("power_spherical")])
def test_a_spherical_vae_has_the_bound_of_its_divergence(name):
    """Whose decoder looks at no latent: the ELBO is log p(x) - KL, and the weights say log p(x)."""
    posterior, density = BOTH[name][0](), BOTH[name][1]
    bias = np.array([0.3, -1.0])
    decoder = nets.mlp(2, ())
    method = methods.vae(
        nets.mlp(4, ()),
        decoder,
        3,
        posterior=posterior,
        prior=priors.sphere(),
        likelihood=observations.bernoulli(),
        importance_samples=2000,
    )
    x = jnp.array([[1.0, 0.0], [1.0, 1.0]])
    batch, hparams = {"image": x}, method.hparams
    state = method.init(KEY, batch, hparams)
    layer = {"kernel": jnp.zeros((3, 2)), "bias": jnp.asarray(bias, jnp.float32)}
    params = {
        "encoder": state.params["encoder"],
        "decoder": jax.tree.unflatten(
            jax.tree.structure(state.params["decoder"]),
            [
                layer["bias"] if leaf.ndim == 1 else layer["kernel"]
                for leaf in jax.tree.leaves(state.params["decoder"])
            ],
        ),
    }
    state = state._replace(params=params)
    values = jax.jit(method.evaluate)(KEY, state, batch, hparams)
    outputs = nets.mlp(4, ()).apply(params["encoder"], x)
    k = jax.nn.softplus(outputs[:, 3]) + 1
    log_p = np.sum(np.asarray(x) * bias - np.log1p(np.exp(bias)), axis=1)
    np.testing.assert_allclose(values["kl"], density.kl_uniform(k, 3), rtol=1e-5)
    np.testing.assert_allclose(values["elbo"], log_p - values["kl"], rtol=1e-5)
    # E_q[p / q] = 1; of 2000 weights
    found = jax.jit(method.views.log_likelihood)(KEY, state, batch, hparams)
    spread = np.sqrt(np.expm1(2 * np.asarray(k)) / 2000)
    assert np.all(np.abs(found - log_p) < 4 * spread)
    np.testing.assert_allclose(
        np.linalg.norm(method.views.encode(state, batch, hparams), axis=1), 1, rtol=1e-6
    )
    sampled = method.views.sample(KEY, state, 3, hparams)
    np.testing.assert_allclose(sampled, np.tile(special.expit(bias), (3, 1)), rtol=1e-5)


def test_a_sphere_goes_with_a_sphere_alone():
    def vae(**parts):
        return methods.vae(nets.mlp(4, ()), nets.mlp(2, ()), 3, **parts)

    with pytest.raises(InputError, match=r"posterior on the sphere needs .* use priors.sphere\(\)"):
        vae(posterior=posteriors.von_mises_fisher())
    with pytest.raises(InputError, match=r"posterior on the plane needs .* use priors.normal\(\)"):
        vae(prior=priors.sphere())
    with pytest.raises(InputError, match="posterior"):
        vae(
            posterior=posteriors.power_spherical(),
            prior=priors.sphere(),
            regularisers=[latent_regularisers.dip()],
        )


def test_the_uniform_prior_is_that_of_the_sphere():
    prior = priors.sphere()
    z = prior.sample(KEY, {}, (5, 3), {})
    np.testing.assert_array_equal(z, sphere.sample(KEY, (5, 3)))
    np.testing.assert_allclose(prior.log_prob(z, {}, {}), [-np.log(4 * np.pi)] * 5, rtol=1e-6)
    assert prior.standard
    assert prior.support == "sphere"
