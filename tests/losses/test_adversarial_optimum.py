"""Objectives of adversarial games against the discriminator that is best of all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from ae_jax.losses import adversarial

pytestmark = pytest.mark.usefixtures("x64")

OBJECTIVES = {
    **{name: factory() for name, factory in adversarial.OBJECTIVES.items()},
    "least_squares, -1 1 0": adversarial.least_squares(-1, 1, 0),
}

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


def test_the_best_discriminator_of_smoothed_labels():
    # the best discriminator's odds are 0.9 P to Q + 0.1 P
    best = jnp.asarray(0.9 * P / (0.1 * P + Q))

    def cost(logits):
        return expectation(lambda r, f: adversarial.minimax().discriminator(r, f, 0.1), logits)

    np.testing.assert_allclose(jax.jit(jax.grad(cost))(jnp.log(best)), 0, atol=1e-15)
