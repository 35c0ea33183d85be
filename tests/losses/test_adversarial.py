"""Objectives on fixed logits and at their optimum; slopes of critics that are known."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import expit
from scipy.stats import norm

from ae_jax.core import InputError
from ae_jax.losses import adversarial

pytestmark = pytest.mark.usefixtures("x64")

REAL = 2 * np.sin(np.arange(6) + 1.0)
FAKE = np.cos(2 * np.arange(6) + 1.0) - 0.3


class Expected(NamedTuple):
    """Mean losses on REAL and FAKE, and what moves them."""

    discriminator: float
    generator: float
    by_real: list[float]
    by_fake: list[float]
    generator_by_fake: list[float]


#: By central differences of the formulas in NumPy.
TABLE = {
    "minimax": Expected(
        1.5287663322872247,
        -0.5852104522591864,
        [-0.026117716, -0.023267094, -0.071650782, -0.136599142, -0.145316388, -0.106030335],
        [0.093298024, 0.03597568, 0.082652606, 0.101927771, 0.038250188, 0.071106623],
        [-0.093298024, -0.03597568, -0.082652606, -0.101927771, -0.038250188, -0.071106623],
    ),
    "non_saturating": Expected(
        1.5287663322872247,
        0.9383488380629198,
        [-0.026117716, -0.023267094, -0.071650782, -0.136599142, -0.145316388, -0.106030335],
        [0.093298024, 0.03597568, 0.082652606, 0.101927771, 0.038250188, 0.071106623],
        [-0.073368642, -0.130690986, -0.08401406, -0.064738895, -0.128416479, -0.095560044],
    ),
    "least_squares": Expected(
        1.8663343035972981,
        1.1433317774233556,
        [0.113823662, 0.136432476, -0.119626664, -0.418934165, -0.486308092, -0.259805166],
        [0.040050384, -0.214998749, -0.002722969, 0.075650376, -0.201855044, -0.049262384],
        [-0.126616282, -0.381665416, -0.169389636, -0.091016291, -0.36852171, -0.21592905],
    ),
    "least_squares, -1 1 0": Expected(
        2.0131959177935648,
        0.29019339161962204,
        [0.113823662, 0.136432476, -0.119626664, -0.418934165, -0.486308092, -0.259805166],
        [0.206717051, -0.048332083, 0.163943698, 0.242317042, -0.035188377, 0.117404283],
        [0.040050384, -0.214998749, -0.002722969, 0.075650376, -0.201855044, -0.049262384],
    ),
    "hinge": Expected(
        2.015056160647162,
        0.3531383858037335,
        [0.0, 0.0, -0.166666667, -0.166666666, -0.166666667, -0.166666667],
        [0.166666667, 0.0, 0.166666667, 0.166666667, 0.0, 0.166666667],
        [-0.166666667, -0.166666667, -0.166666667, -0.166666667, -0.166666667, -0.166666667],
    ),
    "wasserstein": Expected(
        -0.3187204363115511,
        0.3531383858037335,
        [-0.166666667, -0.166666667, -0.166666667, -0.166666667, -0.166666667, -0.166666667],
        [0.166666667, 0.166666667, 0.166666667, 0.166666667, 0.166666667, 0.166666667],
        [-0.166666667, -0.166666667, -0.166666667, -0.166666667, -0.166666667, -0.166666667],
    ),
    "paired": Expected(
        0.8083732941165286,
        1.12709373042808,
        [-0.031856152, -0.007125737, -0.070984197, -0.146223852, -0.111612603, -0.094239448],
        [0.031856152, 0.007125737, 0.070984197, 0.146223852, 0.111612603, 0.094239448],
        [-0.134810514, -0.15954093, -0.09568247, -0.020442814, -0.055054064, -0.072427218],
    ),
    "averaged": Expected(
        1.3740187737860934,
        2.0114596464091954,
        [-0.09104835, -0.088856895, -0.129519275, -0.198706856, -0.209641973, -0.163677709],
        [0.169813127, 0.112060677, 0.159191221, 0.178389675, 0.114378543, 0.147617814],
        [-0.163520206, -0.221272656, -0.174142113, -0.154943659, -0.21895479, -0.185715519],
    ),
    "averaged, least squares": Expected(
        3.466225081233965,
        6.015988571726373,
        [0.11826693, 0.163484559, -0.348633721, -0.947248723, -1.081996575, -0.628990725],
        [0.65199994, 0.141901672, 0.566453233, 0.723199922, 0.168189084, 0.473374404],
        [-0.681333393, -1.19143166, -0.7668801, -0.61013341, -1.16514425, -0.859958929],
    ),
}
OBJECTIVES = {
    **{name: factory() for name, factory in adversarial.OBJECTIVES.items()},
    "least_squares, -1 1 0": adversarial.least_squares(-1, 1, 0),
    "averaged, least squares": adversarial.averaged(adversarial.least_squares(-1, 1, 0)),
}


def means(objective):
    """The mean losses of (real, fake), each of both arguments."""
    return (
        lambda real, fake: jnp.mean(objective.discriminator(real, fake)),
        lambda real, fake: jnp.mean(objective.generator(real, fake)),
    )


@pytest.mark.parametrize("name", TABLE)
def test_losses_and_gradients_on_fixed_logits(name):
    expected, (lost, generated) = TABLE[name], means(OBJECTIVES[name])
    # that of the table has no 1/2
    scale = 2 if name == "averaged, least squares" else 1
    value, (by_real, by_fake) = jax.jit(jax.value_and_grad(lost, (0, 1)))(REAL, FAKE)
    np.testing.assert_allclose(scale * value, expected.discriminator, rtol=1e-14)
    np.testing.assert_allclose(scale * by_real, expected.by_real, atol=2e-9)
    np.testing.assert_allclose(scale * by_fake, expected.by_fake, atol=2e-9)
    value, by_fake = jax.jit(jax.value_and_grad(generated, 1))(REAL, FAKE)
    np.testing.assert_allclose(scale * value, expected.generator, rtol=1e-14)
    np.testing.assert_allclose(scale * by_fake, expected.generator_by_fake, atol=2e-9)


def test_every_objective_stands_in_the_table():
    assert set(TABLE) == set(OBJECTIVES)
    relativistic = {name for name, objective in OBJECTIVES.items() if objective.relativistic}
    assert relativistic == {"paired", "averaged", "averaged, least squares"}


def test_a_relativistic_generator_that_is_not_relativistic_has_another_loss():
    # what a popular repository lowers: its relativistic loss, overwritten by the ordinary one
    ordinary = means(adversarial.non_saturating())[1](REAL, FAKE)
    np.testing.assert_allclose(ordinary, 0.9383488380629198, rtol=1e-14)
    assert abs(float(ordinary) - TABLE["paired"].generator) > 0.1


def test_the_two_sides_of_the_relativistic_average_may_not_be_confused():
    # the author's slip: mean(fake) - real where fake - mean(real) is meant
    def slipped(real, fake):
        relative = real - jnp.mean(fake)
        return jnp.mean(jax.nn.softplus(-relative) + jax.nn.softplus(-relative))

    by_fake = jax.jit(jax.grad(slipped, 1))(REAL, FAKE)
    assert np.ptp(by_fake) < 1e-15 < np.ptp(TABLE["averaged"].by_fake)


@pytest.mark.parametrize("name", ["paired", "averaged", "averaged, least squares"])
def test_a_constant_changes_no_relativistic_loss(name):
    objective = OBJECTIVES[name]
    for lost in map(jax.jit, (objective.discriminator, objective.generator)):
        np.testing.assert_allclose(lost(REAL + 5, FAKE + 5), lost(REAL, FAKE), rtol=1e-13)
    with pytest.raises(InputError, match="needs the logits of real examples"):
        objective.generator(None, FAKE)
    with pytest.raises(InputError, match=r"shapes must be equal.*real \[6\], fake \[5\]"):
        objective.generator(REAL, FAKE[:5])


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("minimax", 2 * np.log(2), -np.log(2)),
        ("non_saturating", 2 * np.log(2), np.log(2)),
        ("least_squares", 0.5, 0.5),
        ("hinge", 2.0, 0.0),
        ("wasserstein", 0.0, 0.0),
        ("paired", np.log(2), np.log(2)),
        ("averaged", 2 * np.log(2), 2 * np.log(2)),
    ],
)
def test_losses_of_a_discriminator_that_knows_nothing(name, discriminator, generator):
    zeros = np.zeros(3)
    objective = OBJECTIVES[name]
    np.testing.assert_allclose(objective.discriminator(zeros, zeros), [discriminator] * 3)
    np.testing.assert_allclose(objective.generator(zeros, zeros), [generator] * 3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_extreme_logits(dtype):
    far = jnp.asarray([-800.0, 800.0], dtype)

    @jax.jit
    def lost(logits):
        """Every objective's losses of the discriminator, and of the generator."""
        return [
            [loss(logits, logits[::-1]) for loss in (each.discriminator, each.generator)]
            for each in OBJECTIVES.values()
        ]

    values, gradient = lost(far), jax.jit(jax.jacrev(lost))(far)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((values, gradient)))
    assert values[0][0].dtype == dtype
    saturating, non_saturating = (list(OBJECTIVES).index(n) for n in ("minimax", "non_saturating"))
    # the generator's, of an example that is surely found out: its own logit is the other one's
    assert values[non_saturating][1][1] == 800
    assert gradient[non_saturating][1][1, 0] == -1
    assert gradient[saturating][1][1, 0] == 0
    with np.errstate(divide="ignore"):  # what the naive form makes of it
        assert np.log(expit(np.float64(-800))) == -np.inf


# two distributions on five points, and what is known of them
P, Q = np.arange(1, 6) / 15, np.array([4, 1, 3, 1, 1]) / 10
JSD, TV = 0.12505896645204323, 0.4333333333333333
LOGITS = [
    -1.791759469228055,
    0.28768207245178085,
    -0.4054651081081643,
    0.9808292530117262,
    1.203972804325936,
]
LEAST_SQUARES = [
    -0.7142857142857143,
    0.14285714285714282,
    -0.19999999999999996,
    0.4545454545454545,
    0.5384615384615384,
]
PEARSON = 0.4642557442557443


def expectation(lost, logits):
    """Of a loss of pairs, real ones drawn from P and generated ones from Q."""
    real, fake = (side.ravel() for side in jnp.meshgrid(logits, logits, indexing="ij"))
    return jnp.sum(np.outer(P, Q).ravel() * lost(real, fake))


@pytest.mark.parametrize(
    ("name", "best", "least"),
    [
        ("minimax", LOGITS, 1.1361764282158042),
        ("non_saturating", LOGITS, np.log(4) - 2 * JSD),
        ("least_squares", P / (P + Q), np.sum(P * Q / (P + Q)) / 2),
        ("least_squares, -1 1 0", LEAST_SQUARES, np.sum(P * Q / (P + Q)) * 2),
        ("hinge", np.sign(P - Q), 1.1333333333333333),
    ],
)
def test_the_best_discriminator(name, best, least):
    lost, best = OBJECTIVES[name].discriminator, np.asarray(best)
    mean = jax.value_and_grad(lambda logits: expectation(lost, logits))
    shifts = np.random.default_rng(0).normal(size=(20, 5))
    shifts[0] = 0
    values, slopes = jax.jit(jax.vmap(mean))(best + shifts)
    np.testing.assert_allclose(values[0], least, rtol=1e-14)
    if name != "hinge":
        np.testing.assert_allclose(slopes[0], 0, atol=1e-15)
    assert np.all(values[1:] > values[0])


def test_what_the_generator_lowers_against_the_best_discriminator():
    logits = jnp.asarray(LOGITS)
    value = expectation(adversarial.non_saturating().generator, logits)
    np.testing.assert_allclose(value, 1.1672946575365168, rtol=1e-14)
    np.testing.assert_allclose(2 - 2 * TV, 1.1333333333333333, rtol=1e-14)
    best, lost = jnp.asarray(LEAST_SQUARES), adversarial.least_squares(-1, 1, 0).generator
    # with its twin on real examples: Pearson's chi-square of p + q and 2 q, halved
    both = expectation(lost, best) + expectation(lambda real, fake: lost(None, real), best)
    np.testing.assert_allclose(2 * both, PEARSON, rtol=1e-13)


def test_the_wasserstein_distance_of_two_distributions_on_a_line():
    # the linear program's critic, of slope 1
    lost = expectation(adversarial.wasserstein().discriminator, jnp.arange(5.0))
    np.testing.assert_allclose(lost, -1.2666666666666668, rtol=1e-14)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (0.0, 1.3862943611198906),
        (0.5, 1.3256717600782126),
        (1.0, 1.163451396750418),
        (2.0, 0.7126327204262273),
        (4.0, 0.12085397364615691),
    ],
)
def test_the_best_discriminator_of_two_gaussians(shift, expected):
    x = np.linspace(-9, 13, 4001)
    p, q = norm.pdf(x), norm.pdf(x, shift)
    logits = norm.logpdf(x) - norm.logpdf(x, shift)
    lost, sure = adversarial.non_saturating().discriminator, np.full_like(x, 800.0)
    # one side at a time: the other one's loss is 0
    lost = jax.jit(lost)
    value = np.sum(p * lost(logits, -sure) + q * lost(sure, logits)) * (x[1] - x[0])
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_smoothed_labels_of_real_examples():
    smoothed = adversarial.non_saturating().discriminator(REAL, FAKE, 0.1)
    # cross-entropy of labels 0.9 and 0
    expected = -0.9 * np.log(expit(REAL)) - 0.1 * np.log(expit(-REAL)) - np.log(expit(-FAKE))
    np.testing.assert_allclose(smoothed, expected, rtol=1e-13)
    lost = adversarial.least_squares(-1, 1, 0).discriminator
    by_real = jax.jit(jax.grad(lambda real: jnp.sum(lost(real, FAKE, 0.1))))(REAL)
    # the target is 0.9 * 1 + 0.1 * -1
    np.testing.assert_allclose(by_real, REAL - 0.8, rtol=1e-13)
    # the best discriminator's odds are 0.9 P to Q + 0.1 P
    best = jnp.asarray(0.9 * P / (0.1 * P + Q))

    def cost(logits):
        return expectation(lambda r, f: adversarial.minimax().discriminator(r, f, 0.1), logits)

    np.testing.assert_allclose(jax.jit(jax.grad(cost))(jnp.log(best)), 0, atol=1e-15)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_smoothing_is_exact_and_some_is_traced(name):
    lost = OBJECTIVES[name].discriminator
    levels = jnp.asarray([0.0, 0.2])
    values = jax.jit(jax.vmap(lambda level: lost(REAL, FAKE, level)))(levels)
    np.testing.assert_allclose(values[0], jax.jit(lost)(REAL, FAKE), rtol=1e-15)
    assert np.all(values[1] != values[0])


@pytest.mark.parametrize("name", ["non_saturating", "hinge", "paired"])
def test_losses_of_patches_are_averaged_after_the_nonlinearity(name):
    objective = OBJECTIVES[name]
    real, fake = REAL.reshape(2, 3, 1), FAKE.reshape(2, 3, 1)
    for lost in map(jax.jit, (objective.discriminator, objective.generator)):
        expected = np.mean(np.asarray(lost(REAL, FAKE)).reshape(2, 3), axis=1)
        np.testing.assert_allclose(lost(real, fake), expected, rtol=1e-14)


def test_logits_of_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"real \[6\], fake \[6, 1\]"):
        adversarial.hinge().discriminator(REAL, FAKE[:, None])


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
