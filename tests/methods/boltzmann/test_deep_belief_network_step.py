"""What up-down does, against sums over all states of a network of 3 pixels, 2, 2 and 2 units."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods.boltzmann.belief import DBNParams

KEYS = 6000
V = np.array([[1.0, 0, 1], [0, 1, 1]])
LABEL = np.array([1, 0])


def network(machines, classes):
    random = np.random.RandomState(5)
    up = machines.directed(random, 3, 2), machines.directed(random, 2, 2)
    down = machines.directed(random, 2, 3), machines.directed(random, 2, 2)
    return DBNParams(up, down, machines.make(2 + classes, 2, key=6))


def numpy_of(x):
    """JAX's where a gradient is taken."""
    return jnp if isinstance(x, jax.Array) else np


def table(machines, layer, size):
    """Log-probabilities of a layer's states given each state of the layer before it, [in, out]."""
    x, y = machines.states(size), machines.states(layer.bias.size)
    logits = x @ layer.kernel + layer.bias[None]
    xp = numpy_of(logits)
    return logits @ y.T - xp.sum(xp.log1p(xp.exp(logits)), axis=1)[:, None]


def top_states(machines, classes):
    """The states that the top machine sees, in the order of its lower layer's, then the label's."""
    x = machines.states(2)
    if not classes:
        return x
    return np.concatenate([np.repeat(x, 2, axis=0), np.tile(np.eye(2), (4, 1))], axis=1)


def top_free_energy(top, v):
    logits = v @ top.weights + top.hidden_bias[None]
    xp = numpy_of(logits)
    return -v @ top.visible_bias - xp.sum(xp.log1p(xp.exp(logits)), axis=1)


def top_kernel(machines, top, classes):
    """A step of Gibbs sampling among `top_states`, from the joint distribution."""
    v, h = top_states(machines, classes), machines.states(2)
    joint = np.exp(
        v @ np.asarray(top.weights) @ h.T
        + (v @ np.asarray(top.visible_bias))[:, None]
        + (h @ np.asarray(top.hidden_bias))[None]
    )
    up = joint / joint.sum(axis=1, keepdims=True)
    return up @ (joint / joint.sum(axis=0)).T


def expectation(machines, params, classes, begin, steps):
    """The means over all draws of the objective of both directions, and of the gradient.

    `begin` are probabilities of the states that the top machine's chain starts at; None for what
    the data come up to.
    """
    numbers = machines.number(V)
    # awake: q(x1 | v), then q(x2 | x1)
    first = np.exp(np.asarray(table(machines, params.up[0], 3)))[numbers].mean(axis=0)
    joint_01 = np.zeros((8, 4))
    for number in numbers:
        joint_01[number] += np.exp(np.asarray(table(machines, params.up[0], 3)))[number] / 2
    joint_12 = first[:, None] * np.exp(np.asarray(table(machines, params.up[1], 2)))
    if classes:
        seen = np.zeros((4, 2))
        for number, label in zip(numbers, LABEL, strict=True):
            up = np.exp(np.asarray(table(machines, params.up[0], 3)))[number]
            seen[:, label] += up @ np.exp(np.asarray(table(machines, params.up[1], 2))) / 2
        seen = seen.reshape(8)
    else:
        seen = joint_12.sum(axis=0)
    start = seen if begin is None else begin
    end = start @ np.linalg.matrix_power(top_kernel(machines, params.top, classes), steps)
    # asleep: p(x1 | x2), then p(v | x1)
    second = end.reshape(4, -1).sum(axis=1)
    joint_21 = second[:, None] * np.exp(np.asarray(table(machines, params.down[1], 2)))
    joint_10 = joint_21.sum(axis=0)[:, None] * np.exp(
        np.asarray(table(machines, params.down[0], 2))
    )

    def both(layers):
        up, down = layers
        wake = jnp.sum(joint_01.T * table(machines, down[0], 2))
        wake = wake + jnp.sum(joint_12.T * table(machines, down[1], 2))
        sleep = jnp.sum(joint_10.T * table(machines, up[0], 3))
        return wake + sleep + jnp.sum(joint_21.T * table(machines, up[1], 2))

    def contrast(top):
        return (end - seen) @ top_free_energy(top, top_states(machines, classes))

    @machines.whole
    def gradients(params):
        value, (up, down) = jax.value_and_grad(both)((params.up, params.down))
        return value, DBNParams(up, down, jax.grad(contrast)(params.top))

    return gradients(params)


CASES = {
    "plain": (0, 0, 2),
    "labelled": (2, 0, 1),
    "one step": (0, 0, 1),
    "persistent": (2, 3, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_wake_and_sleep_and_contrast_on_average(machines, case):
    classes, chains, steps = CASES[case]
    params = network(machines, classes)
    method = methods.deep_belief_network(
        (2, 2, 2), classes=classes, gibbs_steps=steps, chains=chains, learning_rate=0.3
    )
    batch = {"image": V.reshape(2, 3, 1, 1)}
    if classes:
        batch["label"] = LABEL
    given = {"params": params}
    begin = None
    if chains:
        number = np.array([1, 1, 4])
        given["chains"] = top_states(machines, classes)[number]
        begin = np.bincount(number, minlength=8) / 3
    hparams = dict(method.hparams)
    assert hparams == {"learning_rate": 0.3}
    state = jax.jit(method.init)(jax.random.key(0), batch, hparams, given)

    @machines.whole
    def many(rate):
        def one(key):
            after, info = method.step(key, state, batch, {"learning_rate": rate})
            moved = jax.tree.map(jnp.subtract, after.params, params)
            flat = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(moved)])
            return flat, info, after.chains

        return jax.vmap(one)(jax.random.split(jax.random.key(1), KEYS))

    moved, info, ends = many(0.3)
    value, gradient = expectation(machines, params, classes, begin, steps)
    for draws, expected in ((moved / 0.3, machines.flat(gradient)), (info["wake_sleep"], value)):
        error = np.std(draws, axis=0) / np.sqrt(KEYS)
        assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4.5 * error + 1e-12)
        assert np.max(error) < 0.02
    np.testing.assert_allclose(info["update_norm"], np.linalg.norm(moved, axis=1), rtol=1e-9)
    np.testing.assert_allclose(many(0.6)[0], 2 * moved, rtol=1e-9, atol=1e-12)
    if chains:  # they go on: those of the next step are these
        p = begin @ np.linalg.matrix_power(top_kernel(machines, params.top, classes), steps)
        found = np.bincount(
            (np.asarray(ends)[..., :2] @ [2, 4] + ends[..., 3]).astype(int).ravel(), minlength=8
        ) / (3 * KEYS)
        assert np.all(np.abs(found - p) < 4.5 * np.sqrt(p / (3 * KEYS)))
    else:
        assert ends == ()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def up_and_down(params, v):
    """Means going up, and the log-odds of those that come down again, in NumPy."""
    for layer in params.up:
        v = sigmoid(v @ layer.kernel + layer.bias)
    x = sigmoid(v @ params.down[1].kernel + params.down[1].bias)
    return v, x @ params.down[0].kernel + params.down[0].bias


@pytest.mark.parametrize("classes", [0, 2])
def test_evaluation_by_its_definitions(machines, classes):
    params = network(machines, classes)
    method = methods.deep_belief_network((2, 2, 2), classes=classes, sample_steps=20)
    batch = {"image": V.reshape(2, 3, 1, 1), "label": LABEL}
    hparams, views = dict(method.hparams), method.views
    state = jax.jit(method.init)(jax.random.key(0), batch, hparams, {"params": params})

    @machines.whole
    def found(state, latent):
        keys = jax.random.split(jax.random.key(1), KEYS)
        values = jax.vmap(lambda key: method.evaluate(key, state, batch, hparams))(keys)
        encoded = views.encode(state, batch, hparams)
        again = views.reconstruct(state, batch, hparams)
        decoded = views.decode(state, latent, hparams)
        predicted = views.predict and views.predict(state, {"image": batch["image"]}, hparams)
        return values, encoded, again, decoded, predicted

    latent, logits = up_and_down(params, V)
    values, encoded, again, decoded, predicted = found(state, latent)
    expected = -np.sum(V * np.log(sigmoid(logits)) + (1 - V) * np.log(sigmoid(-logits)), axis=1)
    for name in ("loss", "reconstruction"):
        np.testing.assert_allclose(values[name], np.tile(expected, (KEYS, 1)), rtol=1e-10)
    # E_q[log q(x1 | v) q(x2 | x1) - log p(v | x1) p(x1 | x2)] + F(x2), the label summed out
    up = [np.asarray(table(machines, layer, n)) for layer, n in zip(params.up, (3, 2), strict=True)]
    down = [np.asarray(table(machines, layer, 2)) for layer in params.down]
    free = top_free_energy(params.top, top_states(machines, classes))
    free = -np.log(np.exp(-free.reshape(4, -1)).sum(axis=1))
    for row, number in enumerate(machines.number(V)):
        q = np.exp(up[0][number])[:, None] * np.exp(up[1])
        each = up[0][number][:, None] + up[1] - down[0][:, number][:, None] - down[1].T + free
        draws = np.asarray(values["unnormalised_nll"])[:, row]
        assert abs(draws.mean() - np.sum(q * each)) < 4.5 * draws.std() / np.sqrt(KEYS)
    np.testing.assert_allclose(encoded, latent, rtol=1e-10)
    np.testing.assert_allclose(again, sigmoid(logits).reshape(2, 3, 1, 1), rtol=1e-10)
    np.testing.assert_allclose(decoded, again, rtol=1e-10)
    if classes:
        # p(class | x2's means) by free energies
        both = [np.concatenate([latent, np.tile(one, (2, 1))], axis=1) for one in np.eye(2)]
        p = np.stack([np.exp(-np.asarray(top_free_energy(params.top, x))) for x in both], axis=1)
        p = p / p.sum(axis=1, keepdims=True)
        right = p[np.arange(2), LABEL]
        np.testing.assert_allclose(values["class_nll"][0], -np.log(right), rtol=1e-9)
        np.testing.assert_array_equal(values["error"][0], right < 0.5)
        predicted = np.exp(predicted) / np.exp(predicted).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(predicted, p, rtol=1e-9)
    assert (views.predict is None, views.generate is None) == (not classes, not classes)


def test_images_of_a_class_are_drawn_given_its_label(machines):
    params = network(machines, 2)
    method = methods.deep_belief_network((2, 2, 2), classes=2, sample_steps=20)
    batch = {"image": V.reshape(2, 3, 1, 1), "label": LABEL}
    state = jax.jit(method.init)(jax.random.key(0), batch, {}, {"params": params})
    given = {"label": np.repeat(LABEL, KEYS)}
    generate = jax.jit(method.views.generate)
    found = np.asarray(generate(jax.random.key(1), state, given, {})).reshape(2, KEYS, 3)
    joint = np.exp(-np.asarray(top_free_energy(params.top, top_states(machines, 2)))).reshape(4, 2)
    for images, label in zip(found, LABEL, strict=True):
        x2 = joint[:, label] / joint[:, label].sum()
        x1 = x2 @ np.exp(np.asarray(table(machines, params.down[1], 2)))
        expected = x1 @ np.exp(np.asarray(table(machines, params.down[0], 2))) @ machines.states(3)
        error = images.std(axis=0) / np.sqrt(KEYS)
        assert np.all(np.abs(images.mean(axis=0) - expected) < 4.5 * error)
    machines.serves_by_inference(method, state, batch)
    assert method.inference(state._replace(chains=np.ones(3))).chains == ()


def test_grey_images_are_drawn_from(machines):
    method = methods.deep_belief_network((2, 2, 2))
    batch = {"image": np.full((1, 3, 1, 1), 0.3)}
    hparams, params = dict(method.hparams), network(machines, 0)

    @machines.whole
    def many():
        state = method.init(jax.random.key(0), batch, hparams, {"params": params})
        keys = jax.random.split(jax.random.key(1), KEYS)
        return jax.vmap(lambda key: method.evaluate(key, state, batch, hparams)["loss"])(keys)

    draws, v = many(), machines.states(3)
    logits = up_and_down(params, v)[1]
    each = -np.sum(v * np.log(sigmoid(logits)) + (1 - v) * np.log(sigmoid(-logits)), axis=1)
    p = np.prod(np.where(v == 1, 0.3, 0.7), axis=1)
    assert np.min(np.abs(draws - each), axis=1).max() < 1e-9
    assert abs(np.mean(draws) - p @ each) < 4.5 * np.std(draws) / np.sqrt(KEYS)


def test_a_network_begins_at_the_data(machines):
    image = np.ones((4, 2, 2, 1))
    image[1:, 0, 0] = 0
    method = methods.deep_belief_network((300, 200, 100), classes=3, chains=5)
    batch = {"image": image, "label": np.zeros(4, int)}
    state = machines.whole(method.init)(jax.random.key(0), batch, dict(method.hparams))
    # (1 + 1/2) / (4 + 1) = 0.3 and (4 + 1/2) / 5 = 0.9
    np.testing.assert_allclose(state.params.down[0].bias, np.log([0.3 / 0.7, 9, 9, 9]))
    np.testing.assert_allclose(state.image, np.mean(image, axis=0))
    shapes = [(4, 300), (300, 200), (203, 100)]
    weights = [layer.kernel for layer in state.params.up] + [state.params.top.weights]
    assert [x.shape for x in weights] == shapes
    for x in weights:
        np.testing.assert_allclose(np.std(x), 0.01, rtol=0.1)
        assert abs(np.mean(x)) < 1e-3
    for up, down in zip(state.params.up, state.params.down, strict=True):
        np.testing.assert_array_equal(up.kernel, down.kernel.T)
    zeros = [*(layer.bias for layer in state.params.up), state.params.down[1].bias]
    zeros += [state.params.top.visible_bias, state.params.top.hidden_bias]
    assert not any(np.any(x) for x in zeros)
    assert [x.size for x in zeros] == [300, 200, 300, 203, 100]
    assert state.chains.shape == (5, 203)
    np.testing.assert_array_equal(np.sum(state.chains[:, 200:], axis=1), 1)


def test_the_cross_entropy_of_sure_pixels_is_finite():
    """In single precision the sigmoid of 17 is 1."""
    method = methods.deep_belief_network((2, 2))
    begin, evaluate = jax.jit(method.init), jax.jit(method.evaluate)
    for size in (15.0, 17.0, 1000.0):
        for wrong in (0.0, 1.0):
            batch = {"image": np.full((2, 2, 2, 1), wrong, np.float32)}
            state = begin(jax.random.key(0), batch, dict(method.hparams))
            bias = np.full(4, size if wrong == 0 else -size, np.float32)
            layer = nets.Affine(np.zeros((2, 4), np.float32), bias)
            state = state._replace(params=state.params._replace(down=(layer,)))
            found = evaluate(jax.random.key(1), state, batch, dict(method.hparams))
            exact = 4 * np.logaddexp(0, size)
            np.testing.assert_allclose(found["reconstruction"], exact, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda: methods.deep_belief_network((3, 0)), "widths is 0: use a whole number, 1 or more"),
        (lambda: methods.deep_belief_network((3, 2), sample_steps=0), "sample_steps is 0"),
        (
            lambda: methods.deep_belief_network((3, 2), classes=1),
            "classes is 1: use a whole number, from 2 to",
        ),
        (lambda: methods.deep_belief_network((3, 2), classes=10**9), "classes is 1000000000: use"),
    ],
)
def test_what_a_network_cannot_be_is_refused(wrong, match):
    with pytest.raises(InputError, match=match) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_what_is_left_out_is_what_is_documented(machines):
    assert machines.defaults(methods.deep_belief_network) == {
        "classes": 0,
        "gibbs_steps": 5,
        "chains": 0,
        "sample_steps": 1000,
        "learning_rate": 0.01,
    }


def test_the_least_of_everything_is_enough():
    methods.deep_belief_network((1, 1), classes=2, gibbs_steps=1, chains=1, sample_steps=1)


def test_a_network_of_three_layers_takes_its_steps():
    """All layers have sizes of their own, so that none can stand for another."""
    method = methods.deep_belief_network((5, 4, 6), classes=2)
    random = np.random.RandomState(0)
    batch = {
        "image": random.uniform(size=(7, 3)).astype(np.float32),
        "label": random.randint(0, 2, 7).astype(np.int32),
    }
    hparams = dict(method.hparams)

    @jax.jit
    def begun_and_after():
        state = method.init(jax.random.key(0), batch, hparams)
        return state, *method.step(jax.random.key(1), state, batch, hparams)

    state, after, info = jax.device_get(begun_and_after())
    chex.assert_trees_all_equal_shapes(state, after)
    chex.assert_tree_all_finite((after, info))
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.params, after.params)
    assert min(jax.tree.leaves(moved)) > 0
