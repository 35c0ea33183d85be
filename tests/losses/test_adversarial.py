"""Objectives of adversarial games on fixed logits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

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


def test_smoothed_labels_of_real_examples():
    smoothed = adversarial.non_saturating().discriminator(REAL, FAKE, 0.1)
    # cross-entropy of labels 0.9 and 0
    expected = -0.9 * np.log(expit(REAL)) - 0.1 * np.log(expit(-REAL)) - np.log(expit(-FAKE))
    np.testing.assert_allclose(smoothed, expected, rtol=1e-13)
    lost = adversarial.least_squares(-1, 1, 0).discriminator
    by_real = jax.jit(jax.grad(lambda real: jnp.sum(lost(real, FAKE, 0.1))))(REAL)
    # the target is 0.9 * 1 + 0.1 * -1
    np.testing.assert_allclose(by_real, REAL - 0.8, rtol=1e-13)


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
