"""Labels in a GAN: each way of using them against NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from ae_jax import losses
from ae_jax.core import NOT_NEGATIVE, Network
from ae_jax.methods import conditions, regularisers
from tests.methods.adversarial.conditioned import (
    BATCH,
    CLASSES,
    HPARAMS,
    KEY,
    LABELS,
    LATENTS,
    ONE_HOT,
    WAYS,
    built,
    classified,
    curved,
    derivative,
    projected,
    softplus,
)

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("way", WAYS)
def test_a_step(way):
    """Non-saturating losses with R1: its slope is that by the example, not by the label."""
    condition, discriminator, judge, weight, of_fakes = WAYS[way]
    method = built(condition, discriminator, regularisers=[regularisers.r1(0.8)])
    hparams = {**method.hparams, **HPARAMS}
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    after, info = jax.jit(method.step)(jax.random.key(6), state, BATCH, hparams)
    before = jax.tree.map(np.asarray, state.params)

    def made(params, key):
        latent_key = jax.random.split(jax.random.split(key)[0])[0]
        z = np.asarray(jax.random.normal(latent_key, (len(LABELS), LATENTS), float))
        return np.concatenate([z, ONE_HOT], axis=1) @ params["weights"][:, 0]

    d_key, g_key = jax.random.split(jax.random.key(6))
    x, fake = np.asarray(BATCH["image"])[:, 0], made(before["generator"], d_key)

    def lowered(params):
        real_logit, slope, real_cost = judge(params, x, ONE_HOT)
        fake_logit, _, fake_cost = judge(params, fake, ONE_HOT)
        cost = weight * (real_cost + of_fakes * fake_cost)
        return np.mean(softplus(-real_logit) + softplus(fake_logit) + 0.4 * slope**2 + cost)

    slopes = derivative(lowered, before["discriminator"])
    moved = jax.tree.map(lambda p, d: p - 0.7 * d, before["discriminator"], slopes)
    chex.assert_trees_all_close(after.params["discriminator"], moved, rtol=1e-12, atol=1e-14)
    loss = lowered(before["discriminator"])
    np.testing.assert_allclose(info["discriminator_loss"], loss, rtol=1e-12)

    def deceived(params):
        logit, _, cost = judge(moved, made(params, g_key), ONE_HOT)
        return np.mean(softplus(-logit) + weight * cost)

    slopes = derivative(deceived, before["generator"])
    expected = jax.tree.map(lambda p, d: p - 0.3 * d, before["generator"], slopes)
    chex.assert_trees_all_close(after.params["generator"], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(info["generator_loss"], deceived(before["generator"]), rtol=1e-12)

    values = method.evaluate(KEY, after, BATCH, hparams)
    d_key, g_key = jax.random.split(KEY)
    logits = [judge(moved, x, ONE_HOT), judge(moved, made(expected, d_key), ONE_HOT)]
    cost = weight * (logits[0][2] + of_fakes * logits[1][2])
    found = softplus(-logits[0][0]) + softplus(logits[1][0]) + cost
    np.testing.assert_allclose(values["discriminator_loss"], found, rtol=1e-12)
    logit, _, cost = judge(moved, made(expected, g_key), ONE_HOT)
    np.testing.assert_allclose(
        values["generator_loss"], softplus(-logit) + weight * cost, rtol=1e-12
    )
    assert (method.views.predict is not None) == (weight > 0)
    if weight:
        scores = method.views.predict(after, BATCH, hparams)
        _, _, nll = judge(moved, x, ONE_HOT)
        found = -np.sum(ONE_HOT * log_softmax(scores, axis=1), axis=1)
        np.testing.assert_allclose(found, nll, rtol=1e-12)
        assert method.domains["class_weight"] == NOT_NEGATIVE


def test_the_logit_of_a_projection():
    """`conditional.logits_y0_y1`."""
    condition = conditions.projection(2)
    network = condition.network(Network(lambda key, x: {}, lambda params, x: x))
    phi = jnp.array([[0.5, -1.0, 2.0]] * 2)
    params = jax.jit(network.init)(KEY, phi)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes["head"] == {"Dense_0": {"kernel": (3, 1), "bias": (1,)}}
    assert shapes["embedding"] == {"kernel": (3, 2)}
    np.testing.assert_array_equal(params["head"]["Dense_0"]["bias"], 0)
    params["head"]["Dense_0"]["kernel"] = jnp.ones((3, 1))
    params["embedding"]["kernel"] = jnp.array([[1.0, 0, 0], [0, 1, 1]]).T
    found = condition.verdict(network.apply(params, phi), jnp.eye(2))
    np.testing.assert_allclose(found, [2.0, 2.5], rtol=1e-12)


def test_the_class_of_an_example_is_told_by_logits():
    """`conditional.acgan_ce_label1`; of their softmax it would be another loss."""
    logits, given = jnp.array([[1.0, 2.0, 0.5]]), jnp.eye(3)[1:2]
    task, one = conditions.auxiliary(3).task, {"class_weight": 1.0}
    np.testing.assert_allclose(task.generator(logits, given, one), [0.4643687841079447], rtol=1e-12)
    both = task.discriminator(logits, logits, given, {"class_weight": 0.5})
    np.testing.assert_allclose(both, [0.4643687841079447], rtol=1e-12)
    of_real = conditions.auxiliary(3, classify_fakes=False).task
    found = of_real.discriminator(logits, -logits, given, one)
    np.testing.assert_allclose(found, [0.4643687841079447], rtol=1e-12)
    twice = task.generator(jnp.asarray(softmax(logits, axis=1)), given, one)
    np.testing.assert_allclose(twice, [0.826718], rtol=1e-6)


def test_spectral_normalisation_of_what_a_projection_adds():
    """Both passes of a step see one discriminator, whose directions then move once."""
    condition = conditions.projection(CLASSES, spectral_norm=True)
    method = built(condition, curved())
    hparams = {**method.hparams, **HPARAMS}
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    judging = state.params["discriminator"]
    ((path, direction),) = judging["embedding"]["spectral"].items()
    kernel = np.asarray(judging["embedding"]["params"]["kernel"])
    np.testing.assert_allclose(np.linalg.norm(kernel @ direction), np.linalg.norm(kernel, 2))
    direction = np.array([0.6, 0.0, 0.8])  # far from that of the largest singular value
    judging["embedding"]["spectral"] = {path: jnp.asarray(direction)}
    before = jax.tree.map(np.asarray, state.params)
    after, info = jax.jit(method.step)(jax.random.key(6), state, BATCH, hparams)

    def divided(params, direction):
        head = params["head"]["params"]["Dense_0"]
        psi = head["kernel"] / np.linalg.norm(head["kernel"])
        kernel = params["embedding"]["params"]["kernel"]
        return {
            "features": params["features"],
            "head": {"Dense_0": {"kernel": psi, "bias": head["bias"]}},
            "embedding": {"kernel": kernel / np.linalg.norm(kernel @ direction)},
        }

    latent_key = jax.random.split(jax.random.split(jax.random.split(jax.random.key(6))[0])[0])[0]
    z = np.asarray(jax.random.normal(latent_key, (len(LABELS), LATENTS), float))
    fake = np.concatenate([z, ONE_HOT], axis=1) @ before["generator"]["weights"][:, 0]
    seen = divided(before["discriminator"], direction)
    real_logit, fake_logit = (projected(seen, x, ONE_HOT)[0] for x in (BATCH["image"][:, 0], fake))
    loss = np.mean(softplus(-real_logit) + softplus(fake_logit))
    np.testing.assert_allclose(info["discriminator_loss"], loss, rtol=1e-12)
    moved = kernel.T @ kernel @ direction
    found = after.params["discriminator"]["embedding"]["spectral"][path]
    np.testing.assert_allclose(found, moved / np.linalg.norm(moved), rtol=1e-12)


def test_a_relativistic_objective_and_averages_go_with_a_condition():
    """The generator's class loss is of generated examples alone; the average is viewed."""
    options = {"objective": losses.adversarial.paired(), "average": True, "ema_decay": 0.5}
    method = built(conditions.auxiliary(CLASSES), curved(), **options)
    hparams = {**method.hparams, **HPARAMS, "discriminator_learning_rate": 0.0}
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    step = jax.jit(method.step)
    after, info = step(KEY, state, BATCH, hparams)
    _, without = step(KEY, state, BATCH, {**hparams, "class_weight": 0.0})
    before = jax.tree.map(np.asarray, state.params)
    key = jax.random.split(jax.random.split(jax.random.split(KEY)[1])[0])[0]
    z = np.asarray(jax.random.normal(key, (5, LATENTS), float))
    fake = np.concatenate([z, ONE_HOT], axis=1) @ before["generator"]["weights"][:, 0]
    _, _, nll = classified(before["discriminator"], fake, ONE_HOT)
    difference = info["generator_loss"] - without["generator_loss"]
    np.testing.assert_allclose(difference, np.mean(nll), rtol=1e-12)
    average = (before["generator"]["weights"] + after.params["generator"]["weights"]) / 2
    made = method.views.generate(KEY, after, BATCH, hparams)
    latent = np.asarray(jax.random.normal(KEY, (5, LATENTS), float))
    expected = np.concatenate([latent, ONE_HOT], axis=1) @ average
    np.testing.assert_allclose(made, expected, rtol=1e-12)
