"""The four moves against their gradients by hand, of labels of which one is not known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods
from ae_jax.core import InputError
from ae_jax.methods.adversarial import regularisers
from tests.methods.adversarial.linear import linear, slope, softplus, weights_of

pytestmark = pytest.mark.usefixtures("x64")

KEY, STEP = jax.random.key(5), jax.random.key(6)
RATES = {
    "learning_rate": 0.1,
    "discriminator_learning_rate": 0.7,
    "encoder_learning_rate": 0.3,
    "classifier_learning_rate": 0.2,
    "adversarial_weight": 0.8,
}
X = np.array([[0.9], [0.2], [-0.7], [0.5]])
LABEL = np.array([0, 1, -1, 1])
W = np.array([[0.6, -0.2, 0.4]])  # logits of two classes, and the style
V = np.array([[0.3], [-0.5], [0.7]])
C, E = np.array([[1.2], [-0.8]]), np.array([[0.9]])


def built(**options):
    plain = ("optimizer", "discriminator_optimizer", "encoder_optimizer", "classifier_optimizer")
    return methods.semi_supervised_adversarial_autoencoder(
        linear(W), linear(V), linear(C), linear(E), 2, 1,
        **dict.fromkeys(plain, optax.identity()), **options,
    )  # fmt: skip


def batch(label=LABEL):
    return {"image": jnp.asarray(X), "label": jnp.asarray(label)}


def code(w):
    outputs = X @ w
    y = np.exp(outputs[:, :2])
    return y / y.sum(axis=1, keepdims=True), outputs[:, 2:]


def backward(y, dy, ds):
    """The slope in the encoder's weights, given those in its probabilities and styles."""
    d_logits = y * (dy - np.sum(dy * y, axis=1, keepdims=True))
    return X.T @ np.concatenate([d_logits, ds], axis=1)


def drawn(key):
    """Classes one-hot, and styles."""
    keys = jax.random.split(key)
    label = jax.random.randint(keys[0], (4,), 0, 2)
    return np.eye(2)[label], np.asarray(jax.random.normal(keys[1], (4, 1), float))


def told(params, y, s, key):
    one_hot, style = drawn(jax.random.split(key, 3)[0])
    c, e = params
    losses = [
        softplus(-one_hot @ c) + softplus(y @ c),
        softplus(-style @ e) + softplus(s @ e),
    ]
    slopes = [
        (one_hot.T @ (slope(one_hot @ c) - 1) + y.T @ slope(y @ c)) / 4,
        (style.T @ (slope(style @ e) - 1) + s.T @ slope(s @ e)) / 4,
    ]
    return losses, slopes


def test_a_step_is_four_moves_of_which_each_sees_those_before_it():
    method = built()
    hparams = {**method.hparams, **RATES}
    state = method.init(KEY, batch(), hparams)
    after, info = jax.jit(method.step)(STEP, state, batch(), hparams)
    keys = jax.random.split(STEP, 4)

    y, s = code(W)
    latent = np.concatenate([y, s], axis=1)
    error = latent @ V - X
    d_latent = 2 * error @ V.T / 4
    w = W - 0.1 * backward(y, d_latent[:, :2], d_latent[:, 2:])
    v = V - 0.1 * latent.T @ (2 * error / 4)

    y, s = code(w)
    losses, (dc, de) = told((C, E), y, s, jax.random.split(keys[1])[1])
    c, e = C - 0.7 * dc, E - 0.7 * de

    deceived = softplus(-y @ c) + softplus(-s @ e)
    dy, ds = (slope(y @ c) - 1) @ c.T / 4, (slope(s @ e) - 1) @ e.T / 4
    w = w - 0.3 * 0.8 * backward(y, dy, ds)

    y, _ = code(w)
    known = LABEL >= 0
    nll = -np.log(y[known, LABEL[known]])
    d_logits = (y - np.eye(2)[LABEL]) * known[:, None] / 3  # a mean over three labels
    w = w - 0.2 * X.T @ np.concatenate([d_logits, np.zeros((4, 1))], axis=1)

    expected = {"encoder": w, "decoder": v, "class_discriminator": c, "style_discriminator": e}
    for name, value in weights_of(after).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, err_msg=name)
    for name, value in (
        ("autoencoder_loss", np.mean(error**2)),
        ("discriminator_loss", np.mean(sum(losses))),
        ("discriminator_class_discriminator", np.mean(losses[0])),
        ("encoder_loss", 0.8 * np.mean(deceived)),
        ("classifier_loss", np.mean(nll)),
    ):
        np.testing.assert_allclose(info[name], value, rtol=1e-12, err_msg=name)


def test_where_no_label_is_known_nothing_is_learned_from_labels():
    method = built()
    hparams = {**method.hparams, **RATES}
    unknown = batch(np.full(4, -1))
    state = method.init(KEY, unknown, hparams)
    step = jax.jit(method.step)
    after, info = step(STEP, state, unknown, hparams)
    still, _ = step(STEP, state, batch(), {**hparams, "classifier_learning_rate": 0.0})
    assert info["classifier_loss"] == 0 == info["classifier_gradient_norm"]
    np.testing.assert_array_equal(weights_of(after)["encoder"], weights_of(still)["encoder"])


def test_what_it_evaluates_and_shows():
    method = built(regularisers=[regularisers.r1(0.5)])
    assert method.hparams["r1_weight"] == 0.5
    hparams = {**method.hparams}
    state = method.init(KEY, batch(), hparams)
    values = jax.jit(method.evaluate)(KEY, state, batch(), hparams)
    keys = jax.random.split(KEY, 3)
    y, s = code(W)
    latent = np.concatenate([y, s], axis=1)
    losses, _ = told((C, E), y, s, keys[1])
    expected = {
        "reconstruction": np.sum((latent @ V - X) ** 2, axis=1),
        "squared_error": np.sum((latent @ V - X) ** 2, axis=1),
        "error": np.where(LABEL < 0, np.nan, np.argmax(y, axis=1) != LABEL),
        "class_discriminator_loss": losses[0][:, 0],
        "style_discriminator_loss": losses[1][:, 0],
        "encoder_loss": (softplus(-y @ C) + softplus(-s @ E))[:, 0],
    }
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-12, err_msg=name)
    views = method.views
    np.testing.assert_allclose(views.encode(state, batch(), hparams), latent, rtol=1e-12)
    np.testing.assert_allclose(views.predict(state, batch(), hparams), X @ W[:, :2], rtol=1e-12)
    one_hot, style = drawn(KEY)
    sample = np.concatenate([one_hot, style], axis=1) @ V
    np.testing.assert_allclose(views.sample(KEY, state, 4, hparams), sample, rtol=1e-12)
    label = np.array([1, 0, 0, 1])
    style = np.asarray(jax.random.normal(KEY, (4, 1), float))
    made = np.concatenate([np.eye(2)[label], style], axis=1) @ V
    found = views.generate(KEY, state, batch(label), hparams)
    np.testing.assert_allclose(found, made, rtol=1e-12)


def test_the_error_of_a_set_is_that_of_labels_that_are_known():
    method = built()
    state = method.init(KEY, batch(), method.hparams)
    values = method.evaluate(KEY, state, batch(), method.hparams)
    wrong = (np.argmax(code(W)[0], axis=1) != LABEL)[[0, 1, 3]]
    assert 0 < wrong.mean() != np.r_[wrong, 1].mean()  # that of all four, which is none of them

    def error(*present):
        return method.conclude(values, jnp.array(present), method.hparams)

    assert error(True, True, True, True).keys() == {"error"}
    np.testing.assert_allclose(error(True, True, True, True)["error"], wrong.mean(), rtol=1e-12)
    for i, place in enumerate((0, 1, 3)):  # padding beside it
        assert float(error(*(j in (place, 2) for j in range(4)))["error"]) == wrong[i]
    assert np.isnan(error(False, False, True, False)["error"])


def test_refuses():
    parts = linear(W), linear(V), linear(C), linear(E)
    for sizes, message in (
        ((1, 1), "classes is 1: use a whole number, 2 or more"),
        ((2, 0), "style_size is 0: use a whole number, 1 or more"),
    ):
        with pytest.raises(InputError, match=message):
            methods.semi_supervised_adversarial_autoencoder(*parts, *sizes)
    method = methods.semi_supervised_adversarial_autoencoder(*parts, 2, 2)
    with pytest.raises(InputError, match=r"must give latents \[B, 4\], and gives \[4, 3\]"):
        method.init(KEY, batch(), method.hparams)
    with pytest.raises(InputError, match="classes need data with labels: use a data set"):
        built().init(KEY, {"image": jnp.asarray(X)}, {})
