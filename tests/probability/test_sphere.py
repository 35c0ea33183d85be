"""Draws from the sphere: their moments, their slopes, and popular samplers that fail both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from ae_jax.probability import power_spherical, sphere, von_mises_fisher
from ae_jax.probability.sampling import uniform
from tests.marks import rare

KEY = jax.random.key(5)
BOTH = {"von_mises_fisher": von_mises_fisher, "power_spherical": power_spherical}


#: By (m, k): A, d E[w] / dk, and what the slope of an accepted draw of Wood's sampler gives of it.
SLOPES = {
    (5, 2.0): (0.361106650207, 0.147388686763, 0.127670480635),
    (10, 5.0): (0.422450151016, 0.0611255980796, 0.0565208503601),
    (10, 50.0): (0.913209599874, 0.00167049872117, 0.00163715906038),
    (50, 10.0): (0.192830801652, 0.0179453538397, 0.0178531942749),
    (3, 5.0): (0.800090803982, 0.0398183837906, 0.0313821433509),
}


@pytest.mark.parametrize(("dim", "k"), [(5, 2.0), *(rare(*case) for case in list(SLOPES)[1:])])
def test_gradients_of_draws_have_the_slope_of_the_mean_and_rejected_ones_have_not(dim, k):
    count = 4000
    mu = jnp.zeros((count, dim)).at[:, 0].set(1)

    def along(k):
        return von_mises_fisher.sample(KEY, mu, k)[:, 0]

    k_each = jnp.full(count, k)
    w, slope = jax.jit(lambda k: jax.jvp(along, (k,), (jnp.ones(count),)))(k_each)
    mean, exact, naive = SLOPES[dim, k]
    np.testing.assert_allclose(exact, 1 - mean**2 - (dim - 1) * mean / k, rtol=1e-9)
    for drawn, expected in ((w, mean), (slope, exact)):
        error = np.std(drawn, dtype=float) / np.sqrt(count)
        assert abs(np.mean(drawn, dtype=float) - expected) < 4 * error
    # uniform numbers in order leave hardly any error: enough to tell the naive slope apart
    u = jnp.asarray((np.arange(count) + 0.5) / count, jnp.float32)
    even = jax.jit(
        lambda u, k: jax.vmap(jax.grad(lambda k, u: jnp.cos(von_mises_fisher.quantile(u, k, dim))))(
            k, u
        )
    )(u, k_each)
    assert abs(np.mean(even, dtype=float) - exact) < 0.02 * abs(naive - exact)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("dim", "k"), [(2, 4.0), (3, 0.5), (8, 30.0)])
def test_samples_are_of_length_one_and_follow_the_density(name, dim, k):
    count, density = 3000, BOTH[name]
    mu = np.array([0.6, -0.8, *np.zeros(dim - 2)], np.float32)
    each = np.tile(mu, (count, 1))
    x = np.asarray(jax.jit(density.sample)(KEY, each, np.full(count, k, np.float32)), float)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-6)
    w = x @ mu
    angle = np.arccos(np.clip(w, -1, 1))
    # of vMF the integral of each of the sorted angles' densities on a fine grid
    if name == "power_spherical":
        law = stats.beta((dim - 1) / 2 + k, (dim - 1) / 2).cdf
        assert stats.kstest((1 + w) / 2, law).pvalue > 0.01
    else:
        grid = np.linspace(0, np.pi, 20_001)
        weight = np.exp(k * np.cos(grid)) * np.sin(grid) ** (dim - 2)
        mass = integrate.cumulative_trapezoid(weight, grid, initial=0)
        assert stats.kstest(angle, lambda t: np.interp(t, grid, mass / mass[-1])).pvalue > 0.01
    mean = x.mean(axis=0)
    length = float(density.mean_resultant_length(np.float32(k), dim))
    error = x.std(axis=0) / np.sqrt(count)
    assert np.all(np.abs(mean - length * mu) < 4 * error)
    # around the mean direction every tangent is as likely: a rotation of the noise is none
    tangent = x - w[:, None] * mu
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    second = tangent.T @ tangent / count
    expected = (np.eye(dim) - np.outer(mu, mu)) / (dim - 1)
    np.testing.assert_allclose(second, expected, atol=0.05)


def reflected(mu, y):
    """Popular code: the reflection that takes the first axis to mu, with 1e-5 in its division."""
    u = np.eye(len(mu))[0] - mu
    u = u / (np.linalg.norm(u) + 1e-5)
    return y - 2 * u * (u @ y)


@pytest.mark.parametrize("shift", [0.0, 1e-6, 1e-4])
def test_draws_have_length_one_and_finite_gradients_at_the_first_axis(shift):
    mu = np.array([np.cos(shift), np.sin(shift), 0, 0])
    if shift:  # which stretches what it should turn
        assert abs(np.linalg.norm(reflected(mu, np.array([0.0, 1, 0, 0]))) - 1) > 0.01
    count = 64
    each = jnp.asarray(np.tile(mu, (count, 1)), jnp.float32)

    def total(direction, k):
        x = von_mises_fisher.sample(KEY, direction, k)
        return jnp.sum(x * jnp.arange(4.0)[None]), x

    (by_mu, by_k), x = jax.jit(jax.grad(total, (0, 1), has_aux=True))(each, jnp.full(count, 5.0))
    np.testing.assert_allclose(np.linalg.norm(np.asarray(x, float), axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.asarray(x, float) @ mu, np.cos(angles_of(count)), atol=1e-5)
    assert np.all(np.isfinite(by_k))
    # a draw moves no faster than its mean direction, where reflections turn it by 1 / shift
    assert np.max(np.linalg.norm(by_mu, axis=1)) < 3 * np.linalg.norm(np.arange(4))


def angles_of(count):
    """Of the uniform numbers that a sample takes."""
    u = uniform(jax.random.split(KEY)[0], (count,), jnp.float32)
    return np.asarray(von_mises_fisher.quantile(u, jnp.full(count, 5.0), 4), float)


def test_mean_moves_with_the_mean_direction():
    # E[x] = A mu, so the gradient of E[x] in a tangent direction is A times it
    count = 4000
    mu = jnp.zeros((count, 3)).at[:, 1].set(1)
    turn = jnp.zeros((count, 3)).at[:, 2].set(1)
    k = jnp.full(count, 4.0)
    moved = jax.jit(
        lambda: jax.jvp(lambda mu: von_mises_fisher.sample(KEY, mu, k), (mu,), (turn,))[1]
    )()
    moved = np.asarray(moved, float)
    error = moved.std(axis=0) / np.sqrt(count)
    gap = moved.mean(axis=0) - [0, 0, 1 / np.tanh(4) - 1 / 4]
    assert np.all(np.abs(gap) <= 4 * error + 1e-6)


@pytest.mark.parametrize("name", BOTH)
def test_lanes_draw_what_each_draws_alone(name):
    mu, ks = jnp.eye(5)[:2], jnp.array([[1.0, 20.0], [300.0, 0.0]])

    def drawn(k):
        return BOTH[name].sample(KEY, mu, k)

    @jax.jit
    def all_ways(ks):
        return jax.vmap(drawn)(ks), jax.lax.map(drawn, ks), jnp.stack([drawn(ks[0]), drawn(ks[1])])

    together, mapped, apart = all_ways(ks)
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-5)
    np.testing.assert_allclose(mapped, apart, rtol=0, atol=1e-5)


def test_the_uniform_density():
    areas = [1.83787706641, 2.53102424697, 3.23874277946, -25.4733350713]
    np.testing.assert_allclose([sphere.log_area(m) for m in (2, 3, 10, 50)], areas, rtol=1e-11)
    x = np.asarray(sphere.sample(KEY, (4000, 3)), float)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-6)
    for values in x.T:  # Archimedes
        assert stats.kstest(values, stats.uniform(-1, 2).cdf).pvalue > 0.01
    np.testing.assert_allclose(sphere.log_prob(x[:2]), [-2.53102424697] * 2, rtol=1e-6)
    for density in BOTH.values():
        np.testing.assert_allclose(density.log_normaliser(0.0, 3), -2.53102424697, rtol=1e-6)


def test_a_direction_is_had_of_any_length():
    x = np.array([[3, 4], [3e-30, 4e-30], [3e30, 4e30], [0, 0]], np.float32)
    expected = [[0.6, 0.8]] * 3 + [[1, 0]]
    np.testing.assert_allclose(sphere.unit(x), expected, rtol=1e-6)
    slope = jax.jacobian(sphere.unit)(x[0])
    np.testing.assert_allclose(slope, [[0.128, -0.096], [-0.096, 0.072]], rtol=1e-5)
    assert np.all(np.isfinite(jax.jacobian(sphere.unit)(x[3])))


def test_a_great_circle_is_the_shortest_way_at_equal_speed(x64):
    start, end = sphere.sample(jax.random.key(0), (4, 3)), sphere.sample(jax.random.key(1), (4, 3))
    t = np.linspace(0, 1, 5)
    found = np.asarray(jax.jit(sphere.geodesic)(start[:, None], end[:, None], t[None, :, None]))
    angle = np.arccos(np.sum(np.asarray(start) * np.asarray(end), axis=1))[:, None]
    weights = (np.sin(part * angle) / np.sin(angle) for part in (1 - t, t))
    expected = sum(
        w[..., None] * np.asarray(x)[:, None] for w, x in zip(weights, (start, end), strict=True)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_great_circle_between_what_is_equal_or_opposed(x64):
    start = jnp.concatenate([jnp.eye(3), sphere.sample(jax.random.key(0), (2, 3))])
    t = jnp.linspace(0, 1, 5)
    way = jax.jit(lambda a, b, t: sphere.geodesic(a[:, None], b[:, None], t[None, :, None]))
    np.testing.assert_allclose(way(start, start, t), np.repeat(start[:, None], 5, 1), atol=1e-12)
    opposed = np.asarray(way(start, -start, t))
    np.testing.assert_allclose(opposed[:, -1], -start, atol=1e-12)
    steps = np.linalg.norm(np.diff(opposed, axis=1), axis=2)
    np.testing.assert_allclose(steps, 2 * np.sin(np.pi / 8), rtol=1e-10)
