"""Penalties of the slopes of critics that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ae_jax.core import InputError
from ae_jax.losses import adversarial

pytestmark = pytest.mark.usefixtures("x64")

# critics whose gradients are known: w.x, and x'Ax / 2
W = np.sin(np.arange(4) + 1.0)
A = np.sin(3 * np.arange(4)[:, None] + 5 * np.arange(4)[None] + 1.0)
A = (A + A.T) / 2
X = np.sin(np.arange(12).reshape(3, 4) + 1.0)
Y = np.cos(2 * np.arange(12).reshape(3, 4) + 1.0)
SHARE = np.array([0.25, 0.5, 0.9])


def flat(x):
    return x.reshape(len(x), -1)


def linear(w):
    return lambda x: flat(x) @ w


def quadratic(x):
    return 0.5 * jnp.sum((flat(x) @ A) * flat(x), axis=1)


def test_penalties_of_a_linear_critic():
    def penalised(w):
        return jnp.mean(adversarial.slope_penalty(linear(w), X.reshape(3, 2, 2)))

    value, gradient = jax.jit(jax.value_and_grad(penalised))(W)
    np.testing.assert_allclose(value, 0.2103284678169867, rtol=1e-13)
    # 2 (|w| - 1) w / |w|
    expected = [0.5291481126374233, 0.571799890807548, 0.08874148635951394, -0.47590543139512503]
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)

    def centred(w):
        return 0.5 * jnp.mean(adversarial.squared_slope(linear(w), X))

    value, gradient = jax.jit(jax.value_and_grad(centred))(W)
    np.testing.assert_allclose(value, 1.0637800511422502, rtol=1e-13)
    np.testing.assert_allclose(gradient, W, rtol=1e-13)


def test_penalties_of_a_quadratic_critic():
    x = adversarial.between(X, Y, SHARE)
    np.testing.assert_allclose(x, SHARE[:, None] * X + (1 - SHARE[:, None]) * Y, rtol=1e-15)

    @jax.jit
    def penalties(x):
        return [
            jnp.mean(adversarial.slope_penalty(quadratic, x.reshape(3, 2, 2, 1))),
            jnp.mean(adversarial.slope_penalty(quadratic, x, one_sided=True)),
            0.5 * jnp.mean(adversarial.squared_slope(quadratic, X)),
            0.5 * jnp.mean(adversarial.squared_slope(quadratic, Y)),
        ]

    expected = [0.13232936926206637, 0.12297508227508953, 0.9600320011461396, 0.6600470981777321]
    np.testing.assert_allclose(penalties(x), expected, rtol=1e-13)
    # widely copied: norms over the channels alone, and over the batch as well
    slopes = (np.asarray(x) @ A).reshape(3, 1, 2, 2)
    channels = np.mean((np.linalg.norm(slopes, axis=1) - 1) ** 2)
    batch = (np.linalg.norm(slopes) - 1) ** 2
    np.testing.assert_allclose(channels, 0.19338764377348816, rtol=1e-13)
    np.testing.assert_allclose(batch, 1.4069231051307445, rtol=1e-13)


def test_slopes_are_those_of_logits():
    # of their sigmoid it is D (1 - D) |w|, |w| / 4 at 0
    square = adversarial.squared_slope(lambda x: jax.nn.sigmoid(linear(W)(x)), np.zeros((1, 4)))
    np.testing.assert_allclose(np.sqrt(square), [0.3646539543084392], rtol=1e-13)
    square = adversarial.squared_slope(linear(W), np.zeros((1, 4)))
    np.testing.assert_allclose(np.sqrt(square), [1.4586158172337569], rtol=1e-13)


def test_the_expected_penalty_of_a_quadratic_critic_on_a_gaussian():
    # (tr A S A' + m'A'A m) / 2, by points that have this mean and this covariance
    mean, std = np.array([0.5, -1, 0, 2]), np.sqrt([1, 0.25, 4, 0.5])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    value = 0.5 * jnp.mean(adversarial.squared_slope(quadratic, mean + signs * std))
    np.testing.assert_allclose(value, 3.7983399269728713, rtol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_flat_critic_has_a_penalty_of_one_and_a_finite_gradient(dtype):
    x = jnp.asarray(X, dtype)

    @jax.jit
    def penalised(w):
        def mean(w, one_sided):
            return jnp.mean(adversarial.slope_penalty(linear(w), x, one_sided=one_sided))

        return [jax.value_and_grad(mean)(w, one_sided) for one_sided in (False, True)]

    two_sided, one_sided = penalised(jnp.zeros(4, dtype))
    # with an epsilon of 1e-4 under the root it would be 0.9801
    assert two_sided[0] == 1
    np.testing.assert_array_equal(two_sided[1], 0)
    np.testing.assert_array_equal([one_sided[0], *one_sided[1]], 0)
    # and one that is almost flat is pulled in its own direction
    two_sided, _ = penalised(jnp.asarray(1e-9 * W, dtype))
    np.testing.assert_allclose(two_sided[1], -2 * W / np.linalg.norm(W), rtol=1e-5)


def test_the_gradient_of_a_penalty_by_finite_differences():
    key = jax.random.key(0)
    weights = [jax.random.normal(key, (4, 5)), jax.random.normal(key, (5,))]

    def penalised(weights):
        def critic(x):
            return jnp.tanh(x @ weights[0]) @ weights[1]

        return jnp.mean(adversarial.slope_penalty(critic, X, 0.7))

    check_grads(jax.jit(penalised), (weights,), order=1, modes=["rev"], rtol=1e-6)


def test_a_critic_of_patches_is_their_mean():
    def patches(x):
        return jnp.stack([x @ W, 3 * (x @ W)], axis=1)[..., None]

    square = adversarial.squared_slope(patches, X)
    np.testing.assert_allclose(square, np.full(3, 4 * W @ W), rtol=1e-13)


def test_what_is_no_critic_is_refused():
    with pytest.raises(
        InputError, match=r"logits \[B, ...\] of x \[B, ...\], got \[4\] of \[3, 4\]"
    ):
        adversarial.squared_slope(lambda x: x[0], X)
    with pytest.raises(InputError, match=r"share must be \[3\]"):
        adversarial.between(X, Y, np.ones((3, 4)))
    with pytest.raises(InputError, match="shapes must be equal"):
        adversarial.between(X, Y[:2], SHARE)
