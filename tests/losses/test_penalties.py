import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.test_util import check_grads

from ae_jax import losses
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")

kl_sparsity, l1, contractive_sigmoid = map(
    jax.jit, (losses.kl_sparsity, losses.l1, losses.contractive_sigmoid)
)
kl_sparsity_and_gradient = jax.jit(jax.value_and_grad(losses.kl_sparsity))
activation_rate = jax.jit(losses.activation_rate, static_argnums=1)
contractive_penalty = jax.jit(losses.contractive_penalty, static_argnums=0)
contractive_hutchinson = jax.jit(losses.contractive_hutchinson, static_argnums=(1, 3))
jacobian_singular_values = jax.jit(losses.jacobian_singular_values, static_argnums=0)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def test_kl_sparsity_by_hand():
    # unit means 1/2 and 1/4, rho 1/4:
    # unit 1: (1/4) log(1/2) + (3/4) log(3/2) = -0.173287 + 0.304099 = 0.130812; unit 2: 0
    activations = np.array([[1.0, 0.0], [0.0, 0.5]])
    np.testing.assert_allclose(kl_sparsity(activations, 0.25), 0.130812036, rtol=1e-8)


@pytest.mark.parametrize("rho", [0.05, 0.3, 0.5])
def test_kl_sparsity_is_exactly_zero_at_the_target(rho):
    value, gradient = kl_sparsity_and_gradient(np.full((4, 3), rho), rho)
    assert float(value) == 0
    np.testing.assert_allclose(gradient, 0, atol=1e-15)


def test_kl_sparsity_looks_at_the_mean_over_the_batch():
    # 0 and 2 rho average to rho
    activations = np.array([[0.0, 0.4], [0.4, 0.0]])
    np.testing.assert_allclose(kl_sparsity(activations, 0.2), 0, atol=1e-15)


def test_kl_sparsity_gradient_by_hand():
    activations = np.random.default_rng(0).uniform(0.05, 0.95, (5, 3))
    check_grads(lambda a: kl_sparsity(a, 0.1), (activations,), order=1, rtol=1e-6)
    # d/da_bh = (1/B) [(1 - rho) / (1 - r_h) - rho / r_h]
    rate = np.mean(activations, axis=0)
    expected = np.broadcast_to((0.9 / (1 - rate) - 0.1 / rate) / 5, (5, 3))
    _, gradient = kl_sparsity_and_gradient(activations, 0.1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_kl_sparsity_of_dead_and_saturated_units_pulls_them_back(dtype):
    activations = np.array([[0, 1], [0, 1]], dtype)
    value, gradient = jax.device_get(kl_sparsity_and_gradient(activations, 0.2))
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient[:, 0] < 0)
    assert np.all(gradient[:, 1] > 0)


def test_kl_sparsity_over_padded_rows_and_its_gradient_are_exact():
    activations = np.random.default_rng(1).uniform(0.05, 0.95, (5, 3))
    present = np.array([True, False, True, True, False, True, True])
    table = np.zeros((7, 3))
    table[present] = activations
    value, slope = kl_sparsity_and_gradient(activations, 0.1)
    for garbage in (1e30, np.nan, np.inf, -7.0):
        table[~present] = garbage
        found, gradient = jax.device_get(kl_sparsity_and_gradient(table, 0.1, present))
        np.testing.assert_allclose(found, value, rtol=1e-12)
        np.testing.assert_allclose(gradient[present], slope, rtol=1e-12)
        np.testing.assert_array_equal(gradient[~present], 0)
    assert not np.isfinite(kl_sparsity(table, 0.1, np.zeros(7, bool)))


def test_l1_by_hand():
    latent = np.array([[[1.0, -2.0]], [[0.0, 0.5]]])
    np.testing.assert_allclose(l1(latent), [3.0, 0.5])


@pytest.mark.parametrize(
    ("activation", "values", "rates"),
    [
        ("sigmoid", [0.0, 0.3, 1.0], [0.0, 0.3, 1.0]),
        ("binary", [0.0, 1.0], [0.0, 1.0]),
        ("tanh", [-1.0, 0.0, 0.5, 1.0], [0.0, 0.5, 0.75, 1.0]),
        # 1 - 1/2, 1 - 1/4; small ones are their own rates
        ("relu", [0.0, np.log(2), np.log(4), 1e-9], [0.0, 0.5, 0.75, 1e-9 - 5e-19]),
        ("softplus", [np.log(2)], [0.5]),
    ],
)
def test_activation_rates_by_hand(activation, values, rates):
    found = activation_rate(np.asarray(values), activation)
    np.testing.assert_allclose(found, rates, rtol=1e-15)


def test_activations_without_a_range_have_no_rate():
    with pytest.raises(InputError, match="'linear' units have no rate"):
        losses.activation_rate(np.zeros(3), "linear")


@pytest.mark.parametrize(
    ("activation", "at_target"), [("tanh", 2 * 0.2 - 1), ("relu", -np.log(1 - 0.2))]
)
def test_kl_sparsity_of_other_ranges_is_least_at_the_target(activation, at_target):
    @jax.jit
    @jax.value_and_grad
    def penalty(activations):
        return losses.kl_sparsity(losses.activation_rate(activations, activation), 0.2)

    value, gradient = penalty(np.full((4, 3), at_target))
    np.testing.assert_allclose(value, 0, atol=1e-15)
    np.testing.assert_allclose(gradient, 0, atol=1e-15)
    for shift, sign in ((-0.1, -1), (0.1, 1)):
        value, gradient = penalty(np.full((4, 3), at_target + shift))
        assert float(value) > 0
        np.testing.assert_array_equal(np.sign(np.asarray(gradient)), sign)


def test_kl_sparsity_needs_a_batch_of_units():
    with pytest.raises(InputError, match=r"\[B, H\]"):
        losses.kl_sparsity(np.zeros((2, 3, 4)), 0.1)


def test_contractive_penalty_of_a_linear_map_is_its_squared_norm():
    # 1 + 4 + 9 + 16 = 30, whatever x
    matrix, x = np.array([[1.0, 2.0], [3.0, 4.0]]), normal(0, 3, 2)
    np.testing.assert_allclose(contractive_penalty(lambda x: x @ matrix, x), [30.0] * 3)


def test_contractive_penalty_of_a_sigmoid_layer():
    encode, weights, x, hidden = sigmoid_layer()
    value = contractive_penalty(encode, x)
    # sum_j (h_j (1 - h_j))^2 sum_i W_ij^2
    expected = ((hidden * (1 - hidden)) ** 2) @ np.sum(weights**2, axis=0)
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def sigmoid_layer(inputs=6, units=4, batch=5):
    """The layer, its kernel, examples, and what it makes of them."""
    kernel, bias, x = normal(1, inputs, units), normal(2, units), normal(3, batch, inputs)
    hidden = scipy.special.expit(x @ kernel + bias)
    return (lambda x: jax.nn.sigmoid(x @ kernel + bias)), kernel, x, hidden


def test_contractive_sigmoid_is_the_penalty_of_a_sigmoid_layer():
    encode, kernel, x, hidden = sigmoid_layer()
    explicit = np.asarray(contractive_penalty(encode, x))
    np.testing.assert_allclose(contractive_sigmoid(hidden, kernel), explicit, rtol=1e-12)
    # a formula that is copied widely forgets to square the slope
    wrong = (hidden * (1 - hidden)) @ np.sum(kernel**2, axis=0)
    assert np.all(np.abs(wrong / explicit - 1) > 1)


def test_contractive_sigmoid_can_be_trained():
    _, kernel, x, _ = sigmoid_layer()
    penalty = jax.jit(lambda k: losses.contractive_sigmoid(jax.nn.sigmoid(x @ k), k))
    check_grads(penalty, (kernel,), order=1, rtol=1e-6)


@pytest.mark.parametrize(
    ("hidden", "kernel"), [((2, 3), (4, 5)), ((2, 3, 1), (4, 3)), ((2, 3), (3,))]
)
def test_contractive_sigmoid_refuses_shapes_that_do_not_fit(hidden, kernel):
    with pytest.raises(InputError, match=r"\[B, H\] and \[D, H\]"):
        losses.contractive_sigmoid(np.zeros(hidden), np.zeros(kernel))


@pytest.mark.parametrize("shape", [(6,), (2, 3, 1)])
def test_contractive_hutchinson_is_unbiased(monkeypatch, shape):
    encode_flat, _, x, _ = sigmoid_layer()
    x = x.reshape(-1, *shape)

    def encode(example):
        return encode_flat(example.reshape(-1)).reshape(2, 2)

    # the mean over all 2^4 sign vectors is the expectation
    every = np.array(list(itertools.product([-1.0, 1.0], repeat=4))).reshape(16, 1, 2, 2)

    def rademacher(key, shape, dtype):
        return jnp.broadcast_to(every, shape).astype(dtype)

    monkeypatch.setattr(jax.random, "rademacher", rademacher)
    estimate = contractive_hutchinson(jax.random.key(0), encode, x, 16)
    np.testing.assert_allclose(estimate, contractive_penalty(encode, x), rtol=1e-12)


def test_contractive_hutchinson_draws_signs_for_every_example_and_sample():
    encode, kernel, x, hidden = sigmoid_layer()
    alike = np.broadcast_to(x[:1], x.shape)
    once = contractive_hutchinson(jax.random.key(0), encode, alike, 1)
    assert len(np.unique(np.round(np.asarray(once), 9))) > 1
    jacobian = (hidden[0] * (1 - hidden[0]))[:, None] * kernel.T
    gram = jacobian @ jacobian.T
    # 2 sum of squares off the diagonal, over the number of samples
    variance = 2 * (np.sum(gram**2) - np.sum(np.diag(gram) ** 2)) / 500
    estimate = np.asarray(contractive_hutchinson(jax.random.key(1), encode, alike, 500))
    error = estimate - np.trace(gram)
    assert np.all(np.abs(error) < 5 * np.sqrt(variance))
    assert 0.02 < np.mean(error**2) / variance < 4


def test_contractive_hutchinson_can_be_trained():
    _, kernel, x, _ = sigmoid_layer()

    @jax.jit
    def penalty(kernel):
        def encode(x):
            return jnp.tanh(x @ kernel)

        return losses.contractive_hutchinson(jax.random.key(0), encode, x, samples=2)

    check_grads(penalty, (kernel,), order=1, rtol=1e-6)


def test_contractive_hutchinson_needs_samples():
    with pytest.raises(InputError, match="at least 1 sample, got 0"):
        losses.contractive_hutchinson(jax.random.key(0), jnp.tanh, np.zeros((2, 3)), 0)


@pytest.mark.parametrize(("inputs", "units"), [(6, 4), (3, 5)])
def test_jacobian_singular_values(inputs, units):
    encode, kernel, x, hidden = sigmoid_layer(inputs, units)
    values = np.asarray(jacobian_singular_values(encode, x))
    # the Jacobian's rows are h_j (1 - h_j) W_j
    explicit = (hidden * (1 - hidden))[:, :, None] * kernel.T[None]
    np.testing.assert_allclose(values, np.linalg.svd(explicit, compute_uv=False), rtol=1e-9)
    assert np.all(np.diff(values) <= 0)
    np.testing.assert_allclose(
        np.sum(values**2, axis=1), contractive_penalty(encode, x), rtol=1e-12
    )


def test_jacobian_singular_values_of_images():
    # x -> (2 x_1, 3 x_2) of images [2, 1, 1]
    values = jacobian_singular_values(
        lambda image: np.array([2.0, 3.0]) * image.ravel(), np.ones((2, 2, 1, 1))
    )
    np.testing.assert_allclose(values, [[3.0, 2.0]] * 2, rtol=1e-12)


def test_contractive_penalty_equals_finite_differences_for_images():
    weights, x = normal(2, 12, 3), normal(3, 2, 2, 3, 2)

    def encode(image):
        return jnp.tanh(image.reshape(-1) @ weights)

    step = 1e-6
    shifts = step * np.eye(12).reshape(12, 1, 2, 3, 2)

    def moved(by):
        return np.tanh((x + by).reshape(12, 2, 12) @ weights)

    slopes = (moved(shifts) - moved(-shifts)) / (2 * step)
    expected = np.sum(slopes**2, axis=(0, 2))
    np.testing.assert_allclose(contractive_penalty(encode, x), expected, rtol=1e-7)


def test_contractive_penalty_can_be_trained():
    x, weights = normal(3, 3, 4), normal(4, 4, 2)
    check_grads(
        jax.jit(lambda weights: losses.contractive_penalty(lambda x: jnp.tanh(x @ weights), x)),
        (weights,),
        order=1,
        rtol=1e-6,
    )
