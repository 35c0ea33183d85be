"""Labels in a GAN: the best discriminator on a table, and symmetries."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import methods
from ae_jax.core import Network
from ae_jax.methods import conditions
from tests.methods.adversarial.conditioned import (
    BATCH,
    CLASSES,
    HPARAMS,
    KEY,
    LABELS,
    LATENTS,
    WAYS,
    built,
    linear,
)

pytestmark = pytest.mark.usefixtures("x64")

# Counts of x = 0, 1, 2 among examples of either class: of the data, and of the generator.
REAL = np.array([[3, 2, 1], [1, 4, 5]])
FAKE = np.array([[1, 3, 2], [5, 4, 1]])


def counted(counts):
    """One-hot x, for the classes one after the other."""
    return np.concatenate([np.eye(3)[np.repeat(np.arange(3), row)] for row in counts])


def table():
    """A logit for each x and y."""

    def init(key, shown):
        return {"logits": jnp.zeros((3, 2))}

    def apply(params, shown):
        return jnp.einsum("bx,by,xy->b", shown[:, :3], shown[:, 3:], params["logits"])[:, None]

    return Network(init, apply)


@pytest.mark.parametrize("way", ["concatenation", "projection"])
def test_the_best_discriminator_on_a_table(way):
    """log p(x | y) / q(x | y); in a projection log p(y | x) / q(y | x) and log p(x) / q(x)."""
    label = np.repeat([0, 1], np.sum(REAL, axis=1))
    batch = {"image": jnp.asarray(counted(REAL)), "label": jnp.asarray(label)}
    condition = getattr(conditions, way)(2)
    identity = Network(lambda key, x: {}, lambda params, x: x)
    method = methods.gan(
        Network(lambda key, x: {"w": jnp.ones(())}, lambda params, x: params["w"] * x[:, :3]),
        table() if way == "concatenation" else identity,
        3,
        condition=condition,
        prior=lambda key, shape: jnp.asarray(counted(FAKE))[: shape[0]],
        output=lambda x: x,
    )
    state = jax.jit(method.init)(KEY, batch, dict(method.hparams))
    p, q = REAL / len(label), FAKE / len(label)  # joint, [y, x]
    if way == "concatenation":
        params = {"logits": jnp.asarray(np.log(p / q).T)}
    else:
        of_x = np.log(p.sum(axis=0) / q.sum(axis=0))
        of_y = np.log((p / p.sum(axis=0)) / (q / q.sum(axis=0)))
        params = {
            "features": {},
            "head": {"Dense_0": {"kernel": jnp.asarray(of_x)[:, None], "bias": jnp.zeros(1)}},
            "embedding": {"kernel": jnp.asarray(of_y.T)},
        }
    best = state._replace(params={**state.params, "discriminator": params})
    step = jax.jit(method.step)
    _, info = step(KEY, best, batch, dict(method.hparams))
    assert info["discriminator_gradient_norm"] < 1e-14
    mixture = (p + q) / 2
    jsd = np.sum(p * np.log(p / mixture) + q * np.log(q / mixture)) / 2
    np.testing.assert_allclose(info["discriminator_loss"], np.log(4) - 2 * jsd, rtol=1e-12)
    # of generated examples whose classes are as frequent as each other it is not the best
    even = {**batch, "label": jnp.asarray(np.repeat([0, 1], 8))}
    _, info = step(KEY, best, even, dict(method.hparams))
    assert info["discriminator_gradient_norm"] > 0.01


def relabelled(params, way, order):
    """With the weights of label order[i] in the place of those of i."""

    def rows(kernel, first):
        return jnp.concatenate([kernel[:first], kernel[first:][order]])

    params = jax.tree.map(lambda x: x, params)  # anew
    kernel = params["generator"]["weights"]
    params["generator"]["weights"] = rows(kernel, LATENTS)
    judging = params["discriminator"]
    if way == "concatenation":
        judging["weights"] = rows(judging["weights"], 1)
    elif way == "projection":
        judging["embedding"]["kernel"] = judging["embedding"]["kernel"][:, order]
    else:
        judging["classes"]["Dense_0"] = {
            name: x[..., order] for name, x in judging["classes"]["Dense_0"].items()
        }
    return params


@pytest.mark.parametrize("way", ["concatenation", "projection", "auxiliary"])
def test_names_of_classes_do_not_matter(way):
    condition, discriminator, *_ = WAYS[way]
    method = built(condition, discriminator)
    hparams = {**method.hparams, **HPARAMS}
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    order = np.array([2, 0, 1])
    other = {**BATCH, "label": np.argsort(order)[LABELS]}
    step = jax.jit(method.step)
    after, info = step(KEY, state, BATCH, hparams)
    given = state._replace(params=relabelled(state.params, way, order))
    renamed, told = step(KEY, given, other, hparams)
    chex.assert_trees_all_close(told, info, rtol=1e-12)
    expected = relabelled(after.params, way, order)
    chex.assert_trees_all_close(renamed.params, expected, rtol=1e-12, atol=1e-14)
    # with the old weights it is another game
    _, confused = step(KEY, state, other, hparams)
    assert abs(confused["discriminator_loss"] - info["discriminator_loss"]) > 1e-3


def blind(network, size):
    """It sees the first numbers alone."""
    return Network(
        lambda key, x: network.init(key, x[..., :size]),
        lambda params, x: network.apply(params, x[..., :size]),
    )


def test_players_who_ignore_labels_play_the_game_without_them():
    """Bit for bit."""
    condition = conditions.concatenation(CLASSES)
    told = methods.gan(blind(linear(1), LATENTS), blind(linear(1), 1), LATENTS, condition=condition)
    plain = methods.gan(linear(1), linear(1), LATENTS)
    hparams = dict(plain.hparams)
    states = [jax.jit(method.init)(KEY, BATCH, hparams) for method in (told, plain)]
    chex.assert_trees_all_equal(*states)
    steps = [jax.jit(method.step)(KEY, states[1], BATCH, hparams) for method in (told, plain)]
    chex.assert_trees_all_equal(*steps)
    assert plain.views.generate is None
    assert plain.views.predict is None
