"""Every move against its gradient by hand; which side is real; which limits are other methods."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from ae_jax import losses, methods
from ae_jax.core import NOT_NEGATIVE, POSITIVE, InputError, Network
from ae_jax.methods.adversarial import regularisers
from ae_jax.probability import priors
from tests.methods.adversarial.linear import identity, linear, slope, softplus, weights_of

pytestmark = pytest.mark.usefixtures("x64")

KEY, STEP = jax.random.key(5), jax.random.key(6)
RATES = {
    "learning_rate": 0.1,
    "discriminator_learning_rate": 0.7,
    "encoder_learning_rate": 0.3,
    "adversarial_weight": 0.8,
}
PLAIN = dict.fromkeys(
    ("optimizer", "discriminator_optimizer", "encoder_optimizer"), optax.identity()
)
X = np.array([[0.9], [0.2], [-0.7], [0.5]])
W, V, A = 0.6, -0.4, 1.5


def batch(x=X, **others):
    return {"image": jnp.asarray(x), **others}


def built(**options):
    return methods.adversarial_autoencoder(
        linear([[W]]), linear([[V]]), linear([[A]]), 1, **PLAIN, **options
    )


def stepped(method, given=None, **hparams):
    """The weights after a step, the state before and the Info."""
    given, hparams = given or batch(), {**method.hparams, **RATES, **hparams}
    state = method.init(KEY, given, hparams)
    after, info = jax.jit(method.step)(STEP, state, given, hparams)
    return weights_of(after), state, info


def reconstructing(w, v):
    """The mean loss, and its slopes in w and v."""
    error = v * w * X - X
    return np.mean(error**2), np.mean(2 * error * v * X), np.mean(2 * error * w * X)


def telling(w, a, z):
    """Draws of the prior, z, are real."""
    loss = np.mean(softplus(-a * z) + softplus(a * w * X))
    return loss, np.mean((slope(a * z) - 1) * z + slope(a * w * X) * w * X)


def deceiving(w, a):
    return np.mean(softplus(-a * w * X)), np.mean((slope(a * w * X) - 1) * a * X)


def test_a_step_is_three_moves_of_which_each_sees_those_before_it():
    found, _, info = stepped(built())
    keys = jax.random.split(STEP, 3)
    z = np.asarray(jax.random.normal(jax.random.split(keys[1], 3)[1], (4, 1), float))
    loss, dw, dv = reconstructing(W, V)
    w, v = W - 0.1 * dw, V - 0.1 * dv
    told, da = telling(w, A, z)
    a = A - 0.7 * da
    deceived, dw = deceiving(w, a)
    w_after = w - 0.3 * 0.8 * dw
    expected = {"encoder": w_after, "decoder": v, "discriminator": a}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], [[value]], rtol=1e-12)
    np.testing.assert_allclose(info["autoencoder_loss"], loss, rtol=1e-12)
    np.testing.assert_allclose(info["discriminator_loss"], told, rtol=1e-12)
    np.testing.assert_allclose(info["encoder_loss"], 0.8 * deceived, rtol=1e-12)
    # were codes real, the discriminator would move to the other side
    assert abs(A - 0.7 * np.mean(slope(A * z) * z + (slope(A * w * X) - 1) * w * X) - a) > 0.1


def test_merged_the_discriminator_moves_first_and_then_both_others_by_the_sum():
    found, _, info = stepped(built(merged=True))
    keys = jax.random.split(STEP, 2)
    z = np.asarray(jax.random.normal(jax.random.split(keys[0], 3)[1], (4, 1), float))
    a = A - 0.7 * telling(W, A, z)[1]
    (loss, dw, dv), (deceived, dw_too) = reconstructing(W, V), deceiving(W, a)
    expected = {
        "encoder": W - 0.1 * (dw + 0.8 * dw_too),
        "decoder": V - 0.1 * dv,
        "discriminator": a,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], [[value]], rtol=1e-12)
    np.testing.assert_allclose(info["autoencoder_loss"], loss + 0.8 * deceived, rtol=1e-12)
    np.testing.assert_allclose(info["autoencoder_squared_error"], loss, rtol=1e-12)
    # that is what both moves do alone, added up
    still = {"discriminator_learning_rate": 0.0}
    whole = stepped(built(merged=True), **still)[0]["encoder"] - W
    first = stepped(built(), **still, encoder_learning_rate=0.0)[0]["encoder"] - W
    second = stepped(built(), **still, learning_rate=0.0, encoder_learning_rate=0.1)[0]
    np.testing.assert_allclose(whole, first + second["encoder"] - W, rtol=1e-12)


def test_without_weight_it_is_the_autoencoder_bit_for_bit():
    parts = linear([[0.6, -0.2], [0.1, 0.7]]), linear([[0.5, 0.3], [-0.4, 0.8]])
    built = [
        methods.autoencoder(*parts),
        methods.adversarial_autoencoder(*parts, linear([[1.0], [0.5]]), 2),
        methods.adversarial_autoencoder(*parts, linear([[1.0], [0.5]]), 2, merged=True),
    ]
    given = batch(np.random.default_rng(0).uniform(size=(6, 2)))

    @jax.jit
    def trained(weight):
        numbers = [{**method.hparams, "adversarial_weight": weight} for method in built]
        numbers[1]["encoder_learning_rate"] *= weight
        pairs = list(zip(built, numbers, strict=True))
        states = [method.init(KEY, given, hparams) for method, hparams in pairs]

        def step(states, key):
            keys = [jax.random.clone(key) for _ in pairs]
            given_to = zip(pairs, keys, states, strict=True)
            return [m.step(k, state, given, h)[0] for (m, h), k, state in given_to], None

        states, _ = jax.lax.scan(step, states, jax.random.split(KEY, 3))
        return [state.params for state in states]

    plain, *without = trained(0.0)
    for params in without:
        assert np.any(params.pop("discriminator")["w"] != jnp.array([[1.0], [0.5]]))
    chex.assert_trees_all_equal(plain, *without)
    _, *weighted = trained(1.0)
    for params in weighted:
        assert np.any(params["encoder"]["w"] != plain["encoder"]["w"])


#: Of `latent_adversary`: the best discriminator's loss where codes have this mean and deviation.
BEST_LOSSES = {
    (0.0, 1.0): 1.3862943611198906,
    (0.5, 1.0): 1.3256717600782126,
    (1.0, 1.0): 1.163451396750418,
    (2.0, 1.0): 0.7126327204262273,
    (4.0, 1.0): 0.12085397364615691,
    (1.0, 0.5): 0.9383268080228883,
}


def test_the_best_discriminator_of_gaussian_codes_has_the_known_loss():
    count = 20_001
    quantiles = jnp.asarray(stats.norm.ppf((np.arange(count) + 0.5) / count)[:, None])

    def log_ratio(z, mean, deviation):  # of the prior to the codes: the prior is what is real
        of_codes = jax.scipy.stats.norm.logpdf(z, mean, deviation)
        return jax.scipy.stats.norm.logpdf(z) - of_codes

    # `latent_adversary.logit_values`
    values = [1.3068528194400546, -1.1931471805599454, -0.6931471805599454]
    np.testing.assert_allclose(log_ratio(np.arange(3.0), 1.0, 0.5), values, rtol=1e-12)

    @jax.jit
    def loss(mean, deviation, sign):
        critic = Network(lambda key, x: {}, lambda params, x: sign * log_ratio(x, mean, deviation))
        method = methods.adversarial_autoencoder(
            identity(), identity(), critic, 1, prior=lambda key, shape: quantiles[: shape[0]]
        )
        given = {"image": mean + deviation * quantiles}
        state = method.init(KEY, given, method.hparams)
        return jnp.mean(method.evaluate(KEY, state, given, method.hparams)["discriminator_loss"])

    for (mean, deviation), best in BEST_LOSSES.items():
        np.testing.assert_allclose(loss(mean, deviation, 1.0), best, rtol=1e-3)
        assert mean == 0 or loss(mean, deviation, -1.0) > 1.5  # were codes what is real


LABEL = jnp.array([0, 1, -1, 1])


def supervised(**options):
    """Codes are (w0 x, w1 x); the discriminator sees them, class 0, class 1 and `unknown`."""
    told = np.array([0.5, -0.3, 0.9, -1.1, 0.4])
    return told, methods.adversarial_autoencoder(
        linear([[0.6, -0.2]]),
        linear([[0.3], [0.5]]),
        linear(told[:, None]),
        2,
        prior=priors.ring(2),
        classes=2,
        **PLAIN,
        **options,
    )


def test_with_classes_code_and_prior_stand_beside_their_label():
    told, method = supervised()
    given = batch(label=LABEL)
    state = method.init(KEY, given, method.hparams)
    values = jax.jit(method.evaluate)(KEY, state, given, method.hparams)
    key = jax.random.split(KEY, 4)[1]
    real = np.asarray(priors.ring(2)(key, (4, 2), LABEL))
    assert np.all(np.sign(real[[0, 1, 3], 0]) == [1, -1, -1])
    column = np.eye(3)[[0, 1, 2, 1]]
    codes = X * [[0.6, -0.2]]
    logits = [np.concatenate([z, column], axis=1) @ told for z in (real, codes)]
    expected = softplus(-logits[0]) + softplus(logits[1])
    np.testing.assert_allclose(values["discriminator_loss"], expected, rtol=1e-12)
    np.testing.assert_allclose(values["encoder_loss"], softplus(-logits[1]), rtol=1e-12)
    squares = np.sum((codes @ [[0.3], [0.5]] - X) ** 2, axis=1)
    for name in ("squared_error", "reconstruction"):
        np.testing.assert_allclose(values[name], squares, rtol=1e-12)
    # what is drawn for labels is at their modes
    z = np.asarray(priors.ring(2)(KEY, (4, 2), LABEL))
    made = method.views.generate(KEY, state, given, method.hparams)
    np.testing.assert_allclose(made, z @ [[0.3], [0.5]], rtol=1e-12)
    sample = method.views.sample(KEY, state, 4, method.hparams)
    z = np.asarray(priors.ring(2)(KEY, (4, 2)))
    np.testing.assert_allclose(sample, z @ [[0.3], [0.5]], rtol=1e-12)
    assert built().views.generate is None


def test_with_classes_the_moves_see_the_labels():
    told, method = supervised()
    given = batch(label=LABEL)
    found, _, _ = stepped(method, given, learning_rate=0.0)
    keys = jax.random.split(STEP, 3)
    real = np.asarray(priors.ring(2)(jax.random.split(keys[1], 3)[1], (4, 2), LABEL))
    column, w = np.eye(3)[[0, 1, 2, 1]], np.array([[0.6, -0.2]])
    seen = [np.concatenate([z, column], axis=1) for z in (real, X * w)]
    cost = (slope(seen[0] @ told) - 1)[:, None] * seen[0] + slope(seen[1] @ told)[:, None] * seen[1]
    after = told - 0.7 * cost.mean(axis=0)
    np.testing.assert_allclose(found["discriminator"][:, 0], after, rtol=1e-12)
    dw = np.mean((slope(seen[1] @ after) - 1)[:, None] * after[:2] * X, axis=0)
    np.testing.assert_allclose(found["encoder"], w - 0.3 * 0.8 * dw, rtol=1e-12)


def test_the_deviations_of_codes_are_those_of_the_examples_that_are_there():
    _, method = supervised()
    values = {"latent": jnp.array([[1.0, 2.0], [3.0, 2.5], [2.0, 9.0], [99.0, -99.0]])}
    present = jnp.array([True, True, True, False])
    found = method.conclude(values, present, method.hparams)
    deviations = np.std(values["latent"][:3], axis=0)
    np.testing.assert_allclose(found["least_deviation"], deviations.min(), rtol=1e-12)
    np.testing.assert_allclose(found["largest_deviation"], deviations.max(), rtol=1e-12)


def test_parts_bring_their_numbers():
    method = built(
        reconstruction=methods.observations.gaussian(0.5), regularisers=[regularisers.r1(0.1)]
    )
    assert method.hparams == {
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 1e-3,
        "encoder_learning_rate": 1e-3,
        "adversarial_weight": 1.0,
        "variance": 0.5,
        "r1_weight": 0.1,
    }
    assert method.domains["learning_rate"] == POSITIVE
    assert method.domains["adversarial_weight"] == NOT_NEGATIVE
    assert "encoder_learning_rate" not in built(merged=True).hparams
    _, _, info = stepped(method)
    z = np.asarray(jax.random.normal(jax.random.split(jax.random.split(STEP, 3)[1], 3)[1], (4, 1)))
    nll = losses.gaussian_nll(jnp.asarray(V * W * X), jnp.asarray(X), 0.5)
    np.testing.assert_allclose(info["autoencoder_loss"], np.mean(nll), rtol=1e-12)
    w = W - 0.1 * np.mean(2 * (V * W * X - X) * V * X)
    expected = telling(w, A, z)[0] + 0.05 * A**2  # half of gamma times the squared slope
    np.testing.assert_allclose(info["discriminator_loss"], expected, rtol=1e-12)


def test_refuses():
    parts = linear([[W]]), linear([[V]]), linear([[A]])
    for options, message in (
        ({"latent_size": 0}, "latent_size is 0: use a whole number, 1 or more"),
        ({"latent_size": 3, "prior": priors.swiss_roll()}, "2 dimensions: use latents of size 2"),
        ({"prior": lambda key, shape: jnp.zeros(shape[0])}, r"must give latents \[B, 1\]"),
        ({"classes": 1}, "classes is 1: use a whole number, 2 or more"),
        ({"classes": 2}, r"such as priors.ring\(2\); this one has none"),
        ({"classes": 2, "prior": priors.ring(3)}, "a place for each, .*; this one has 3"),
    ):
        with pytest.raises(InputError, match=message):
            methods.adversarial_autoencoder(*parts, **{"latent_size": 1, **options})
    two = methods.adversarial_autoencoder(*parts, 2)
    with pytest.raises(InputError, match=r"must give latents \[B, 2\], and gives \[4, 1\]"):
        two.init(KEY, batch(), two.hparams)
    _, method = supervised()
    state = jax.eval_shape(method.init, KEY, batch(label=LABEL), method.hparams)
    with pytest.raises(InputError, match="classes need data with labels: use a data set"):
        jax.eval_shape(method.step, KEY, state, batch(), method.hparams)
