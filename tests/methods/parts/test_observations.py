import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import losses, methods


@pytest.mark.parametrize("name", methods.observations.OBSERVATIONS)
def test_equal_outputs_and_data_lose_least_and_means_are_in_data_space(name):
    observation = methods.observations.OBSERVATIONS[name]()
    hparams = dict(observation.hparams)
    outputs = jnp.array([[-2.0, 0.5, 3.0]])
    mean = observation.mean(outputs)
    least = observation.loss(outputs, mean, hparams)
    assert least.shape == (1,)
    assert observation.loss(outputs + 0.1, mean, hparams) > least
    assert observation.loss(outputs - 0.1, mean, hparams) > least


def test_likelihoods_draw_data_and_errors_do_not():
    key, outputs = jax.random.key(0), jnp.array([[0.5, -2.0]]) + jnp.zeros((4000, 2))
    assert methods.observations.gaussian().hparams == {"variance": 1.0}
    assert methods.observations.correntropy().hparams == {"sigma": 0.5}
    drawn = methods.observations.gaussian().sample(key, outputs, {"variance": 0.25})
    np.testing.assert_allclose(
        drawn, outputs + 0.5 * jax.random.normal(key, outputs.shape), rtol=1e-6
    )
    drawn = methods.observations.bernoulli().sample(key, outputs, {})
    assert set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn.mean(axis=0), jax.nn.sigmoid(outputs[0]), atol=0.03)
    for error in (
        methods.observations.squared_error,
        methods.observations.absolute_error,
        methods.observations.correntropy,
    ):
        assert error().sample is None


def test_the_width_of_correntropy_is_a_hyperparameter():
    observation = methods.observations.correntropy(0.3)
    assert observation.hparams == {"sigma": 0.3}
    assert observation.sample is None  # no likelihood
    x_hat, x = jnp.array([[0.0, 1.0]]), jnp.array([[0.2, 0.1]])
    for sigma in (0.3, 2.0):
        np.testing.assert_array_equal(
            observation.loss(x_hat, x, {"sigma": sigma}), losses.correntropy(x_hat, x, sigma)
        )
    # an outlier costs at most 2 sigma^2
    loss = observation.loss(jnp.array([[1e3]]), jnp.zeros((1, 1)), observation.hparams)
    np.testing.assert_allclose(loss, [0.18], rtol=1e-6)
