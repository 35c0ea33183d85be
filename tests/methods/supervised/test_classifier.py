import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import POSITIVE, InputError


def batch():
    key = jax.random.key(0)
    image = jax.random.normal(key, (8, 2, 2, 1))
    return {"image": image, "label": jnp.argmax(image.reshape(8, 4), axis=-1).astype(jnp.int32)}


def built(*args, **kwargs):
    """A compiled classifier, its state and hyperparameters."""
    method = methods.classifier(*args, **kwargs)
    method = method._replace(step=jax.jit(method.step), evaluate=jax.jit(method.evaluate))
    hparams = dict(method.hparams)
    return method, jax.jit(method.init)(jax.random.key(1), batch(), hparams), hparams


def test_loss_is_the_cross_entropy_and_error_counts_wrong_classes(x64):
    method, state, hparams = built(nets.mlp(3, ()), 4)
    values = method.evaluate(jax.random.key(0), state, batch(), hparams)
    head = state.params["head"]["Dense_0"]
    latent = method.views.encode(state, batch(), hparams)
    logits = latent @ head["kernel"] + head["bias"][None]
    np.testing.assert_allclose(method.views.predict(state, batch(), hparams), logits, rtol=1e-12)
    log_p = jax.nn.log_softmax(logits)
    log_p, label = np.asarray(log_p), np.asarray(batch()["label"])
    np.testing.assert_allclose(values["loss"], -log_p[np.arange(8), label], rtol=1e-12)
    np.testing.assert_array_equal(values["error"], np.argmax(log_p, axis=-1) != label)


@pytest.mark.parametrize("train_encoder", [True, False])
def test_a_step_descends_the_cross_entropy(train_encoder, x64):
    options = {"optimizer": optax.identity(), "learning_rate": 0.25, "train_encoder": train_encoder}
    method, state, hparams = built(nets.mlp(3, ()), 4, **options)
    after, info = method.step(jax.random.key(2), state, batch(), hparams)
    x, label = np.asarray(batch()["image"]).reshape(8, 4), np.asarray(batch()["label"])
    encoder, head = (
        jax.tree.map(np.asarray, state.params[name]["Dense_0"]) for name in ("encoder", "head")
    )
    hidden = x @ encoder["kernel"] + encoder["bias"]
    logits = hidden @ head["kernel"] + head["bias"]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # d loss / d logits = p - [class], the mean of eight
    error = (p - np.eye(4)[label]) / 8
    slopes = {"head": {"kernel": hidden.T @ error, "bias": error.sum(axis=0)}}
    back = error @ head["kernel"].T * train_encoder
    slopes["encoder"] = {"kernel": x.T @ back, "bias": back.sum(axis=0)}
    for name, layer in slopes.items():
        for leaf, slope in layer.items():
            expected = state.params[name]["Dense_0"][leaf] - 0.25 * slope
            np.testing.assert_allclose(
                after.params[name]["Dense_0"][leaf], expected, rtol=1e-10, atol=1e-13
            )
    np.testing.assert_allclose(info["loss"], -np.mean(np.log(p[np.arange(8), label])), rtol=1e-12)
    np.testing.assert_allclose(info["error"], np.mean(np.argmax(p, axis=1) != label), rtol=1e-12)


@pytest.mark.parametrize("train_encoder", [True, False])
def test_a_new_output_layer_alone_leaves_the_encoder_as_it_is(train_encoder):
    method, state, hparams = built(nets.mlp(3, (5,)), 4, train_encoder=train_encoder)
    after, _ = method.step(jax.random.key(2), state, batch(), hparams)
    same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), state.params, after.params)
    assert all(jax.tree.leaves(same["encoder"])) is not train_encoder
    assert not same["head"]["Dense_0"]["kernel"]


def test_starts_from_a_trained_encoder():
    method = methods.classifier(nets.mlp(3, ()), 4)
    given = {"encoder": {"Dense_0": {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}}}
    state = method.init(jax.random.key(1), batch(), method.hparams, given)
    chex.assert_trees_all_equal(state.params["encoder"], given["encoder"])


def test_needs_labels_and_two_classes():
    with pytest.raises(InputError, match="classes is 1: use a whole number, 2 or more"):
        methods.classifier(nets.mlp(3, ()), 1)
    method = methods.classifier(nets.mlp(3, ()), 2)
    assert method.hparams == {"learning_rate": 1e-3}
    assert method.domains == {"learning_rate": POSITIVE}
    unlabelled = {"image": batch()["image"]}
    with pytest.raises(InputError, match="labels"):
        method.init(jax.random.key(1), unlabelled, method.hparams)
