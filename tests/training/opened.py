"""Runs that are opened again: how they are made and looked at."""

import chex
import jax
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.training import checkpoint

LANES = training.grid(learning_rate=[0.1, 0.2], seed=range(2))
OPTIONS = {"batch_size": 40, "evaluate_every": 2, "chunk": 2, "checkpoint_seconds": 0.0}


class Killed(BaseException):
    pass


def killed_after(monkeypatch, step, run):
    """Runs until a step's checkpoint is written, and no further."""
    save = checkpoint.save

    def save_then_die(directory, saved, tree, record):
        save(directory, saved, tree, record)
        if saved == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(Killed):
            run()


def snapshot(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [folder, *folder.rglob("*")]
    }


def loaded(directory, method):
    """What is loaded; the directory is as it was."""
    before = snapshot(directory)
    found = training.load(directory, method)
    assert snapshot(directory) == before
    return found


def refused(directory, method, message):
    before = snapshot(directory)
    with pytest.raises(InputError, match=message) as caught:
        training.load(directory, method)
    assert "\n" not in str(caught.value)
    assert snapshot(directory) == before


def assert_same(found, result, best=False):
    """The same rows, states and hyperparameters, bit for bit."""
    np.testing.assert_equal(found.rows, result.rows)
    assert [list(row) for row in found.rows] == [list(row) for row in result.rows]
    assert (found.missing, found.others) == (result.missing, [])
    for lane in training.known_lanes(result):
        for kind in (False, True) if best else (False,):
            (_, state, hparams), (_, expected, others) = (
                training.lane(some, lane, kind) for some in (found, result)
            )
            chex.assert_trees_all_equal_shapes_and_dtypes(state, expected)
            chex.assert_trees_all_equal(state, expected)
            assert jax.tree.structure(state) == jax.tree.structure(expected)
            chex.assert_trees_all_equal(hparams, others)
