import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import special, stats

from ae_jax import losses
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")

bernoulli_nll, gaussian_nll, squared_error, absolute_error, correntropy = map(
    jax.jit,
    (
        losses.bernoulli_nll,
        losses.gaussian_nll,
        losses.squared_error,
        losses.absolute_error,
        losses.correntropy,
    ),
)
bernoulli_gradient = jax.jit(jax.grad(lambda logits, x: losses.bernoulli_nll(logits, x)[0]))
PAIRS = [
    bernoulli_nll,
    gaussian_nll,
    squared_error,
    absolute_error,
    lambda x_hat, x: correntropy(x_hat, x, 0.7),
    jax.jit(losses.continuous_bernoulli_nll),
]
student_nll = jax.jit(losses.student_nll)


def _pair(shape=(3, 2, 4)):
    prediction, x = np.random.default_rng(0).standard_normal((2, *shape))
    return prediction, special.expit(x)


def test_bernoulli_nll_by_hand():
    # x = 1, p = 3/4: -log 3/4 = 0.287682; x = 0, p = 1/2: -log 1/2 = 0.693147
    logits = np.array([[np.log(3.0), 0.0]])
    value = bernoulli_nll(logits, np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(value, [0.287682072 + 0.693147181], rtol=1e-8)


def test_bernoulli_nll_of_grey_levels_is_least_at_their_log_odds():
    # x = 1/4: the least value is the entropy, (1/4) log 4 + (3/4) log(4/3) = 0.562335
    x = np.array([[0.25]])
    best = np.log(x / (1 - x))
    np.testing.assert_allclose(bernoulli_nll(best, x), [0.562335145], rtol=1e-8)
    np.testing.assert_allclose(bernoulli_gradient(best, x), 0, atol=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_bernoulli_nll_and_gradient_stay_finite_at_extreme_logits(dtype):
    logits = np.array([[1e4, 1e4, -1e4, -1e4, 0.0]], dtype)
    x = np.array([[1, 0, 1, 0, 1]], dtype)
    values = bernoulli_nll(logits.T, x.T)
    np.testing.assert_allclose(values, [0, 1e4, 1e4, 0, np.log(2)], rtol=1e-6)
    # d/dl = sigmoid(l) - x
    np.testing.assert_array_equal(bernoulli_gradient(logits, x), [[0, 1, -1, 0, -0.5]])


def test_bernoulli_nll_keeps_the_digits_of_confident_right_answers():
    # -log sigmoid(30) = log(1 + e^-30) = 9.357623e-14, lost when 30 is added and subtracted
    value = bernoulli_nll(np.array([[30.0]], np.float32), np.ones((1, 1), np.float32))
    np.testing.assert_allclose(value, [9.357623e-14], rtol=1e-5)


@pytest.mark.parametrize("variance", [1.0, 0.3, 7.0])
def test_gaussian_nll_equals_scipy(variance):
    mean, x = _pair()
    expected = -stats.norm.logpdf(x, mean, np.sqrt(variance)).sum(axis=(1, 2))
    np.testing.assert_allclose(gaussian_nll(mean, x, variance), expected, rtol=1e-12)
    np.testing.assert_array_equal(gaussian_nll(mean, x), gaussian_nll(mean, x, 1.0))


def test_gaussian_nll_takes_a_variance_per_dimension():
    mean, x = _pair()
    variance = np.exp(mean - x)
    expected = -stats.norm.logpdf(x, mean, np.sqrt(variance)).sum(axis=(1, 2))
    np.testing.assert_allclose(gaussian_nll(mean, x, variance), expected, rtol=1e-12)


def test_optimal_gaussian_nll_is_least_over_variances_and_of_single_examples():
    # squares 0.04, 0.09 and 0: 3 / 2 (log(2 pi 0.13 / 3) + 1)
    mean, x = np.array([[0.3, 0.6, 0.4]]), np.array([[0.1, 0.9, 0.4]])
    optimal = jax.jit(losses.optimal_gaussian_nll)
    np.testing.assert_allclose(optimal(mean, x), [-0.451434076178], rtol=1e-11)
    np.testing.assert_allclose(gaussian_nll(mean, x, 0.13 / 3), optimal(mean, x), rtol=1e-12)
    for factor in (0.9, 1.1):
        assert optimal(mean, x) < gaussian_nll(mean, x, factor * 0.13 / 3) - 1e-3
    # the gradient is that at the variance, held; the variance of a batch moves it by the others
    mean, x = _pair((2, 3))
    x[1] += 5
    slope = jax.grad(lambda mean: jnp.sum(optimal(mean, x)))(mean)
    own = np.mean((mean - x) ** 2, axis=1, keepdims=True)
    np.testing.assert_allclose(slope, (mean - x) / own, rtol=1e-12)
    np.testing.assert_allclose(optimal(mean[:1], x[:1]), optimal(mean, x)[:1], rtol=1e-12)
    of_batch = gaussian_nll(mean, x, np.mean((mean - x) ** 2))
    assert abs(of_batch[0] - optimal(mean, x)[0]) > 1
    # a perfect reconstruction is worth what the least variance lets it, and has a gradient
    found = jax.value_and_grad(lambda mean: optimal(mean, x[:1], 1e-4)[0])(x[:1])
    np.testing.assert_allclose(found[0], 1.5 * np.log(2 * np.pi * 1e-4), rtol=1e-12)
    np.testing.assert_array_equal(found[1], 0)
    # twice the dimensions, twice the loss
    twice = optimal(np.concatenate([mean, mean], 1), np.concatenate([x, x], 1))
    np.testing.assert_allclose(twice, 2 * optimal(mean, x), rtol=1e-12)


def test_student_nll_equals_scipy_and_has_almost_the_gradient_of_the_best_variance():
    mean, x = _pair()
    for degrees, variance in ((3.0, 0.4), (0.5, 2.0)):
        law = stats.multivariate_t(shape=variance * np.eye(8), df=degrees)
        expected = -law.logpdf((x - mean).reshape(3, 8))
        np.testing.assert_allclose(student_nll(mean, x, degrees, variance), expected, rtol=1e-10)
    # one variance is no independent Student variables, of which outliers are one by one
    apart = -stats.t.logpdf((x - mean) / np.sqrt(2), 0.5).sum(axis=(1, 2)) + 4 * np.log(2)
    assert np.all(np.abs(apart - student_nll(mean, x, 0.5, 2.0)) > 0.1)
    # n + D over n v + |e|^2, which tends to D / |e|^2
    slopes = [
        jax.grad(lambda mean, loss=loss: jnp.sum(loss(mean, x)))(mean)
        for loss in (losses.optimal_gaussian_nll, lambda m, x: student_nll(m, x, 1e-6, 0.1))
    ]
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-5)
    check_grads(lambda mean: student_nll(mean, x, 2.0, 0.3), (mean,), order=1, rtol=1e-6)
    # it tends to the Gaussian as the degrees of freedom grow
    expected = gaussian_nll(mean, x, 0.3)
    np.testing.assert_allclose(student_nll(mean, x, 1e7, 0.3), expected, rtol=1e-4)


def test_errors_by_hand():
    # differences 3, -4, -2: 9 + 16 + 4 = 29 and 3 + 4 + 2 = 9
    x_hat, x = np.array([[4.0, 1.0, 2.0]]), np.array([[1.0, 5.0, 4.0]])
    np.testing.assert_array_equal(squared_error(x_hat, x), [29.0])
    np.testing.assert_array_equal(absolute_error(x_hat, x), [9.0])
    # sigma = 1: 2 (1 - e^-4.5) + 2 (1 - e^-8) + 2 (1 - e^-2)
    expected = 6 - 2 * (0.011108997 + 0.000335463 + 0.135335283)
    np.testing.assert_allclose(correntropy(x_hat, x, 1.0), [expected], rtol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_correntropy_tends_to_squared_error(dtype):
    x_hat, x = (array.astype(dtype) for array in _pair())
    limit = np.asarray(squared_error(x_hat, x))
    # 2 s^2 (1 - exp(-e^2 / 2 s^2)) = e^2 - e^4 / (4 s^2) + ...
    gaps = [limit - np.asarray(correntropy(x_hat, x, sigma)) for sigma in (10.0, 20.0)]
    fourth = np.sum((x_hat - x) ** 4, axis=(1, 2))
    np.testing.assert_allclose(gaps[0], fourth / 400, rtol=0.05)
    np.testing.assert_allclose(gaps[0] / gaps[1], 4, rtol=0.05)
    np.testing.assert_allclose(correntropy(x_hat, x, 1e4), limit, rtol=1e-6)


def test_correntropy_ignores_the_size_of_an_outlier():
    # each dimension adds at most 2 sigma^2 = 0.5
    value = correntropy(np.array([[1e3, 1e6]]), np.zeros((1, 2)), 0.5)
    np.testing.assert_allclose(value, [1.0], rtol=1e-12)


@pytest.mark.parametrize("loss", PAIRS)
def test_gradients_equal_finite_differences(loss):
    check_grads(loss, _pair(), order=1, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("loss", PAIRS)
def test_losses_are_sums_over_dimensions_one_per_example(loss):
    x_hat, x = _pair()
    value = np.asarray(loss(x_hat, x))
    assert value.shape == (3,)
    # twice the dimensions, twice the loss: a mean over pixels would not change
    doubled = loss(np.concatenate([x_hat, x_hat], 1), np.concatenate([x, x], 1))
    np.testing.assert_allclose(doubled, 2 * value, rtol=1e-12)
    # examples do not mix
    np.testing.assert_allclose(loss(x_hat[1:2], x[1:2]), value[1:2], rtol=1e-12)


@pytest.mark.parametrize("loss", PAIRS)
def test_dtype_follows_the_prediction(loss):
    x_hat, x = _pair()
    assert loss(x_hat.astype(np.float32), x).dtype == jnp.float32
    assert loss(x_hat, np.ones(x.shape, np.uint8)).dtype == jnp.float64


@pytest.mark.parametrize("loss", PAIRS)
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(InputError, match=r"equal.*\[2, 3, 1\].*\[2, 3, 3\]"):
        loss(np.zeros((2, 3, 1)), np.zeros((2, 3, 3)))
