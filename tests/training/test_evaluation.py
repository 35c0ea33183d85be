"""Figures of a whole data set are exact for any size of it and of its batches."""

import json
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, training
from ae_jax.core import InputError, Method
from tests.marks import rare

SIZE = 65


class Weights(NamedTuple):
    kernel: jax.Array


def _present(present):
    return present.astype(jnp.result_type(float))


def covariance(latent, present):
    """[Z, Z], of the rows that are present."""
    weight = _present(present)[:, None]
    centered = weight * (latent - jnp.sum(weight * latent, 0, keepdims=True) / jnp.sum(weight))
    return centered.T @ centered / jnp.sum(weight)


def discrepancy(latent, present):
    """Of latents and their mirror images, over all pairs of different rows that are present."""
    weight = _present(present)
    pairs = weight[:, None] * weight[None, :] * (1 - jnp.eye(len(weight), dtype=weight.dtype))

    def kernel(x, y):
        return jnp.exp(-jnp.sum((x[:, None] - y[None]) ** 2, axis=-1))

    same, mirrored = kernel(latent, latent), kernel(latent, -latent)
    return 2 * jnp.sum(pairs * (same - mirrored)) / jnp.sum(pairs)


def _flat(batch):
    return batch["image"].reshape(batch["image"].shape[0], -1)


def evaluate(key, state, batch, hparams):
    latent = _flat(batch) @ state.kernel
    return {"loss": jnp.sum(latent**2, axis=1), "latent": latent}


def conclude(values, present, hparams):
    latent = values["latent"]
    weight = _present(present)
    mean = jnp.sum(weight * values["loss"]) / jnp.sum(weight)
    activity = jnp.sum(weight[:, None] * jnp.abs(latent), axis=0) / jnp.sum(weight)
    penalty = hparams["penalty_weight"] * jnp.sum(activity**2)
    spread = covariance(latent, present)
    return {
        "loss": mean + penalty,
        "penalty": penalty,
        "off_diagonal": jnp.sum(spread**2) - jnp.sum(jnp.diagonal(spread) ** 2),
        "discrepancy": discrepancy(latent, present),
    }


@pytest.fixture(scope="module")
def whole():
    """A method whose figures are of the whole set: a penalty, a covariance, a discrepancy."""
    return Method(
        hparams={"penalty_weight": 0.5},
        init=lambda key, batch, hparams: Weights(jax.random.normal(key, (6, 2))),
        step=lambda key, state, batch, hparams: (state, {"loss": jnp.zeros(())}),
        evaluate=evaluate,
        conclude=conclude,
    )


def expected(kernel, dataset):
    """The same in NumPy, in one piece."""
    x = np.asarray(dataset.arrays["image"], np.float64).reshape(dataset.size, -1) / 255
    latent = x @ np.asarray(kernel, np.float64)
    penalty = 0.5 * np.sum(np.abs(latent).mean(axis=0) ** 2)
    spread = np.cov(latent.T, bias=True)

    def kernel_sum(y):
        squares = ((latent[:, None] - y[None]) ** 2).sum(-1)
        return np.exp(-squares).sum() - np.exp(-np.diag(squares)).sum()

    pairs = dataset.size * (dataset.size - 1)
    return {
        "loss": (latent**2).sum(axis=1).mean() + penalty,
        "penalty": penalty,
        "off_diagonal": 2 * spread[0, 1] ** 2,
        "discrepancy": 2 * (kernel_sum(latent) - kernel_sum(-latent)) / pairs,
    }


@pytest.mark.parametrize(
    ("batch_size", "stream"), [rare(64, False), (65, False), rare(64, True), (2, True)]
)
def test_terms_over_the_batch_are_those_of_the_whole_set(
    whole, images, batch_size, stream, monkeypatch, x64
):
    monkeypatch.setattr(training.evaluation, "CHUNK_BYTES", 200)  # several pieces
    test = images(SIZE, 1)
    options = {"batch_size": batch_size, "test": test, "stream": stream}
    result = training.run(whole, images(100), training.grid(seed=range(3)), 1, **options)
    for lane, row in enumerate(result.rows):
        kernel = training.lane(result, lane)[1].kernel
        figures = {name: row[name] for name in ("loss", "penalty", "off_diagonal", "discrepancy")}
        chex.assert_trees_all_close(figures, expected(kernel, test), rtol=1e-12)


def test_validation_and_test_share_one_program(whole, images):
    """Traced once for both, though they differ in size; data fetched otherwise have their own."""

    def traces(test):
        traced = []

        def counting(key, state, batch, hparams):
            traced.append(batch["image"].shape)
            return evaluate(key, state, batch, hparams)

        method = whole._replace(evaluate=counting)
        options = {"batch_size": 16, "validation": images(20, 1), "test": test}
        result = training.run(method, images(100), training.grid(), 1, **options)
        kernel = training.lane(result, 0)[1].kernel
        for name, value in expected(kernel, test).items():
            np.testing.assert_allclose(result.rows[0][name], value, rtol=1e-5)
        return len(traced)

    alone = traces(images(20, 1))
    assert traces(images(SIZE, 2)) == alone
    otherwise = images(SIZE, 2)
    apart = otherwise._replace(fetch=lambda arrays, i: otherwise.fetch(arrays, i))
    assert traces(apart) > alone


def test_what_is_concluded_is_checked_before_training(whole, images):
    def wrong(values, present, hparams):
        return {"spread": values["latent"]}

    for method, message in [
        (whole._replace(conclude=wrong), "concludes, spread, must be a scalar"),
        (whole._replace(conclude=None), "evaluation latent must have one value per example"),
        (
            whole._replace(conclude=lambda *_: {"lane": jnp.zeros(())}),
            "evaluation lane has the name of another column",
        ),
        (whole._replace(evaluate=lambda *_: {}), "concludes from no values"),
    ]:
        with pytest.raises(InputError, match=message):
            training.run(method, images(100), training.grid(), 1, batch_size=16)


NARROW = {
    "half": jnp.asarray(1001.0, jnp.bfloat16),
    "small": jnp.asarray(100, jnp.int8),
    "truth": jnp.asarray(True),
}


def test_what_is_narrow_is_summed_in_single(images, tmp_path):
    """Added up in their own types halves stall, small integers wrap, truth values stay at one."""

    def evaluate(key, state, batch, hparams):
        count = batch["image"].shape[0]
        return {name: jnp.broadcast_to(value, (count,)) for name, value in NARROW.items()}

    method = Method(
        hparams={},
        init=lambda key, batch, hparams: jnp.zeros(()),
        step=lambda key, state, batch, hparams: (state, NARROW),
        evaluate=evaluate,
    )
    hundred = data.subset(images(100), slice(0, 99))
    result = training.run(
        method, hundred, training.grid(), 300, tmp_path, batch_size=64, evaluate_every=300
    )
    expected = {name: float(value) for name, value in NARROW.items()}
    reported = json.loads((tmp_path / "metrics.jsonl").read_text())
    for found in (result.rows[0], reported):
        assert {name: found[name] for name in NARROW} == expected
