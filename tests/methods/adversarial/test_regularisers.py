"""Regularisers alone and together: their numbers, their randomness and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import nets
from ae_jax.core import InputError
from ae_jax.losses import adversarial
from ae_jax.methods.adversarial import regularisers
from ae_jax.nets.layers import dense
from ae_jax.nets.residual import BatchNorm

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)
W = np.sin(np.arange(4) + 1.0)
X = np.sin(np.arange(12).reshape(3, 2, 2, 1) + 1.0)
Y = np.cos(2 * np.arange(12).reshape(3, 2, 2, 1) + 1.0)


def linear(x):
    return x.reshape(len(x), -1) @ W


def curved(x):
    return jnp.sum(jnp.tanh(x.reshape(len(x), -1)) ** 2, axis=1)


def penalty(regulariser, critic=linear, key=KEY, real=X, fake=Y, **numbers):
    hparams = {**regulariser.hparams, **numbers}
    lost = jax.jit(regulariser.penalty, static_argnums=1)
    return np.asarray(lost(key, critic, real, fake, hparams))


NORM = np.linalg.norm(W)


@pytest.mark.parametrize(
    ("regulariser", "hparams", "expected"),
    [
        (
            regularisers.gradient_penalty(),
            {"gradient_penalty_weight": 10.0, "gradient_penalty_target": 1.0},
            10 * 0.2103284678169867,
        ),
        (
            regularisers.gradient_penalty(3.0, 2.0),
            {"gradient_penalty_weight": 3.0, "gradient_penalty_target": 2.0},
            3 * (NORM - 2) ** 2,
        ),
        (
            regularisers.gradient_penalty(3.0, 2.0, one_sided=True),
            {"gradient_penalty_weight": 3.0, "gradient_penalty_target": 2.0},
            0.0,
        ),
        (regularisers.r1(), {"r1_weight": 10.0}, 10 * 1.0637800511422502),
        (regularisers.r2(), {"r2_weight": 10.0}, 10 * 1.0637800511422502),
        (
            regularisers.dragan(),
            {"dragan_weight": 10.0, "dragan_scale": 0.5},
            10 * 0.2103284678169867,
        ),
        (regularisers.instance_noise(), {"instance_noise": 0.1}, 0.0),
        (regularisers.label_smoothing(), {"label_smoothing": 0.1}, 0.0),
    ],
)
def test_penalties_of_a_linear_critic(regulariser, hparams, expected):
    assert regulariser.hparams == hparams
    assert set(regulariser.domains) == set(hparams)
    assert all(default in regulariser.domains[name] for name, default in hparams.items())
    np.testing.assert_allclose(penalty(regulariser), [expected] * 3, rtol=1e-13)


def test_the_drift_of_real_logits():
    assert regularisers.drift().hparams == {"drift_weight": 1e-3}
    np.testing.assert_allclose(penalty(regularisers.drift()), 1e-3 * linear(X) ** 2, rtol=1e-13)


def test_which_examples_are_penalised():
    slope = np.sum((2 * np.tanh(X) / np.cosh(X) ** 2) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(penalty(regularisers.r1(2.0), curved), slope, rtol=1e-12)
    slope = np.sum((2 * np.tanh(Y) / np.cosh(Y) ** 2) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(penalty(regularisers.r2(2.0), curved), slope, rtol=1e-12)


def test_one_point_on_the_line_of_each_pair():
    # a critic whose slope at a point is the share of the real example in it
    real, fake = np.ones((2000, 5)), np.zeros((2000, 5))

    def square(x):
        return 0.5 * jnp.sum(x**2, axis=1) / np.sqrt(5)

    # |grad| = share |1, ..., 1| / sqrt 5
    costs = penalty(regularisers.gradient_penalty(1.0, 0.0), square, real=real, fake=fake)
    shares = np.sqrt(costs)
    # a share of each pixel, of which examples have the mean, would have a deviation of 0.13
    assert abs(np.mean(shares) - 0.5) < 4 * np.sqrt(1 / 12 / 2000)
    assert abs(np.std(shares) - np.sqrt(1 / 12)) < 0.01
    assert 0 <= np.min(shares) < 0.01 < 0.99 < np.max(shares) < 1
    other = penalty(
        regularisers.gradient_penalty(1.0, 0.0), square, jax.random.key(1), real=real, fake=fake
    )
    assert np.all(other != costs)


def test_noise_around_real_examples():
    # |grad| - 1 = |x + noise| - 1 with x = 0 or 1 in 400 dimensions: deviation of all numbers 1/2
    real = np.repeat([[0.0], [1.0]], 400, axis=1)
    costs = penalty(
        regularisers.dragan(1.0, 0.3), lambda x: 0.5 * jnp.sum(x**2, axis=1), real=real, fake=real
    )
    norms = 1 + np.sqrt(costs)
    expected = np.sqrt(400 * (np.array([0.0, 1.0]) + 0.15**2))
    np.testing.assert_allclose(norms, expected, rtol=0.1)


def test_instance_noise():
    noise = regularisers.instance_noise()
    shown = jax.jit(noise.shown)
    x = np.zeros((100, 100))
    first, second = (shown(jax.random.key(i), x, {"instance_noise": 0.2}) for i in range(2))
    assert np.all(first != second)
    assert abs(np.std(first) - 0.2) < 0.2 * 4 / np.sqrt(2 * 10_000)
    np.testing.assert_array_equal(shown(KEY, x + 0.3, {"instance_noise": 0.0}), 0.3)


def test_any_combine_with_any():
    parts = [
        regularisers.gradient_penalty(),
        regularisers.r1(),
        regularisers.r2(),
        regularisers.dragan(),
        regularisers.drift(),
        regularisers.instance_noise(),
        regularisers.label_smoothing(0.2),
    ]
    every = regularisers.together(*parts)
    assert every.hparams == {name: value for part in parts for name, value in part.hparams.items()}
    assert every.domains == {name: value for part in parts for name, value in part.domains.items()}
    expected = sum(penalty(part) for part in parts)
    np.testing.assert_allclose(penalty(every), expected, rtol=1e-13)  # linear: no noise in them
    assert every.smoothing(every.hparams) == 0.2
    shown = every.shown(KEY, X, every.hparams)
    assert 0 < np.max(np.abs(shown - X)) < 0.5


def test_weights_are_swept_in_one_program():
    both = regularisers.together(regularisers.r1(), regularisers.r2())
    lanes = {"r1_weight": jnp.asarray([0.0, 2.0, 0.0]), "r2_weight": jnp.asarray([0.0, 0.0, 4.0])}
    costs = jax.jit(jax.vmap(lambda hparams: both.penalty(KEY, linear, X, Y, hparams)))(lanes)
    np.testing.assert_allclose(costs, [[0] * 3, [NORM**2] * 3, [2 * NORM**2] * 3], rtol=1e-13)


def test_levels_add_up():
    twice = regularisers.Regulariser({"other": 0.5}, smoothing=lambda hparams: hparams["other"])
    both = regularisers.together(regularisers.label_smoothing(0.2), twice)
    np.testing.assert_allclose(both.smoothing(both.hparams), 1 - 0.8 * 0.5)
    # noise on noise, by different keys
    more = regularisers.Regulariser({}, shown=regularisers.instance_noise().shown)
    both = regularisers.together(regularisers.instance_noise(0.3), more)
    shown = both.shown(KEY, np.zeros((100, 100)), both.hparams)
    assert abs(np.std(shown) - 0.3 * np.sqrt(2)) < 0.02


def test_none_at_all():
    none = regularisers.together()
    assert none.hparams == {}
    np.testing.assert_array_equal(penalty(none), 0)
    np.testing.assert_array_equal(none.shown(KEY, X, {}), X)
    assert none.smoothing({}) == 0
    assert none.check(nets.mlp(1), X) is None


def test_two_of_a_kind_are_refused():
    with pytest.raises(InputError, match="share the hyperparameter r1_weight"):
        regularisers.together(regularisers.r1(1.0), regularisers.r1(2.0))


def test_the_gradient_of_a_gradient_reaches_the_parameters():
    def lost(w):
        both = regularisers.together(regularisers.r1(2.0), regularisers.gradient_penalty(1.0))
        return jnp.mean(both.penalty(KEY, lambda x: x.reshape(3, -1) @ w, X, Y, both.hparams))

    # 2 w + 2 (|w| - 1) w / |w|
    expected = 2 * W + 2 * (NORM - 1) * W / NORM
    np.testing.assert_allclose(jax.jit(jax.grad(lost))(jnp.asarray(W)), expected, rtol=1e-13)


def test_penalties_of_convolutions_move_their_kernels():
    kernel = jax.random.normal(KEY, (3, 3, 1, 2))

    def lost(kernel, impl):
        def critic(x):
            return jnp.tanh(nets.conv(x, kernel, (2, 2), impl=impl))

        return jnp.mean(regularisers.r1(1.0).penalty(KEY, critic, X, Y, {"r1_weight": 1.0}))

    gradient = jax.jit(lambda kernel: [jax.grad(lost)(kernel, impl) for impl in ("matmul", "lax")])
    ours, xla = gradient(kernel)
    np.testing.assert_allclose(ours, xla, rtol=1e-10)
    values = jax.jit(lambda kernels: jax.vmap(lambda k: lost(k, "matmul"))(kernels))
    step = 1e-5 * ours / jnp.linalg.norm(ours)
    above, below = values(jnp.stack([kernel + step, kernel - step]))
    np.testing.assert_allclose((above - below) / 2e-5, np.linalg.norm(ours), rtol=1e-6)


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        return dense(1)(BatchNorm()(x.reshape(len(x), -1), train))


class Spectral(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        return nn.SpectralNorm(nn.Dense(1))(x.reshape(len(x), -1), update_stats=train)


def test_batch_statistics_and_slopes_do_not_go_together():
    normed = nets.flax_network(Normed())
    penalties = [
        regularisers.gradient_penalty(),
        regularisers.r1(),
        regularisers.r2(),
        regularisers.dragan(),
    ]
    for regulariser in penalties:
        with pytest.raises(InputError, match="without batch normalisation"):
            regulariser.check(normed, X)
    others = regularisers.drift(), regularisers.instance_noise(), regularisers.label_smoothing()
    regularisers.together(*others).check(normed, X)
    with pytest.raises(InputError, match="without batch normalisation"):
        regularisers.together(*others, regularisers.r1()).check(nets.spectral(normed), X)
    every = regularisers.together(*penalties)
    every.check(nets.spectral(nets.mlp(1)), X)
    every.check(nets.flax_network(Spectral()), X.astype(np.float32))


def test_smoothing_is_that_of_an_objective():
    smoothed = regularisers.label_smoothing(0.3)
    level = smoothed.smoothing(smoothed.hparams)
    lost = adversarial.hinge().discriminator(np.array([0.5]), np.array([-2.0]), level)
    np.testing.assert_allclose(lost, [0.7 * 0.5 + 0.3 * 1.5])
