"""Lanes that begin with arrays of an earlier run."""

import chex
import jax
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.training import engine

LANES = training.grid(learning_rate=[0.1, 0.2], seed=range(2))
STARTS = [{"weights": np.full(6, value, np.float32)} for value in (0.0, 1.0, 2.0, 3.0)]


@pytest.fixture
def starting(toy):
    """The toy method, from given weights."""

    def init(key, batch, hparams, start=None):
        state = toy.init(key, batch, hparams)
        return state if start is None else state._replace(weights=start["weights"])

    return toy._replace(init=init)


def run(method, dataset, steps=4, start=STARTS, **options):
    return training.run(
        method, dataset, LANES, steps, batch_size=10, evaluate_every=2, start=start, **options
    )


def test_every_lane_has_its_own_start(starting, images):
    """Without noise all examples together take each weight to its pixel's mean, by a factor."""
    dataset, lanes = images(40), [{**lane, "noise": 0.0} for lane in LANES]
    result = training.run(starting, dataset, lanes, 4, batch_size=40, start=STARTS)
    mean = dataset.arrays["image"].reshape(40, 6).mean(axis=0) / 255
    for index, (lane, start) in enumerate(zip(lanes, STARTS, strict=True)):
        expected = mean + (1 - lane["learning_rate"]) ** 4 * (start["weights"] - mean)
        np.testing.assert_allclose(training.lane(result, index)[1].weights, expected, rtol=1e-5)


def test_it_resumes_and_another_start_is_another_run(starting, images, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    saved = engine.checkpoint.save

    def save_then_die(directory, step, tree, record):
        saved(directory, step, tree, record)
        if step == 2:
            raise Killed

    options = {"directory": tmp_path / "run", "checkpoint_seconds": 0.0}
    with monkeypatch.context() as patched:
        patched.setattr(engine.checkpoint, "save", save_then_die)
        with pytest.raises(Killed):
            run(starting, images(40), **options)
    other = [jax.tree.map(lambda x: x + 1, start) for start in STARTS]
    with pytest.raises(InputError, match="another"):
        run(starting, images(40), start=other, **options)
    resumed = run(starting, images(40), **options)
    whole = run(starting, images(40))
    chex.assert_trees_all_equal(resumed.groups[0].state, whole.groups[0].state)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (STARTS[:3], "an entry for each of the 4 lanes, got 3"),
        ([*STARTS[:3], {"weights": np.zeros(8, np.float32)}], "arrays of the same shapes"),
        ([*STARTS[:3], {}], "arrays of the same shapes"),
    ],
)
def test_refuses(starting, images, start, message):
    with pytest.raises(InputError, match=message):
        run(starting, images(40), start=start)
