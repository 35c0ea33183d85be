"""The Poincare ball, and the normal distributions on it, against tables, quadrature and NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from ae_jax.core import InputError
from ae_jax.probability import gaussian, poincare, riemannian_normal, wrapped_normal

KEY = jax.random.key(7)
X, Y, V = np.array([0.3, -0.2]), np.array([-0.5, 0.4]), np.array([0.4, 0.7])
SCALE = 0.7
#: By c: distance, conformal factor at x, x + y, exp and log at x, exp at 0, log-densities in two
#: and three dimensions of the wrapped normal of scale 0.7 about x at y; distance in three.
TABLE = {
    0.5: (
        *(2.11659395829, 2.13903743316, [-0.223406631985, 0.228513069288]),
        *([0.739762488165, 0.369058442958], [-0.796898796363, 0.586581408013]),
        *([0.361645185657, 0.6328790749], -6.04478066428, -7.13918301693, 2.15339937954),
    ),
    1.0: (
        *(2.27104379646, 2.29885057471, [-0.252823192314, 0.266307095904]),
        *([0.738959719673, 0.243613805878], [-0.799855598398, 0.579815002051]),
        *([0.331174203675, 0.579554856431], -7.13437385193, -8.88570619455, 2.34617041438),
    ),
    1.7: (
        *(2.62819961377, 2.56739409499, [-0.30910904023, 0.345664544118]),
        *([0.693376464362, 0.100607010713], [-0.833711032442, 0.594015432045]),
        *([0.297669743679, 0.520922051438], -9.67386479605, -13.2825959132, 2.83552235968),
    ),
}
#: log of the Riemannian normal's integral in two dimensions at c = 1, by its scale.
NORMALISERS = {0.7: 1.29048583455, 1.0: 2.18195327275, 2.0: 4.71024768732}


def add(x, y, c):
    """Moebius addition as it is written."""
    xy, xx, yy = x @ y, x @ x, y @ y
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c * c * xx * yy)


def wrapped(z, mean, c):
    log_var = np.full(np.shape(z), 2 * np.log(SCALE))
    return wrapped_normal.log_prob(z, mean, log_var, c)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("c", TABLE)
def test_the_ball_is_that_of_the_table(c):
    @jax.jit
    def found(x, y, v, x3, y3):
        return (
            poincare.distance(x, y, c),
            poincare.conformal_factor(x, c),
            poincare.mobius_add(x, y, c),
            poincare.exp_map(x, v, c),
            poincare.log_map(x, y, c),
            poincare.exp_map(0 * x, v, c),
            wrapped(y[None], x[None], c)[0],
            wrapped(y3[None], x3[None], c)[0],
            poincare.distance(x3, y3, c),
        )

    given = found(X, Y, V, np.append(X, 0.1), np.append(Y, 0.2))
    for value, expected in zip(given, TABLE[c], strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("x64")
def test_transport_is_a_gyration_and_geodesics_go_at_one_speed():
    c = 1.3

    @jax.jit
    def found(x, y, v):
        middle = poincare.geodesic(x, y, 0.3, c)
        ends = [poincare.distance(x, middle, c), poincare.distance(middle, y, c)]
        return poincare.parallel_transport(x, y, v, c), jnp.stack(ends)

    carried, parts = found(X, Y, V)

    def factor(x):
        return 2 / (1 - c * x @ x)

    # gyr[y, -x] v = -(y + -x) + (y + (-x + v)), linear in v: of a small one
    small = 1e-3 * V
    turned = add(-add(Y, -X, c), add(Y, add(-X, small, c), c), c) / 1e-3
    np.testing.assert_allclose(carried, factor(X) / factor(Y) * turned, rtol=1e-9)
    np.testing.assert_allclose(
        factor(Y) * np.linalg.norm(carried), factor(X) * np.linalg.norm(V), rtol=1e-12
    )
    np.testing.assert_allclose(parts, [0.3 * sum(parts), 0.7 * sum(parts)], rtol=1e-12)
    np.testing.assert_allclose(sum(parts), poincare.distance(X, Y, c), rtol=1e-12)
    # from the origin a vector is scaled and no more
    np.testing.assert_allclose(
        poincare.parallel_transport(0 * X, Y, V, c), V * (1 - c * Y @ Y), rtol=1e-12
    )


def test_single_precision_keeps_digits_near_the_boundary():
    near = jnp.asarray([[0.999, 0.01], [0.9995, -0.02], [0.6, 0.79]], jnp.float32)
    u = jnp.asarray([[0.3, -0.2], [-1e-3, 2e-3], [8.0, 5.0]], jnp.float32)

    @jax.jit
    def found(x, u):
        y = poincare.reached(x, u, 1.0)
        slope = jax.grad(lambda u: jnp.sum(poincare.seen(x, poincare.reached(x, u, 1.0), 1.0)))(u)
        return y, poincare.seen(x, y, 1.0), slope

    y, back, slope = found(near, u)
    assert np.all(np.linalg.norm(np.asarray(y, float), axis=1) < 1)
    # coordinates are rounded to 6e-8, where a length of 1 is one of 5e-4
    np.testing.assert_allclose(back[:2], u[:2], rtol=1e-3, atol=3e-4)
    assert np.all(np.isfinite(slope))
    # as far as double precision has it, of the points that single precision tells
    with jax.enable_x64(True):
        exact = poincare.distance(np.asarray(near, float), np.asarray(y, float), 1.0)
    np.testing.assert_allclose(poincare.distance(near, y, 1.0), exact, rtol=2e-2)
    # what is sent beyond the boundary stops inside, 12 from the origin
    far = poincare.reached(jnp.zeros((1, 2)), jnp.asarray([[40.0, 0.0]]), 1.0)
    np.testing.assert_allclose(poincare.distance(jnp.zeros((1, 2)), far, 1.0), 12.0, atol=0.05)
    assert np.all(np.isfinite(jax.grad(lambda u: poincare.reached(0 * u, u, 1.0)[0, 0])(far)))


@pytest.mark.usefixtures("x64")
def test_without_curvature_the_ball_is_the_plane_seen_twice_as_large():
    rows = np.random.default_rng(0).normal(size=(3, 4, 2))
    mean, z, log_var = rows
    np.testing.assert_allclose(poincare.mobius_add(mean, z, 0.0), mean + z)
    np.testing.assert_allclose(poincare.seen(mean, z, 0.0), 2 * (z - mean))
    found = wrapped_normal.log_prob(z, mean, log_var, 0.0)
    np.testing.assert_allclose(found, gaussian.log_prob(2 * z, 2 * mean, log_var), rtol=1e-12)
    drawn = wrapped_normal.sample(KEY, mean, log_var, 0.0)
    np.testing.assert_allclose(drawn, gaussian.sample(KEY, 2 * mean, log_var) / 2, rtol=1e-12)
    alike = log_var[:, :1]
    found = riemannian_normal.log_prob(z, mean, alike[:, 0], 0.0)
    expected = gaussian.log_prob(2 * z, 2 * mean, np.tile(alike, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    near = wrapped_normal.log_prob(z / 4, mean / 4, log_var, 1e-9)
    np.testing.assert_allclose(
        near, gaussian.log_prob(z / 2, mean / 2, log_var), rtol=1e-7, atol=1e-7
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("density", [wrapped_normal, riemannian_normal])
def test_densities_integrate_to_one_over_the_balls_own_volume(density):
    c, size = 1.7, 400
    radius, width = np.linspace(0, 8, size, retstep=True)
    angle = 2 * np.pi * np.arange(60) / 60
    r, a = (grid.ravel() for grid in np.meshgrid(radius, angle, indexing="ij"))
    z = (np.tanh(np.sqrt(c) * r / 2) / np.sqrt(c))[:, None] * np.stack([np.cos(a), np.sin(a)], 1)
    log_var = np.array([-0.9, -0.4]) if density is wrapped_normal else np.array(-0.6)
    wide = np.broadcast_to(log_var, (len(z), *log_var.shape))
    mean = np.broadcast_to(0.5 * X, z.shape)
    p = np.exp(jax.jit(functools.partial(density.log_prob, curvature=c))(z, mean, wide))
    cell = width * 2 * np.pi / 60
    volume = np.sinh(np.sqrt(c) * r) / np.sqrt(c)
    np.testing.assert_allclose(np.sum(p * volume) * cell, 1, rtol=1e-4)
    # with respect to that of R^2 it is no density
    flat = volume * ((1 - c * np.sum(z**2, axis=1)) / 2) ** 2
    assert abs(np.sum(p * flat) * cell - 1) > 0.3


@pytest.mark.usefixtures("x64")
def test_a_ball_of_another_curvature_is_a_scale():
    c, z = 3.0, np.stack([X, Y, V]) / 2
    mean, log_var = np.tile(0.3 * X, (3, 1)), np.tile([[-0.9, -0.4]], (3, 1))
    for density, own in ((wrapped_normal, log_var), (riemannian_normal, log_var[:, 0])):
        found = jax.jit(functools.partial(density.log_prob, curvature=c))(z, mean, own)
        unit = jax.jit(functools.partial(density.log_prob, curvature=1.0))
        root = np.sqrt(c)
        # lengths are sqrt(c) times as long, and areas c times as large
        expected = unit(root * z, root * mean, own + np.log(c)) + np.log(c)
        np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_wrapped_draws_are_gaussian_as_seen_from_the_mean():
    rows = np.random.default_rng(1).normal(size=(2, 5, 3))
    mean, log_var = 0.3 * rows[0], rows[1]
    z = wrapped_normal.sample(KEY, mean, log_var, 0.8)
    expected = gaussian.sample(KEY, np.zeros((5, 3)), log_var)
    np.testing.assert_allclose(poincare.seen(mean, z, 0.8), expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.usefixtures("x64")
def test_the_riemannian_normaliser_is_the_integral(dtype):
    tolerance = 1e-5 if dtype == jnp.float32 else 1e-10
    log_var = jnp.asarray(2 * np.log(list(NORMALISERS)), dtype)
    found = riemannian_normal.log_normaliser(log_var, 2, 1.0)
    np.testing.assert_allclose(found, list(NORMALISERS.values()), rtol=tolerance)
    for dim, v, c in ((5, 0.3, 1.0), (20, 0.5, 0.4), (50, 0.02, 2.0)):

        def log_of(r, dim=dim, v=v, c=c):
            return -(r**2) / (2 * v) + (dim - 1) * np.log(np.sinh(np.sqrt(c) * r) / np.sqrt(c))

        grid = np.linspace(1e-6, 40, 400_001)
        top, at = np.max(log_of(grid)), grid[np.argmax(log_of(grid))]
        low, high = max(at - 6, 1e-9), at + 6
        near = np.linspace(low, high, 200_001)
        whole = integrate.simpson(np.exp(log_of(near) - top), x=near)
        area = np.log(2) + dim / 2 * np.log(np.pi) - float(jax.scipy.special.gammaln(dim / 2))
        found = riemannian_normal.log_normaliser(jnp.asarray(np.log(v), dtype), dim, c)
        np.testing.assert_allclose(found, top + np.log(whole) + area, rtol=1e-5)


@pytest.mark.usefixtures("x64")
def test_riemannian_draws_are_at_the_quantiles_of_their_distance_and_move_with_it():
    c, dim, log_var = 1.2, 3, np.log(0.8)
    grid = np.linspace(0, 14, 20_001)
    u = (np.arange(2000) + 0.5) / 2000

    def density(log_var):
        # the area of a sphere and exp(-r^2 / (2 v)), up to a constant
        p = np.sinh(np.sqrt(c) * grid) ** (dim - 1) * np.exp(-(grid**2) / (2 * np.exp(log_var)))
        return p / np.trapezoid(p, grid)

    @jax.jit
    def quantiles(u, log_var):
        wide = jnp.broadcast_to(log_var, u.shape)
        own = lambda wide: riemannian_normal.quantile(u, wide, dim, c)  # noqa: E731
        return jax.jvp(own, (wide,), (jnp.ones_like(wide),))

    r, slope = quantiles(u, log_var)
    cumulated = integrate.cumulative_trapezoid(density(log_var), grid, initial=0)
    np.testing.assert_allclose(np.interp(r, grid, cumulated), u, atol=1e-6)
    # d E[r] / d log v, which the radius scaled with the deviation alone gets wrong
    means = [np.trapezoid(grid * density(log_var + step), grid) for step in (-1e-4, 1e-4)]
    exact = (means[1] - means[0]) / 2e-4
    np.testing.assert_allclose(np.mean(slope), exact, rtol=2e-3)
    assert abs(np.mean(r) / 2 - exact) > 0.1 * exact
    mean = np.broadcast_to(np.append(X, 0.1), (4000, 3))
    z = riemannian_normal.sample(KEY, mean, np.full(4000, log_var), c)
    seen = np.asarray(poincare.seen(mean, z, c))
    away = np.linalg.norm(seen, axis=1)
    assert stats.kstest(np.interp(away, grid, cumulated), "uniform").pvalue > 0.01
    np.testing.assert_allclose(np.mean(seen / away[:, None], axis=0), 0, atol=0.04)


def test_refuses():
    x = jnp.zeros((2, 3))
    with pytest.raises(InputError, match="points of a ball are"):
        wrapped_normal.log_prob(jnp.zeros((2, 3, 1)), x[..., None], x[..., None], 1.0)
    with pytest.raises(InputError, match="2 dimensions or more, got 1"):
        riemannian_normal.sample(KEY, x[:, :1], x[:, 0], 1.0)
    with pytest.raises(InputError, match="curvature is -1: use 0 or more"):
        poincare.require_curvature(-1)
