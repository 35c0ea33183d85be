"""How likely images are, by importance samples."""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import experiment, methods, nets, training


def test_a_mean_of_importance_weights_has_its_errors_and_its_gap():
    def view(key, state, batch, hparams):
        return state + hparams["scale"] * jax.random.normal(key, (len(batch["image"]),))

    method = methods.vae(nets.mlp(2, ()), nets.mlp(1, ()), 1)
    model = training.Model({}, method, jnp.array([-3.0, -5.0]), {"scale": 0.5})
    found = experiment.importance_likelihood(
        view, model, jax.random.key(0), {"image": jnp.zeros((2, 1))}, 4000
    )
    # the weights are log-normal: log E w = m + s^2 / 2, and E w^2 / (E w)^2 = exp(s^2)
    error = np.sqrt(np.expm1(0.25) / 4000)
    np.testing.assert_allclose(found["log_likelihood"], -4 + 0.125, atol=4 * error / np.sqrt(2))
    np.testing.assert_allclose(found["importance_error"], error / np.sqrt(2), rtol=0.1)
    np.testing.assert_allclose(found["standard_error"], 1 / np.sqrt(2), rtol=0.02)
    np.testing.assert_allclose(found["gap"], 0.125, atol=0.02)
