"""What a training step moves: every combination of networks, one whose pass moves something."""

import operator

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods import penalties
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.gradient import Aux
from ae_jax.nets.residual import BatchNorm

KEY = jax.random.key(0)
# It moves whatever it sees, gradient or none: a decoupled weight decay.
DECAY = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(0.5))
WIDTH = 3


def normalised():
    """(x - the batch's mean) * scale, with a running mean of momentum 1/2: by hand."""

    def init(key, x):
        ones = jnp.ones(x.shape[1:], x.dtype)
        return {"params": {"scale": 2 * ones}, "batch_stats": {"deep": {"mean": 0 * ones}}}

    def output(params, x, mean):
        return (x - mean[None]) * params["params"]["scale"][None]

    def apply(params, x):
        return output(params, x, params["batch_stats"]["deep"]["mean"])

    def train(key, params, x):
        mean = jnp.mean(x, axis=0)
        moved = (params["batch_stats"]["deep"]["mean"] + mean) / 2
        return output(params, x, mean), {"batch_stats": {"deep": {"mean": moved}}}

    return Network(init, apply, train)


class FlaxNormalised(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        return nn.Dense(WIDTH, param_dtype=x.dtype)(BatchNorm()(x, train))


def dense():
    return nets.mlp(WIDTH, (), output_activation="tanh")


NETWORKS = {
    "alone": normalised,
    "flax": lambda: nets.flax_network(FlaxNormalised()),
    "chain": lambda: nets.chain(normalised(), dense()),
    "last of a chain": lambda: nets.chain(dense(), normalised()),
    "chain of chains": lambda: nets.chain(dense(), nets.chain(nets.chain(normalised(), dense()))),
    "two in a chain": lambda: nets.chain(normalised(), dense(), normalised()),
}


def x_of(rows=5):
    return jax.random.normal(jax.random.key(1), (rows, WIDTH), jnp.result_type(float))


def is_running(path):
    return "batch_stats" in [entry.key for entry in path]


def of_running(params, running=True):
    """The leaves that no gradient moves, by path; or the others."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path): x for path, x in leaves if is_running(path) == running}


def begun(tree):
    """Kernels are drawn, scales and variances are 2, and all else is 0.

    Initializers take longer to compile than what is tested.
    """
    draw = np.random.default_rng(0).standard_normal

    def leaf(path, x):
        names = [getattr(entry, "key", getattr(entry, "name", None)) for entry in path]
        if "optimizer" in names or x.ndim == 0:
            return jnp.zeros(x.shape, x.dtype)
        if x.ndim > 1:
            return jnp.asarray(draw(x.shape), x.dtype)
        return jnp.full(x.shape, 2 if names[-1] in ("scale", "var") else 0, x.dtype)

    return jax.tree_util.tree_map_with_path(leaf, tree)


def start(method, data):
    """A state before the first step."""
    return begun(jax.eval_shape(method.init, KEY, data, dict(method.hparams)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_gradient_moves_the_parameters_and_the_pass_its_statistics(name, x64):
    """Against the gradient and the changes of the network itself, taken here."""
    network, x = NETWORKS[name](), x_of()
    params = begun(jax.eval_shape(network.init, KEY, x))

    def objective(params):
        output, moved = gradient.forward(network, KEY, params, x, training=True)
        return jnp.sum(output**3), Aux({}, moved)

    @jax.jit
    def both(params):
        state = gradient.init(optax.identity(), params, objective)
        slopes = jax.grad(lambda p: jnp.sum(network.train(KEY, p, x)[0] ** 3))(params)
        return gradient.step(optax.identity(), objective, state, 0.1)[0].params, slopes

    after, slopes = both(params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, params, slopes)
    chex.assert_trees_all_close(
        of_running(after, False), of_running(expected, False), rtol=1e-12, atol=1e-12
    )
    assert all(np.any(g != 0) for g in of_running(slopes, False).values() if g.ndim > 1)
    before, moved = of_running(params), of_running(after)
    assert before.keys() == moved.keys()
    assert before
    assert all(np.any(moved[path] != before[path]) for path in before if "mean" in path)
    if name in ("alone", "chain", "two in a chain"):  # what comes first sees x
        first = sorted(moved)[0]
        np.testing.assert_allclose(moved[first], np.mean(x, axis=0) / 2, rtol=1e-12)


def batch():
    image = x_of(6).reshape(6, WIDTH, 1, 1)
    return {"image": image, "label": jnp.array([0, 1, 1, 0, 2, 2], jnp.int32)}


def flat_normalised():
    """On images, which it makes vectors."""
    inner = normalised()

    def rows(x):
        return x.reshape(x.shape[0], -1)

    return Network(
        lambda key, x: inner.init(key, rows(x)),
        lambda params, x: inner.apply(params, rows(x)),
        lambda key, params, x: inner.train(key, params, rows(x)),
    )


def encoder():
    return nets.chain(flat_normalised(), nets.chain(dense(), normalised()))


def posterior():
    return nets.chain(flat_normalised(), nets.mlp(2 * WIDTH, ()))


def decoder():
    return nets.chain(normalised(), nets.mlp((WIDTH, 1, 1), ()))


def tied():
    """A decoder that has the encoder's last kernel, transposed, and statistics of its own."""

    def own(params):
        return {"0": params["0"], "1": nets.transposed.own(params["1"])}

    def join(encoder_params, params):
        return {**params, "1": nets.transposed.join(encoder_params["1"], params["1"])}

    return methods.autoencoder(
        nets.chain(flat_normalised(), nets.mlp(WIDTH, ())),
        decoder(),
        tie=nets.Tie(own, join),
        optimizer=DECAY,
    )


METHODS = {
    "autoencoder": lambda: methods.autoencoder(
        encoder(),
        decoder(),
        penalties=[penalties.l1(), penalties.contractive(0.1)],
        optimizer=DECAY,
    ),
    "tied": tied,
    "vae": lambda: methods.vae(
        posterior(), decoder(), WIDTH, likelihood=methods.observations.gaussian(), optimizer=DECAY
    ),
    "classifier": lambda: methods.classifier(encoder(), 3, optimizer=DECAY),
    "gan": lambda: methods.gan(
        decoder(), nets.chain(flat_normalised(), nets.mlp(1, ())), WIDTH, optimizer=DECAY
    ),
    "residual": lambda: methods.autoencoder(
        nets.chain(nets.mlp((8, 8, 1), ()), nets.residual_encoder((8, 8, 1), 2, "batch", 1)),
        nets.mlp((WIDTH, 1, 1), ()),
        optimizer=DECAY,
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_part_of_a_method_is_trained_and_no_optimizer_sees_statistics(name):
    method = METHODS[name]()
    hparams = {**method.hparams, "learning_rate": 0.1}
    state = start(method, batch())
    after, _ = jax.jit(method.step)(KEY, state, batch(), hparams)
    for optimizer in state.optimizer.values() if name == "gan" else [state.optimizer]:
        assert not of_running(optimizer[0].mu)
    for path, value in of_running(state.params, False).items():
        assert np.any(of_running(after.params, False)[path] != value), path
    assert of_running(state.params) or name == "residual"
    for path, value in of_running(state.params).items():
        assert np.any(of_running(after.params)[path] != value), path


def test_statistics_of_a_method_are_what_its_pass_says():
    """The running mean of images, and after it that of the latents of training's own pass."""
    method = METHODS["classifier"]()
    state = start(method, batch())
    after, _ = jax.jit(method.step)(KEY, state, batch(), dict(method.hparams))
    x = np.asarray(batch()["image"]).reshape(6, WIDTH)
    running = after.params["encoder"]["0"]["batch_stats"]["deep"]["mean"]
    np.testing.assert_allclose(running, np.mean(x, axis=0) / 2, rtol=1e-5, atol=1e-7)
    layer = jax.tree.map(np.asarray, state.params["encoder"]["1"]["0"]["Dense_0"])
    latent = np.tanh(2 * (x - np.mean(x, axis=0)) @ layer["kernel"] + layer["bias"])
    running = after.params["encoder"]["1"]["1"]["batch_stats"]["deep"]["mean"]
    np.testing.assert_allclose(running, np.mean(latent, axis=0) / 2, rtol=1e-5, atol=1e-7)


def frozen_classifier():
    return methods.classifier(encoder(), 3, train_encoder=False, optimizer=DECAY)


def staged():
    above = methods.autoencoder(normalised(), dense(), optimizer=DECAY)
    return methods.stage(encoder(), above, decoder())


@pytest.mark.parametrize(
    ("build", "frozen"),
    [
        (frozen_classifier, lambda state: state.params["encoder"]),
        (staged, lambda state: state.frozen),
    ],
)
def test_what_is_frozen_moves_under_no_optimizer(build, frozen):
    method = build()
    hparams = {"learning_rate": 0.1}
    state = start(method, batch())
    before, step = frozen(state), jax.jit(method.step)
    for i in range(3):
        state, info = step(jax.random.key(i), state, batch(), hparams)
    chex.assert_trees_all_equal(frozen(state), before)
    assert info["gradient_norm"] > 0


def test_a_frozen_encoder_is_not_in_the_optimizer():
    method = frozen_classifier()
    state = jax.eval_shape(method.init, KEY, batch(), dict(method.hparams))
    moments = jax.tree.leaves(state.optimizer[0].mu)
    assert len(moments) == len(jax.tree.leaves(state.params["head"]))


def test_the_learning_rate_scales_the_step_and_the_norm_is_the_gradients(x64):
    params = {"a": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)}

    def objective(params):
        square = jnp.sum(params["a"] ** 2) + params["b"] ** 2
        return square / 2, Aux({"square": square})

    state = gradient.init(optax.identity(), params)
    after, info = gradient.step(optax.identity(), objective, state, 0.25)
    chex.assert_trees_all_close(after.params, jax.tree.map(lambda x: 0.75 * x, params), rtol=1e-15)
    expected = {"loss": 12.5, "square": 25, "gradient_norm": 5}
    chex.assert_trees_all_close(dict(info), expected, rtol=1e-15)


def test_replaced_enters_mappings_and_refuses_what_is_not_there():
    params = {"a": {"x": 1, "y": {"z": 2}}, "b": (3, 4)}
    assert gradient.replaced(params, {}) == params
    assert gradient.replaced(params, {"a": {}, "b": {}}) == params
    changed = gradient.replaced(params, {"a": {"y": {"z": 5}}, "b": (6, 7)})
    assert changed == {"a": {"x": 1, "y": {"z": 5}}, "b": (6, 7)}
    assert gradient.replaced((1, 2), {}) == (1, 2)
    for changes in ({"c": 1}, {"a": {"x": {"deeper": 1}}}):
        with pytest.raises(InputError, match=r"moves (c|deeper), which are not among"):
            gradient.replaced(params, changes)


def test_parameters_may_be_no_mapping():
    network = Network(lambda key, x: (jnp.ones(WIDTH),), lambda params, x: x * params[0][None])
    method = methods.classifier(network, 2)
    data = {"image": x_of(), "label": jnp.array([0, 1, 0, 1, 1], jnp.int32)}
    state = start(method, data)
    after, _ = jax.jit(method.step)(KEY, state, data, dict(method.hparams))
    moved = jax.tree.map(operator.ne, state.params["encoder"], after.params["encoder"])
    assert np.all(moved[0])
