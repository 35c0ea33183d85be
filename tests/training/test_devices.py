import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.training import checkpoint
from ae_jax.training import devices as placement

BACKENDS = ("pmap", "shard", "vmap")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
def test_lanes_come_back_as_they_were_placed(lanes, backend):
    mapping = placement.device_map(lanes, jax.devices(), backend)
    tree = {"x": np.arange(6 * lanes, dtype=np.float32).reshape(lanes, 2, 3), "n": np.arange(lanes)}
    placed = mapping.place(tree)
    used = 1 if backend == "vmap" else min(lanes, 2)
    assert placed["x"].shape == (used, -(-lanes // used), 2, 3)
    assert len(placed["x"].sharding.device_set) == used
    back = mapping.collect(placed)
    np.testing.assert_array_equal(back["x"], tree["x"])
    np.testing.assert_array_equal(back["n"], tree["n"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lanes", [1, 3])
def test_a_mapped_function_sees_one_lane_and_what_is_shared(lanes, backend):
    mapping = placement.device_map(lanes, jax.devices(), backend)
    x = np.arange(2.0 * lanes, dtype=np.float32).reshape(lanes, 2)
    factor = np.arange(1, lanes + 1, dtype=np.float32)

    def one(state, lane, shared):
        assert state.shape == (2,)
        assert lane.shape == ()
        assert shared.shape == (2,)
        return state + lane * shared

    shared = mapping.place_shared(np.float32([10, 20]))
    out = mapping.map(one, donate=True)(mapping.place(x), mapping.place(factor), shared)
    np.testing.assert_array_equal(
        mapping.collect(out), x + factor[:, None] * np.float32([[10, 20]])
    )


@pytest.mark.parametrize("given", ["", "--xla_backend_optimization_level=0"])
def test_what_is_called_once_is_optimized_little_unless_flags_say_how_much(given, monkeypatch):
    options = []
    compiled = jax.stages.Lowered.compile

    def compile_seen(lowered, compiler_options=None):
        options.append(compiler_options)
        return compiled(lowered, compiler_options)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_seen)
    monkeypatch.setenv("XLA_FLAGS", given)
    mapping = placement.device_map(2, jax.devices())
    squares = mapping.map(lambda state, lane, shared: state**2 + shared, once=True)
    out = squares(mapping.place(np.arange(2.0)), (), mapping.place_shared(np.float32(1)))
    np.testing.assert_array_equal(mapping.collect(out), [1, 2])
    assert options == [{} if given else {"xla_backend_optimization_level": 1}]


def test_padding_is_a_copy_of_the_first_lane():
    placed = placement.device_map(3, jax.devices()).place(np.arange(3))
    np.testing.assert_array_equal(jnp.ravel(jax.device_get(placed)), [0, 1, 2, 0])


def test_all_backends_train_alike(toy, images):
    def rows(backend, count):
        devices = jax.devices()[:count]
        lanes = training.grid(noise=[0.0, 0.1, 0.5])
        options = {"batch_size": 40, "backend": backend, "devices": devices}
        return training.run(toy, images(100), lanes, 5, **options).rows

    expected = rows("vmap", 1)
    for backend, count in [("pmap", 2), ("shard", 2)]:
        for row, other in zip(expected, rows(backend, count), strict=True):
            np.testing.assert_allclose(row["loss"], other["loss"], rtol=1e-6)


def test_a_run_goes_on_with_another_number_of_devices(toy, images, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def train(count, directory, steps=6):
        devices, lanes = jax.devices()[:count], training.grid(noise=[0.0, 0.1, 0.5])
        options = {"batch_size": 40, "chunk": 2, "checkpoint_seconds": 0.0, "devices": devices}
        return training.run(toy, images(100), lanes, steps, directory, **options)

    save = checkpoint.save

    def save_then_die(directory, step, tree, record):
        save(directory, step, tree, record)
        if step == 2 * len(died) + 2:
            died.append(step)
            raise Killed

    died = []
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        for count in (2, 1):
            with pytest.raises(Killed):
                train(count, tmp_path / "parts")
    assert died == [2, 4]
    resumed, whole = train(2, tmp_path / "parts"), train(2, tmp_path / "whole")
    chex.assert_trees_all_close(resumed.groups[0].state, whole.groups[0].state, rtol=1e-6)
    assert resumed.groups[0].state.count.tolist() == [6, 6, 6]


@pytest.mark.parametrize("count", [0, 3, 64])
def test_too_many_devices_are_refused(count):
    with pytest.raises(InputError, match=r"at least 1, got 0|asked for, 2 found: lower --devices"):
        training.use_devices(count)


def test_use_devices_takes_what_there_is():
    assert training.use_devices() == jax.local_devices()
    assert training.use_devices(1) == jax.local_devices()[:1]


@pytest.mark.parametrize(
    "text", ["localhost", "a:1/2", "a:1/two/0", "a:1/2/0/3", "a/2/0", "a:1/2/2"]
)
def test_an_address_that_cannot_be_read_is_refused(text):
    with pytest.raises(InputError, match="distributed must be auto or HOST:PORT/COUNT/INDEX"):
        training.use_devices(1, text)
