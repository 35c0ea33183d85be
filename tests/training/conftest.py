"""A method small enough to predict and quick to compile, and data to train it on."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import Method


class Toy(NamedTuple):
    weights: jax.Array
    count: jax.Array
    last_rate: jax.Array
    nothing: None = None


def _flat(batch):
    return batch["image"].reshape(batch["image"].shape[0], -1)


def _toy_method(bias=0.0):
    """Descends to the data's mean; it breaks at chosen steps."""

    def init(key, batch, hparams):
        weights = jax.random.normal(key, (_flat(batch).shape[1],)) + bias
        return Toy(weights, jnp.asarray(0), jnp.asarray(0.0))

    def step(key, state, batch, hparams):
        target = jnp.mean(_flat(batch), axis=0)
        noise = hparams["noise"] * jax.random.normal(key, state.weights.shape)
        loss = jnp.sum((state.weights - target) ** 2)
        weights = state.weights - hparams["learning_rate"] * (state.weights - target + noise)
        now = state.count.astype(weights.dtype)
        loss = jnp.where(now == hparams["loss_breaks_at"], jnp.nan, loss)
        weights = jnp.where(now == hparams["state_breaks_at"], jnp.inf, weights)
        rate = jnp.asarray(hparams["learning_rate"], weights.dtype)
        return Toy(weights, state.count + 1, rate), {"loss": loss, "a_figure": 2 * loss}

    def evaluate(key, state, batch, hparams):
        x = _flat(batch)
        distance = jnp.sum((x - state.weights[None]) ** 2, axis=1)
        return {"loss": distance, "uniform": jax.random.uniform(key, distance.shape)}

    hparams = {"learning_rate": 0.1, "noise": 0.1, "loss_breaks_at": -1, "state_breaks_at": -1}
    return Method(hparams, init, step, evaluate)


def _images(size, seed=0):
    random = np.random.RandomState(seed)
    return data.stored(random.randint(0, 256, (size, 2, 3, 1)).astype(np.uint8))


@pytest.fixture(scope="session")
def toy():
    return _toy_method()


@pytest.fixture(scope="session")
def toy_factory():
    return _toy_method


@pytest.fixture(scope="session")
def images():
    return _images
