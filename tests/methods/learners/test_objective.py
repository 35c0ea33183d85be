"""Methods that descend an objective: what their state, evaluation and start are made of."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import NOT_NEGATIVE, POSITIVE, InputError, Views
from ae_jax.methods.learners.objective import Objective, descend

KEY = jax.random.key(0)
pytestmark = pytest.mark.usefixtures("x64")


def batch():
    return {"image": jnp.array([[1.0, 2.0], [3.0, 6.0]])}


def drifting():
    """w . x, compared with the running mean of what it was, which moves half of the way."""

    def init(key, batch, hparams):
        return {"line": {"w": jnp.ones(2)}, "offset": {"b": jnp.zeros(())}}

    def running(params, batch, hparams):
        return {"level": jnp.sum(params["line"]["w"])}

    def terms(key, params, batch, hparams, training):
        value = batch["image"] @ params["line"]["w"] + params["offset"]["b"]
        loss = hparams["scale"] * (value - params["level"]) ** 2
        level = (params["level"] + jnp.mean(value)) / 2
        return {"loss": loss, "value": value}, {"level": level} if training else {}

    def conclude(values, present, hparams):
        return {"loss": hparams["scale"] * jnp.max(values["loss"])}

    numbers = {"scale": 2.0}, {"scale": NOT_NEGATIVE}
    return Objective(init, terms, *numbers, running, conclude)


def test_a_step_by_hand():
    method = descend(drifting(), Views(), optimizer=optax.identity(), learning_rate=0.1)
    assert method.hparams == {"scale": 2.0, "learning_rate": 0.1}
    assert method.domains == {"scale": NOT_NEGATIVE, "learning_rate": POSITIVE}
    assert method.conclude({"loss": jnp.arange(3.0)}, None, method.hparams) == {"loss": 4}
    state = method.init(KEY, batch(), method.hparams)
    assert state.running == {"level": 2}
    # values 3 and 9, losses 2 (3 - 2)^2 and 2 (9 - 2)^2; d loss / d value = 4, 28, halved
    after, info = method.step(KEY, state, batch(), method.hparams)
    w, b = np.array([1 * 2 + 3 * 14, 2 * 2 + 6 * 14.0]), 2 + 14.0
    np.testing.assert_allclose(after.params["line"]["w"], 1 - 0.1 * w, rtol=1e-12)
    np.testing.assert_allclose(after.params["offset"]["b"], -0.1 * b, rtol=1e-12)
    expected = {"loss": 50, "value": 6, "gradient_norm": np.sqrt(w @ w + b * b)}
    chex.assert_trees_all_close(dict(info), expected, rtol=1e-12)
    assert after.running == {"level": 4}
    # evaluation sees what is running, and moves nothing
    values = method.evaluate(KEY, state._replace(running={"level": 5.0}), batch(), method.hparams)
    np.testing.assert_allclose(values["loss"], [8, 32], rtol=1e-12)
    np.testing.assert_allclose(values["value"], [3, 9], rtol=1e-12)
    kept = method.inference(after)
    assert kept == after._replace(optimizer=())


def test_it_starts_from_parameters_and_what_runs_begins_with_them():
    method = descend(drifting(), Views())
    given = {"line": {"w": jnp.array([4.0, 3.0])}}
    state = method.init(KEY, batch(), method.hparams, given)
    chex.assert_trees_all_equal(state.params, {**given, "offset": {"b": jnp.zeros(())}})
    assert state.running == {"level": 7}
    with pytest.raises(InputError, match="do not fit the offset"):
        method.init(KEY, batch(), method.hparams, {"offset": {"b": jnp.zeros(2)}})


def test_every_method_that_descends_starts_from_parameters():
    image = jnp.zeros((4, 3))
    data = {"image": image, "label": jnp.zeros(4, int)}
    for method in (
        methods.vae(nets.mlp(4, ()), nets.mlp(3, ()), 2),
        methods.autoencoder(nets.mlp(2, ()), nets.mlp(3, ())),
        methods.classifier(nets.mlp(2, ()), 2),
    ):

        @jax.jit
        def all_begun(method=method):
            first, second = (method.init(jax.random.key(i), data, method.hparams) for i in range(2))
            given = {"encoder": second.params["encoder"]}
            return first, given, method.init(KEY, data, method.hparams, given)

        first, given, begun = all_begun()
        chex.assert_trees_all_equal(begun.params, {**first.params, **given})


def test_a_network_and_what_is_running_have_names_of_their_own():
    objective = drifting()
    taken = objective._replace(running=lambda params, batch, hparams: {"line": jnp.zeros(())})
    with pytest.raises(InputError, match="a network and what is running share the name line"):
        descend(taken, Views()).init(KEY, batch(), {"scale": 1.0})


def test_a_pass_moves_nothing_that_is_not_there():
    objective = drifting()

    def terms(*args, **kwargs):
        return objective.terms(*args, **kwargs)[0], {"elsewhere": 1.0}

    with pytest.raises(InputError, match="moves elsewhere, which are not among"):
        descend(objective._replace(terms=terms), Views()).init(KEY, batch(), {"scale": 1.0})
