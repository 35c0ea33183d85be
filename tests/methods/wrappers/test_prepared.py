"""Methods that see their data drawn: anew at every step, and always alike in evaluation."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, training
from ae_jax.core import InputError, Method, Views
from ae_jax.methods import binarized, prepared

KEY = jax.random.key(0)


def watching():
    """A method that is what it sees: the state is the batch of the last step."""

    def step(key, state, batch, hparams):
        return batch["image"], {"loss": jnp.mean(batch["image"])}

    def evaluate(key, state, batch, hparams):
        return {"loss": jnp.sum(batch["image"].reshape(len(batch["image"]), -1), axis=1)}

    views = Views(
        encode=lambda state, batch, hparams: batch["image"].reshape(len(batch["image"]), -1),
        log_likelihood=lambda key, state, batch, hparams: batch["image"].sum(axis=(1, 2, 3)),
        sample=lambda key, state, count, hparams: jnp.zeros((count, 4, 4, 1)),
    )
    return Method(
        {"learning_rate": 0.1},
        lambda key, batch, hparams, *start: (*start, batch["image"])[0],
        step,
        evaluate,
        views,
    )


def grey(count=8):
    levels = np.linspace(0, 1, count * 16, dtype=np.float32).reshape(count, 4, 4)
    return data.stored(levels, np.arange(count))


def test_pixels_are_ones_as_often_as_they_are_bright():
    image = jnp.array([0.0, 0.2, 0.7, 1.0]).reshape(1, 2, 2, 1)
    batch = {"image": jnp.tile(image, (4000, 1, 1, 1)), "label": jnp.arange(4000)}
    drawn = binarized(KEY, batch)
    assert set(np.unique(drawn["image"])) == {0, 1}
    np.testing.assert_array_equal(drawn["label"], batch["label"])
    rate = drawn["image"].mean(axis=0).ravel()
    np.testing.assert_array_equal(rate[jnp.array([0, 3])], [0, 1])
    np.testing.assert_allclose(rate, image.ravel(), atol=4 * 0.5 / np.sqrt(4000))
    half = {"image": batch["image"].astype(jnp.bfloat16)}
    assert binarized(KEY, half)["image"].dtype == jnp.bfloat16


def test_both_images_of_a_pair_are_drawn_on_their_own():
    image = jnp.full((500, 2, 2, 1), 0.5)
    alone, pair = binarized(KEY, {"image": image}), binarized(KEY, {"image": image, "other": image})
    np.testing.assert_array_equal(alone["image"], pair["image"])
    assert set(np.unique(pair["other"])) == {0, 1}
    same = jnp.mean(pair["image"] == pair["other"])
    assert abs(same - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_what_prepares_nothing_is_refused():
    with pytest.raises(InputError, match="preparation is 'binarized': use a function"):
        prepared(watching(), "binarized")
    with pytest.raises(InputError, match="method is the function watching: call it"):
        prepared(watching, binarized)


def test_steps_draw_anew_and_a_key_draws_the_same():
    method, own = prepared(watching(), binarized), watching()
    batch = grey().fetch(grey().arrays, jnp.arange(8))
    keys = jax.random.split(KEY, 2)
    first, again, second = (
        np.asarray(method.step(key, (), batch, {})[0]) for key in (keys[0], keys[0], keys[1])
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != second)
    assert set(np.unique(first)) == {0, 1}
    # whoever takes a key sees draws, and who takes none sees the data
    seen = method.views.log_likelihood(KEY, (), batch, {})
    np.testing.assert_array_equal(seen, method.evaluate(KEY, (), batch, {})["loss"])
    np.testing.assert_array_equal(seen, np.round(seen))
    assert np.any(seen != own.views.log_likelihood(KEY, (), batch, {}))
    np.testing.assert_array_equal(
        method.views.encode((), batch, {}), own.views.encode((), batch, {})
    )
    assert method.views.generate is None
    assert set(np.unique(method.init(KEY, batch, {}))) == {0, 1}
    assert method.init(KEY, batch, {}, "start") == "start"


def test_the_method_has_a_key_of_its_own():
    def step(key, state, batch, hparams):
        return jax.random.key_data(key), {"loss": jnp.zeros(())}

    method = prepared(
        watching()._replace(step=step), lambda key, batch: {"image": jax.random.key_data(key)}
    )
    own = method.step(KEY, (), {"image": jnp.zeros((1, 1))}, {})[0]
    drawing = prepared(watching(), lambda key, batch: {"image": jax.random.key_data(key)})
    seen = drawing.evaluate(KEY, (), {"image": jnp.zeros(2)}, {})["loss"]
    assert np.any(np.asarray(own) != np.asarray(seen))
    assert np.any(np.asarray(own) != np.asarray(jax.random.key_data(KEY)))


def test_evaluation_draws_the_same_whenever_it_is_done(tmp_path):
    method, drawn = prepared(watching(), binarized), {}
    options = {"batch_size": 4, "validation": grey(6), "evaluate_every": 1}
    training.run(method, grey(), training.grid(seed=[0, 1]), 3, tmp_path, **options)
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        drawn.setdefault((row["split"], row["lane"]), []).append(row["loss"])
    for lane in (0, 1):
        assert len(drawn["validation", lane]) == 3
        assert len(set(drawn["validation", lane])) == 1
        assert len(set(drawn["train", lane])) == 3
    # six images, and no mean of them that has not been drawn
    (value,) = set(drawn["validation", 0])
    np.testing.assert_allclose(6 * value, np.round(6 * value), atol=1e-4)
