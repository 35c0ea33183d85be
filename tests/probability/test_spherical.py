"""The von Mises-Fisher and power spherical distributions against tables and exact quantiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from ae_jax.core import InputError
from ae_jax.probability import power_spherical, sphere, von_mises_fisher
from tests.marks import rare

# With --full alone: they take long.
pytestmark = pytest.mark.full

KEY = jax.random.key(5)
BOTH = {"von_mises_fisher": von_mises_fisher, "power_spherical": power_spherical}
FLOATS = [jnp.float32, jnp.float64]


def in_floats(table):
    """Each row in single precision, the first and the last in double."""
    ends = (min(table), max(table))
    doubles = ((dim, jnp.float64) for dim in table)
    return [(dim, jnp.float32) for dim in table] + [
        row if row[0] in ends else rare(*row) for row in doubles
    ]


#: By dimension, at concentrations 0.1, 1, 10, 100 and 500, to 50 digits and rounded: mean resultant
#: length A, log-normaliser, divergence from uniform, and its slope k (1 - A^2) - (m - 1) A.
CONCENTRATIONS = [0.1, 1.0, 10.0, 100.0, 500.0]
VON_MISES_FISHER = {
    2: [
        (0.0499376039879, -1.84037550564, 0.00249532116492, 0.0498130195829),
        (0.446389965897, -2.07379142492, 0.210475607389, 0.35434603245),
        (0.948599825955, -9.78084914953, 1.54302617643, 0.0529838760295),
        (0.994987373005, -98.6176097564, 2.71900461057, 0.00502538302215),
        (0.998999498997, -497.811884735, 3.52574183032, 0.00100100301257),
    ],
    3: [
        (0.033311132254, -2.53269035843, 0.00166500176182, 0.0332667723388),
        (0.313035285499, -2.69246360854, 0.151595923928, 0.275938339034),
        (0.900000004122, -9.53529197135, 1.99573231684, 0.0999999175539),
        (0.99, -97.2327068804, 4.29831736655, 0.01),
        (0.998, -495.623268968, 5.90775527898, 0.002),
    ],
    10: [
        (0.0099991667857, -3.23924275863, 0.000499937509919, 0.0099975005951),
        (0.0991783823997, -3.28853640655, 0.0493847553134, 0.0975582068672),
        (0.633668391623, -7.09095710891, 2.48446958678, 0.281628169966),
        (0.955795172881, -87.4680438639, 11.3502162037, 0.0434021937594),
        (0.99103156269, -480.288944658, 18.4655794668, 0.00893681224461),
    ],
    50: [
        (0.00199999230775, 25.4732350715, 9.99994230817e-05, 0.00199997692336),
        (0.0199923133852, 25.4633369934, 0.00999423551309, 0.0199769515311),
        (0.192830801652, 24.4916756076, 0.946648552844, 0.179453538397),
        (0.783660718359, -29.3220183424, 23.5707184222, 0.188212650598),
        (0.952153142394, -392.193873896, 58.4093622296, 0.0466927372151),
    ],
    512: [
        (0.000195312492578, 867.968093395, 9.76562444338e-06, 0.000195312477735),
        (0.00195311757847, 867.9671266, 0.000976556933854, 0.00195310273551),
        (0.019523834023, 867.870465455, 0.097600634848, 0.0195090132846),
        (0.188404764015, 858.379265453, 9.25163869438, 0.17553007807),
        (0.611748182741, 682.026782185, 119.932770395, 0.27875907617),
    ],
}
#: The same at concentrations 5 and 50.
BETWEEN = {
    2: [
        (0.893383137044, -5.14255884223, 1.1622339094, 0.115949715182),
        (0.989948967378, -48.9654525683, 2.36987286705, 0.0101031319338),
    ],
    3: [
        (0.800090803982, -5.22839375301, 1.30308451386, 0.199091918953),
        (0.98, -47.925854061, 3.60517018599, 0.02),
    ],
    10: [
        (0.422450151015, -4.38248757942, 0.968505955118, 0.305627990398),
        (0.913209599874, -40.5073235554, 8.39189921777, 0.0835249360585),
    ],
    50: [
        (0.0990558768967, 25.2245224013, 0.246466714503, 0.0972016983222),
        (0.62110469474, 6.52321148518, 12.1051111509, 0.277317866303),
    ],
    512: [
        (0.00976469747678, 867.943690257, 0.0244105843611, 0.00976284278132),
        (0.0967457050704, 865.538149369, 2.40733146187, 0.0949581365721),
    ],
}
#: Of the other at concentrations 0.1, 1, 10 and 500, with the entropy in the place of the slope.
POWER_SPHERICAL = {
    3: [
        (0.047619047619, -2.50502878522, 0.00440108889523, 2.52662315807),
        (0.333333333333, -2.53102424697, 0.19314718056, 2.33787706641),
        (0.833333333333, -7.06460077977, 1.48880436371, 1.04221988326),
        (0.996015936255, -342.888008426, 5.21860210907, -2.6875778621),
    ],
    10: [
        (0.010989010989, -3.23352865835, 0.000640475965406, 3.23810230349),
        (0.1, -3.23874277946, 0.052487740075, 3.18625503938),
        (0.526315789474, -5.78840155062, 1.59558615498, 1.64315662448),
        (0.98231827112, -329.941575692, 15.4262851043, -12.1875423248),
    ],
    50: [
        (0.0020366598778, 25.4742608934, 0.000104778901651, -25.4734398502),
        (0.02, 25.4733350713, 0.010099980016, -25.4834350513),
        (0.169491525424, 24.7007546194, 0.732467695201, -26.2058027665),
        (0.910746812386, -254.613100439, 43.639363699, -69.1126987704),
    ],
    512: [
        (0.000195656427314, 867.968191292, 9.80965599937e-06, -867.96811297),
        (0.001953125, 867.96810316, 0.000977516172497, -867.969080677),
        (0.0191938579655, 867.881643121, 0.0944155412409, -868.062518702),
        (0.494559841741, 738.919470371, 71.7835798385, -939.751682999),
    ],
}


@jax.jit(static_argnames=("name", "dim"))
def figures(name, k, dim):
    density = BOTH[name]
    return (
        density.mean_resultant_length(k, dim),
        density.log_normaliser(k, dim),
        density.kl_uniform(k, dim),
        jax.vmap(jax.grad(lambda k: density.kl_uniform(k, dim)))(k),
        density.entropy(k, dim),
        jax.vmap(jax.grad(lambda k: density.log_normaliser(k, dim)))(k),
    )


def found(name, k, dim, dtype):
    return [np.asarray(x, float) for x in figures(name, jnp.asarray(k, dtype), dim)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("dim", "dtype"), in_floats(VON_MISES_FISHER))
def test_von_mises_fisher_is_that_of_the_table_and_finite_beyond(dim, dtype):
    beyond = [0.0, 1e-4, 1e6]
    exact = np.array(VON_MISES_FISHER[dim] + BETWEEN[dim]).T
    values = found("von_mises_fisher", CONCENTRATIONS + beyond + [5.0, 50.0], dim, dtype)
    known = np.r_[:5, 8, 9]
    rtol = 2e-5 if dtype == jnp.float32 else 3e-9
    for place, row, atol in ((0, 0, 5e-8), (2, 2, 1e-9), (3, 3, 1e-8)):
        value = values[place][known]
        np.testing.assert_allclose(value, exact[row], rtol=2 * rtol, atol=atol * (rtol == 2e-5))
    # of a number of hundreds
    np.testing.assert_allclose(values[1][known], exact[1], rtol=2e-7 if rtol == 2e-5 else 1e-11)
    np.testing.assert_allclose(values[4], sphere.log_area(dim) - values[2], rtol=1e-6)
    np.testing.assert_allclose(values[5], -values[0], rtol=1e-4, atol=1e-6)
    assert all(np.all(np.isfinite(value)) for value in values)
    # KL = k^2 / (2 m) near the uniform density, and A = 1 - (m - 1) / (2 k) far from it
    assert 0 <= values[2][5] < 1e-10
    near, atol = (0.05, 1e-11) if rtol == 2e-5 else (1e-6, 0)
    np.testing.assert_allclose(values[2][6], 1e-8 / (2 * dim), rtol=near, atol=atol)
    np.testing.assert_allclose(1 - values[0][7], (dim - 1) / 2e6, rtol=1e-3, atol=1e-6)


#: At concentration 100.
AT_100 = {
    3: (0.980392156863, -67.2306217861, 3.62502150694, -1.09399725997),
    10: (0.917431192661, -59.7085702935, 8.60899444914, -5.37025166968),
    50: (0.671140939597, -10.9528045054, 14.8583212539, -40.3316563252),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("dim", "dtype"), in_floats(POWER_SPHERICAL))
def test_power_spherical_is_that_of_the_table_and_finite_beyond(dim, dtype):
    k = [0.1, 1.0, 10.0, 500.0, 0.0, 1e-4, 1e6, 100.0]
    exact = np.array(POWER_SPHERICAL[dim]).T
    values = found("power_spherical", k, dim, dtype)
    rtol = 1e-5 if dtype == jnp.float32 else 3e-9
    np.testing.assert_allclose(values[0][:4], exact[0], rtol=rtol)
    np.testing.assert_allclose(values[1][:4], exact[1], rtol=2e-7 if rtol == 1e-5 else 1e-10)
    np.testing.assert_allclose(values[2][:4], exact[2], rtol=rtol, atol=2e-9 * (rtol == 1e-5))
    np.testing.assert_allclose(values[4][:4], exact[3], rtol=rtol, atol=1e-6)
    if dim in AT_100:
        row = [values[place][7] for place in (0, 1, 2, 4)]
        np.testing.assert_allclose(row, AT_100[dim], rtol=2 * rtol)
    assert all(np.all(np.isfinite(value)) for value in values)
    # dKL/dk = k (psi'(a) - psi'(a + b)), a = (m - 1) / 2 + k
    b = (dim - 1) / 2
    a = b + np.array(k)
    slope = k * (special.polygamma(1, a) - special.polygamma(1, a + b))
    np.testing.assert_allclose(values[3][:4], slope[:4], rtol=10 * rtol)
    np.testing.assert_allclose(values[3][7], slope[7], rtol=10 * rtol)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", BOTH)
def test_divergence_has_no_seam_where_the_nodes_move(name):
    # below k = sqrt(m) they are those of the uniform density, to the very antipode
    k = np.linspace(0.8, 1.2, 8) * np.sqrt(31)
    single, double = (found(name, k, 31, dtype) for dtype in FLOATS)
    for values, digits in zip((2, 3), (1e-5, 2e-5), strict=True):
        np.testing.assert_allclose(single[values], double[values], rtol=digits)
        assert np.all(np.abs(np.diff(double[values], 3)) < 1e-3 * double[values].max())
    between = np.diff(double[2]) / np.diff(k)
    np.testing.assert_allclose(between, (double[3][1:] + double[3][:-1]) / 2, rtol=1e-3)


def test_formulas_of_popular_code_fail_in_single_precision():
    # I_24(0.1) = 1e-55 is no number of float32; of differences of gamma functions little is left
    with np.errstate(divide="ignore"):
        assert np.log(special.ive(24.0, 0.1).astype(np.float32)) == -np.inf

    def closed(k, dtype):
        a, b = dtype(k + 255.5), dtype(255.5)
        gammas = [special.gammaln(x).astype(dtype) for x in (a + b, a, 2 * b, b)]
        slope = special.psi(a + b).astype(dtype) - special.psi(a).astype(dtype)
        return gammas[0] - gammas[1] - gammas[2] + gammas[3] - dtype(k) * slope

    right, exact = POWER_SPHERICAL[512][2][2], closed(10.0, np.float64)
    np.testing.assert_allclose(exact, right, rtol=1e-9)
    ours = found("power_spherical", [0.1, 1.0, 10.0, 500.0, 0.0, 1e-4, 1e6, 30.0], 512, jnp.float32)
    assert abs(ours[2][2] / right - 1) < 1e-5
    assert abs(closed(10.0, np.float32) / right - 1) > 1e-4


@pytest.mark.usefixtures("x64")
def test_log_densities_on_the_circle_equal_scipy_and_are_greatest_at_the_mean_direction():
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = np.stack([np.cos(t), np.sin(t)], 1)
    mu, k = np.tile([[0.6, -0.8]], (40, 1)), np.full(40, 7.0)
    x[:2] = mu[0], -mu[0]
    for name, expected in (
        ("von_mises_fisher", stats.vonmises.logpdf(t, 7.0, loc=np.arctan2(-0.8, 0.6))),
        ("power_spherical", stats.beta.logpdf((1 + x @ mu[0]) / 2, 7.5, 0.5)),
    ):
        nats, slope = (np.asarray(values) for values in log_probs(name, x, mu, k))
        if name == "power_spherical":  # of (1 + w) / 2, whose density is 2 f(t) 2 / sin t
            expected = expected - np.log(4) + np.log(np.abs(np.sin(t - np.arctan2(-0.8, 0.6))))
        np.testing.assert_allclose(nats[2:], expected[2:], rtol=1e-7)
        assert nats[0] == nats.max()
        # opposite the mean direction there is hardly a density, and a gradient
        assert nats[1] == nats.min()
        assert np.all(np.isfinite(slope))


def test_log_densities_keep_their_digits_near_the_mean_direction():
    # k (mu.x - 1) at an angle of 1e-3 and k = 1e6: -0.5 + 4e-8, where mu.x is 1 - 5e-7
    mu = np.array([[1, 0, 0]], np.float32)
    x = np.array([[np.cos(1e-3), np.sin(1e-3), 0]], np.float32)
    k = np.array([1e6], np.float32)
    for density, scale in ((von_mises_fisher, 1), (power_spherical, 2)):
        drop = density.log_prob(mu, mu, k) - density.log_prob(x, mu, k)
        np.testing.assert_allclose(drop, [0.5 / scale], rtol=1e-4)


@jax.jit(static_argnames="name")
def log_probs(name, x, mu, k):
    def total(x):
        nats = BOTH[name].log_prob(x, mu, k)
        return jnp.sum(nats), nats

    slope, nats = jax.grad(total, has_aux=True)(x)
    return nats, slope


def exact_mass(name, angle, k, dim):
    """P(t < angle), by scipy."""
    if name == "power_spherical":
        return stats.beta.cdf(np.sin(angle / 2) ** 2, (dim - 1) / 2, (dim - 1) / 2 + k)

    def density(t):
        return np.exp(k * (np.cos(t) - 1)) * np.sin(t) ** (dim - 2)

    top = [integrate.quad(density, 0, end, epsabs=0, limit=200)[0] for end in (*angle, np.pi)]
    return np.array(top[:-1]) / top[-1]


@jax.jit(static_argnames=("name", "dim"))
def quantiles(name, u, k, dim):
    def one(u, k):
        return BOTH[name].quantile(u, k, dim)

    return one(u, k), *jax.vmap(jax.grad(one, (0, 1)))(u, k)


QUANTILES = [(3, 5.0), *(rare(*at) for at in [(2, 3.0), (10, 0.5), (10, 50.0), (512, 500.0)])]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("dim", "k"), QUANTILES)
def test_quantiles_invert_the_distribution_and_slopes_are_its_own(name, dim, k):
    u = np.array([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999])
    ks = np.full(6, k)
    angle, by_u, by_k = map(np.asarray, quantiles(name, u, ks, dim))
    np.testing.assert_allclose(exact_mass(name, angle, k, dim), u, rtol=1e-5, atol=1e-9)
    step = 1e-4 * k
    for slope, shift, h in ((by_k, (0, 1), step), (by_u, (1, 0), 1e-5 * u)):
        ahead, behind = (
            np.asarray(quantiles(name, u + s * shift[0] * h, ks + s * shift[1] * h, dim)[0])
            for s in (1, -1)
        )
        np.testing.assert_allclose(slope[1:], ((ahead - behind) / (2 * h))[1:], rtol=2e-4)
    # single precision: the mass is right to its rounding, and slopes to four digits
    single = quantiles(name, *(jnp.asarray(x, jnp.float32) for x in (u, ks)), dim)
    assert all(x.dtype == jnp.float32 for x in single)
    mass = exact_mass(name, np.asarray(single[0], float), k, dim)
    np.testing.assert_allclose(mass, u, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(single[2][1:], by_k[1:], rtol=1e-3)


@pytest.mark.usefixtures("x64")
def test_quantile_in_three_dimensions_has_a_closed_form():
    # w = 1 + log(v + (1 - v) e^(-2 k)) / k has the mass v below it, and the angle 1 - v
    k = np.array([0.1, 1.0, 10.0, 100.0])
    w = np.cos(von_mises_fisher.quantile(np.full(4, 0.7), k, 3))
    expected = [-0.356919796932, 0.0704586103007, 0.879602720048, 0.987960271957]
    np.testing.assert_allclose(w, expected, rtol=1e-9)
    np.testing.assert_allclose(w, 1 + np.log(0.3 + 0.7 * np.exp(-2 * k)) / k, rtol=1e-9)


@pytest.mark.usefixtures("x64")
def test_a_draw_at_the_mean_direction_itself_has_a_finite_gradient():
    # an angle of 0, where sqrt(1 - w^2) has none
    def drawn(angle):
        return sphere.at_angle(KEY, np.eye(3)[:1], angle)

    x, slope = jax.jvp(drawn, (jnp.zeros(1),), (jnp.ones(1),))
    np.testing.assert_array_equal(x, np.eye(3)[:1])
    np.testing.assert_allclose(np.linalg.norm(slope), 1, rtol=1e-6)
    assert np.isnan(jax.grad(lambda w: jnp.sqrt(1 - w**2) * 0)(1.0))
    # and so it is far out, where the mass is on a point
    u = jnp.array([0.3, 0.7, 1e-30, 1 - 6e-8, 0, 1], jnp.float32)
    for dim in (2, 3, 512):
        for k in (0.0, 500.0, 1e8):
            for name in BOTH:
                values = quantiles(name, u, jnp.full(6, k, jnp.float32), dim)
                assert np.all(np.isfinite(values[0]))
                assert np.all(np.isfinite(values[2]))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    mu, k = jnp.eye(3, dtype=dtype)[:2], jnp.asarray([2.0, 300.0], dtype)
    for density in BOTH.values():
        draws = jax.eval_shape(density.sample, KEY, mu, k)
        nats = jax.eval_shape(density.log_prob, mu, mu, k)
        assert (draws.dtype, nats.dtype) == (dtype, jnp.float32)
    kl = von_mises_fisher.kl_uniform(k, 3)
    assert kl.dtype == jnp.float32
    np.testing.assert_array_equal(kl, von_mises_fisher.kl_uniform(k.astype(jnp.float32), 3))


def test_refuses():
    mu, k = jnp.eye(3)[:2], jnp.ones(2)
    for density in BOTH.values():
        for call, message in (
            (lambda d: d.kl_uniform(k, 1), "in 2 dimensions or more, got 1"),
            (lambda d: d.sample(KEY, mu[:, :1], k), "in 2 dimensions or more, got 1"),
            (lambda d: d.sample(KEY, mu, k[:1]), r"direction \[2, 3\], concentration \[1\]"),
            (lambda d: d.sample(KEY, mu[0], k), r"mean_direction must be \[B, m\], got \[3\]"),
            (lambda d: d.log_prob(mu[:, :2], mu, k), r"shapes must be equal"),
            (lambda d: d.quantile(k[:1], k, 3), r"one shape, got \[1\] and \[2\]"),
        ):
            with pytest.raises(InputError, match=message):
                call(density)
    with pytest.raises(InputError, match="got 1"):
        sphere.sample(KEY, (2, 1))
