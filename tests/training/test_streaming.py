"""Data that are streamed give the results of data that lie on the device."""

import chex
import jax
import numpy as np
import pytest

from ae_jax import data, training
from ae_jax.training import evaluation, streaming

LANES = training.grid(learning_rate=[0.1, 0.2], seed=range(2))


def random_images(size, seed):
    random = np.random.RandomState(seed)
    return random.randint(0, 256, (size, 3, 3, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def run(toy):
    def run(train, stream, **options):
        validation = data.stored(random_images(57, 1))
        options = {"batch_size": 16, "evaluate_every": 5, "validation": validation, **options}
        return training.run(toy, train, LANES, 12, stream=stream, **options)

    return run


def outcome(result):
    return [(group.state, group.best, group.final) for group in result.groups]


@pytest.fixture(scope="module")
def assert_same(run):
    """The programs differ, so XLA may round differently."""
    resident = outcome(run(data.stored(random_images(100, 0)), False))

    def assert_same(result):
        chex.assert_trees_all_close(outcome(result), resident, rtol=1e-5, atol=1e-6)

    return assert_same


@pytest.fixture
def mapped(tmp_path):
    """A data set whose images stay in a read-only file."""
    np.save(tmp_path / "images.npy", random_images(100, 0))
    return data.stored(np.load(tmp_path / "images.npy", mmap_mode="r"))


def test_one_piece(run, assert_same, mapped):
    assert isinstance(mapped.arrays["image"], np.memmap)
    assert_same(run(mapped, True))


def test_many_pieces(run, assert_same, mapped, monkeypatch):
    small = 4 * 2 * 16 * 9  # 4 lanes x 2 steps x 16 examples x 9 bytes
    monkeypatch.setattr(streaming, "CHUNK_BYTES", small)
    pieces = []
    place = streaming.chunk_rows
    monkeypatch.setattr(
        streaming,
        "chunk_rows",
        lambda dataset, seeds, windows, *rest: (
            pieces.append(len(windows)) or place(dataset, seeds, windows, *rest)
        ),
    )
    monkeypatch.setattr(evaluation, "CHUNK_BYTES", 9 * 16)  # a batch at a time
    assert_same(run(mapped, True))
    assert pieces == [7]  # windows of 2, 2, 1 steps in each 5, and 2 at the end


def test_a_streamed_run_resumes_bit_for_bit(run, mapped, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    save = training.engine.checkpoint.save

    def save_then_die(directory, step, tree, record):
        save(directory, step, tree, record)
        if step == 8:
            raise Killed

    options = {"checkpoint_seconds": 0.0, "chunk": 4}
    whole = run(mapped, True, directory=tmp_path / "whole", **options)
    options["directory"] = tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(training.engine.checkpoint, "save", save_then_die)
        with pytest.raises(Killed):
            run(mapped, True, **options)
    resumed = run(mapped, True, **options)
    chex.assert_trees_all_equal(outcome(resumed), outcome(whole))
    assert resumed.rows == whole.rows


def test_rendered_data_are_never_streamed(toy):
    """They have no rows to gather: their examples are drawn from the indices themselves."""
    spec = {"image": jax.ShapeDtypeStruct((1, 1, 1), np.float32)}

    def fetch(arrays, indices):
        return {"image": indices.astype(np.float32)[:, None, None, None] / 100}

    rendered = data.stored(np.zeros((1, 1, 1), np.uint8))._replace(
        spec=spec, size=100, arrays={}, fetch=fetch
    )
    rows = [
        training.run(toy, rendered, training.grid(), 4, batch_size=40, stream=stream).rows
        for stream in (False, True)
    ]
    assert rows[0] == rows[1]
    assert not streaming.needs_streaming(rendered, jax.devices())


def test_streaming_is_needed_above_half_a_devices_memory():
    class Device:
        def memory_stats(self):
            return {"bytes_limit": 1800}

    dataset = data.stored(random_images(100, 0))  # 900 bytes
    assert not streaming.needs_streaming(dataset, [Device()])
    larger = data.stored(random_images(101, 0))
    assert streaming.needs_streaming(larger, [Device()])
