from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, training
from ae_jax.core import POSITIVE, Domain, InputError, Method, Views
from ae_jax.methods import few_labels, one_of_several, partly_labelled

HPARAMS = {"rate": 0.5}


class Seen(NamedTuple):
    start: jax.Array
    batch: dict


def recorder():
    """A method whose state is the batch that it last saw."""

    def init(key, batch, hparams, start=None):
        begin = jnp.zeros(()) if start is None else start["encoder"]
        return Seen(begin, dict(batch))

    def step(key, state, batch, hparams):
        return state._replace(batch=dict(batch)), {"loss": hparams["rate"]}

    return Method(
        HPARAMS,
        init,
        step,
        lambda key, state, batch, hparams: dict(batch),
        conclude=lambda values, present, hparams: {"rate": hparams["rate"]},
        domains={"rate": POSITIVE},
        inference=lambda state: state._replace(batch=()),
    )


def constant(level, count=6):
    return data.stored(np.full((count, 2, 2, 1), level, np.float32))


def test_a_lane_sees_the_images_of_its_condition_alone():
    several = data.side_by_side([constant(0.0), constant(0.25), constant(1.0)])
    assert several.size == 6
    assert several.spec["image"].shape == (3, 2, 2, 1)
    batch = several.fetch(several.arrays, jnp.arange(4))
    method = one_of_several(recorder(), 3)

    @jax.jit
    def passed(condition):
        hparams = {**HPARAMS, "condition": condition}
        state = method.init(jax.random.key(0), batch, hparams)
        after, _ = method.step(jax.random.key(1), state, batch, hparams)
        evaluated = method.evaluate(jax.random.key(2), after, batch, hparams)
        return state.batch["image"], after.batch["image"], evaluated["image"]

    for condition, level in enumerate((0.0, 0.25, 1.0)):
        for image in passed(jnp.asarray(float(condition))):
            np.testing.assert_array_equal(image, np.full((4, 2, 2, 1), level))


def test_data_sets_side_by_side_are_of_one_size():
    with pytest.raises(InputError, match="one size"):
        data.side_by_side([constant(0.0), constant(0.0, 5)])


def test_a_lane_draws_from_its_first_labelled_examples_alone():
    pool = data.stored(np.arange(8, dtype=np.uint8).reshape(8, 1, 1), np.arange(8))
    method = few_labels(recorder(), pool)
    order = jnp.array([6, 2, 5, 0, 1])
    batch = pool.fetch(pool.arrays, jnp.zeros(400, int))

    @jax.jit
    def drawn(labels):
        hparams = {**method.hparams, "labels": labels}
        start = {"order": order, "encoder": jnp.ones(())}
        state = method.init(jax.random.key(0), batch, hparams, start)
        after, _ = method.step(jax.random.key(1), state, batch, hparams)
        return after.method.batch

    for count in (1, 3, 5, 7):  # of five that there are
        seen = drawn(jnp.asarray(float(count)))
        assert set(np.asarray(seen["label"])) == set(np.asarray(order)[:count])
        np.testing.assert_allclose(seen["image"].ravel() * 255, seen["label"], rtol=1e-6)


def test_evaluation_of_few_labels_is_the_methods_own():
    pool = data.stored(np.zeros((3, 1, 1), np.uint8), np.arange(3))
    method = few_labels(recorder(), pool)
    assert method.hparams == {**HPARAMS, "labels": 3.0, "pretrained": 1.0}
    flag = Domain(0, 1, whole=True)
    assert method.domains == {
        **{"rate": POSITIVE, "pretrained": flag},
        "labels": Domain(1, 3, whole=True),  # as many as the pool has
    }
    batch = pool.fetch(pool.arrays, jnp.arange(3))
    start = {"order": jnp.arange(3), "encoder": jnp.asarray(7.0)}
    state = method.init(jax.random.key(0), batch, method.hparams, start)
    assert method.evaluate(jax.random.key(0), state, batch, method.hparams).keys() == batch.keys()
    assert method.conclude({}, jnp.ones(3, bool), method.hparams) == {"rate": 0.5}
    assert method.inference(state) == ((), state.method._replace(batch=()))
    several = one_of_several(recorder(), 2)
    assert several.hparams == {**HPARAMS, "condition": 0.0}
    assert several.domains == {"rate": POSITIVE, "condition": Domain(0, 1, whole=True)}
    assert several.conclude({}, jnp.ones(3, bool), several.hparams) == {"rate": 0.5}
    assert several.inference(state.method).batch == ()
    with pytest.raises(InputError, match="count is 0"):
        one_of_several(recorder(), 0)


def test_few_labels_starts_from_parameters_where_it_is_pretrained():
    pool = data.stored(np.zeros((3, 1, 1), np.uint8), np.arange(3))
    method = few_labels(recorder(), pool)
    batch = pool.fetch(pool.arrays, jnp.arange(3))
    start = {"order": jnp.arange(3), "encoder": jnp.asarray(7.0)}
    for pretrained, expected in ((1.0, 7.0), (0.0, 0.0)):
        hparams = {**method.hparams, "pretrained": pretrained}
        assert method.init(jax.random.key(0), batch, hparams, start).method.start == expected


def test_a_partly_labelled_batch_has_a_lanes_own_examples_beside_hidden_labels():
    pool = data.stored(np.arange(8, dtype=np.uint8).reshape(8, 1, 1), np.arange(8))
    viewed = recorder()._replace(views=Views(encode=lambda state, batch, hparams: state.start))
    method = partly_labelled(viewed, pool)
    assert method.hparams == {**HPARAMS, "labels": 8.0}
    order = jnp.array([6, 2, 5, 0, 1])
    batch = pool.fetch(pool.arrays, jnp.full(300, 7))
    start = {"order": order}
    state = method.init(jax.random.key(0), batch, method.hparams, start)
    step = jax.jit(method.step)
    for count in (1, 3, 7):
        hparams = {**method.hparams, "labels": jnp.asarray(float(count))}
        seen = step(jax.random.key(1), state, batch, hparams)[0].method.batch
        known, hidden = np.split(np.asarray(seen["label"]), 2)
        assert set(known) == set(np.asarray(order)[:count])
        assert set(hidden) == {-1}
        shown = np.concatenate([known, np.full(300, 7)])
        np.testing.assert_allclose(seen["image"].ravel() * 255, shown, rtol=1e-6)
    # whatever else there is to start from is the method's
    more = {**start, "encoder": jnp.asarray(7.0)}
    assert method.init(jax.random.key(0), batch, method.hparams, more).method.start == 7
    # evaluation and views are the method's own, of labels as they are
    values = method.evaluate(jax.random.key(0), state, batch, method.hparams)
    assert set(np.asarray(values["label"])) == {7}
    assert method.views.encode(state, batch, method.hparams) == 0
    assert method.views.sample is None
    assert method.conclude({}, jnp.ones(3, bool), method.hparams) == {"rate": 0.5}
    assert method.inference(state) == ((), state.method._replace(batch=()))


@pytest.mark.parametrize(
    ("wrapped", "start", "named"),
    [
        (few_labels, {"order": jnp.arange(2)}, "order, int .*; and encoder, parameters"),
        (partly_labelled, jnp.arange(2), "order, int .* in the pool$"),
    ],
)
def test_without_examples_of_its_own_a_lane_does_not_begin(wrapped, start, named):
    pool = data.stored(np.zeros((3, 1, 1), np.uint8), np.arange(3))
    method = wrapped(recorder(), pool)
    batch = pool.fetch(pool.arrays, jnp.arange(3))
    for given in (None, start):
        with pytest.raises(InputError, match=f"give training.run start=, .*{named}"):
            method.init(jax.random.key(0), batch, method.hparams, given)
    with pytest.raises(InputError, match="with something of its own: give training"):
        training.run(method, pool, training.grid(seed=[0]), 1, batch_size=3)
    with pytest.raises(InputError, match="the pool has no labels: use a data set that has them"):
        wrapped(recorder(), data.stored(np.zeros((3, 1, 1), np.uint8)))
