"""Samples that are measured beside data, of a method that can be written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, training
from ae_jax.core import InputError, Method, Views
from ae_jax.methods import measured


def counting(conclude=None, sample=True):
    """A method whose samples are its only number, which each step raises by 1."""

    def same(key, state, count, hparams):
        return jnp.full((count, 1, 2, 1), state)

    def step(key, state, batch, hparams):
        return state + 1, {"loss": state}

    return Method(
        {"learning_rate": 0.1},
        lambda key, batch, hparams: jnp.zeros(()),
        step,
        lambda key, state, batch, hparams: {"loss": jnp.full(len(batch["image"]), state)},
        Views(sample=same if sample else None),
        conclude=conclude,
    )


def gap(real, samples):
    return {"gap": jnp.mean(samples - real), "largest": jnp.max(real)}


def images(count):
    return data.stored(np.arange(2 * count, dtype=np.float32).reshape(count, 1, 2) / 16)


def test_samples_are_compared_with_the_first_data_over_training():
    method = measured(counting(), gap, count=5)
    result = training.run(
        method, images(8), training.grid(seed=[0]), steps=3, batch_size=4, validation=images(7)
    )
    (row,) = result.rows
    # the first five of seven images, of which the last batch has padding
    assert row["largest"] == 9 / 16
    assert row["gap"] == 3 - 4.5 / 16
    assert row["loss"] == 3
    assert not {"measured_data", "measured_samples"} & set(row)


def test_what_the_method_itself_concludes_stands_beside():
    own = counting(
        lambda values, present, hparams: {"seen": jnp.sum(present), "names": len(values)}
    )
    method = measured(own, gap, count=2)
    batch = {"image": jnp.arange(8.0).reshape(4, 1, 2, 1)}
    values = method.evaluate(jax.random.key(0), jnp.ones(()), batch, {})
    found = method.conclude(values, jnp.array([False, True, False, True]), {})
    assert (found["seen"], found["names"]) == (2, 1)
    np.testing.assert_allclose(found["gap"], 1 - np.mean([2, 3, 6, 7]))
    # too few are no figure
    found = method.conclude(values, jnp.array([False, True, False, False]), {})
    assert np.isnan(found["gap"])
    assert found["seen"] == 1


def test_each_evaluation_draws_samples_of_its_own():
    def noise(key, state, count, hparams):
        return jax.random.normal(key, (count, 2))

    method = measured(counting()._replace(views=Views(sample=noise)), gap, count=2)
    batch = {"image": jnp.zeros((3, 2))}
    first, again, other = (
        method.evaluate(jax.random.key(seed), jnp.ones(()), batch, {})["measured_samples"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(InputError, match="has no view sample"):
        measured(counting(sample=False), gap, count=1)
    with pytest.raises(InputError, match="count is 0"):
        measured(counting(), gap, count=0)
