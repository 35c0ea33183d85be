"""A lane's parameters leave in a plain file, and come back bit for bit."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError

LANES = training.grid(learning_rate=[0.1, 0.2], seed=range(2))
SCHEDULES = [training.step_decay(1, 0.5)]


class Two(NamedTuple):
    params: Any
    chain: Any


LAYERS = {"encoder": {"Dense_0": {"kernel": np.ones((2, 3)), "bias": np.zeros(3)}}}
TYPES = ("bool", "int8", "uint32", "float16", "bfloat16", "float8_e4m3fn")
VALUES = np.array([[0, 1, 2], [5, 6, 7]])


def keeping(toy):
    """The toy method, with further parameters and a chain that inference does without."""

    def init(key, batch, hparams):
        toy_state = toy.init(key, batch, hparams)
        noise = jax.random.normal(key, (7,))
        held = jax.tree.map(
            lambda x: x.astype(noise.dtype) + noise[: x.size].reshape(x.shape), LAYERS
        )
        typed = {name: jnp.asarray(VALUES, name) for name in TYPES}
        return Two({"toy": toy_state, "types": typed, **held}, noise)

    def step(key, state, batch, hparams):
        after, info = toy.step(key, state.params["toy"], batch, hparams)
        return state._replace(params={**state.params, "toy": after}), info

    return toy._replace(
        init=init,
        step=step,
        evaluate=lambda key, state, batch, h: toy.evaluate(key, state.params["toy"], batch, h),
        inference=lambda state: state._replace(chain=()),
    )


def trained(toy, images, **options):
    options |= {"validation": images(50, 1), "keep_best": True, "evaluate_every": 1}
    return training.run(
        keeping(toy), images(100), LANES, 3, batch_size=40, schedules=SCHEDULES, **options
    )


@pytest.fixture(scope="module")
def run(toy, images, tmp_path_factory):
    """A run's result, its directory and its third lane's file."""
    directory = tmp_path_factory.mktemp("exported")
    result = trained(toy, images, directory=directory / "run")
    training.export(result, 2, directory / "lane.npz")
    return result, directory / "run", directory / "lane.npz"


def holding(result, params):
    """A result whose lanes hold other parameters."""
    (group,) = result.groups
    params = jax.tree.map(lambda x: np.stack([x] * len(LANES)), params)
    state = group.state._replace(params=params)
    return result._replace(groups=[group._replace(state=state)])


def refused(path, like, message):
    with pytest.raises(InputError, match=message) as caught:
        training.import_parameters(path, like)
    assert "\n" not in str(caught.value)


def assert_equal(found, expected):
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)
    chex.assert_trees_all_equal(found, expected)
    assert jax.tree.structure(found) == jax.tree.structure(expected)


def round_trip(result, path):
    method, state, hparams = training.lane(result, 2)
    found, numbers = training.import_parameters(path, method.inference(state))
    assert_equal(found, method.inference(state))
    assert numbers == {name: float(value) for name, value in hparams.items()}
    return state.params


def test_what_inference_needs_stands_in_a_plain_file_by_name(run):
    result, _, path = run
    params = round_trip(result, path)
    hparams = training.lane(result, 2)[2]
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == [
            "encoder/Dense_0/bias",
            "encoder/Dense_0/kernel",
            *sorted(f"hyperparameters/{name}" for name in hparams),
            "toy/count",
            "toy/last_rate",
            "toy/weights",
            *sorted(f"types/{name}" for name in TYPES),
        ]
        kernel = params["encoder"]["Dense_0"]["kernel"]
        np.testing.assert_array_equal(file["encoder/Dense_0/kernel"], kernel)
        np.testing.assert_allclose(file["hyperparameters/learning_rate"], 0.2 / 4, rtol=1e-6)
    assert sorted(each.name for each in path.parent.iterdir()) == ["lane.npz", "run"]


def test_every_type_comes_back_as_it_was(run):
    result, _, path = run
    found = round_trip(result, path)["types"]
    assert [str(found[name].dtype) for name in TYPES] == [*TYPES]
    with np.load(path, allow_pickle=False) as file:
        for name in TYPES[1:]:
            np.testing.assert_array_equal(file[f"types/{name}"].astype(float), VALUES)


def test_double_precision_comes_back_as_it_was(toy, images, tmp_path, x64):
    result = trained(toy, images)
    training.export(result, 2, tmp_path / "lane.npz")
    kernel = round_trip(result, tmp_path / "lane.npz")["encoder"]["Dense_0"]["kernel"]
    assert kernel.dtype == np.float64
    assert (kernel.astype(np.float32) != kernel).any()


def test_the_best_state_of_a_loaded_run(run, toy, tmp_path):
    result, directory, _ = run
    files = [tmp_path / name for name in ("one.npz", "two.npz")]
    for path, some in zip(files, (result, training.load(directory, keeping(toy))), strict=True):
        training.export(some, 0, path, best=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    _, best, _ = training.lane(result, 0, best=True)
    assert_equal(training.import_parameters(files[0], best)[0], best)


def test_without_a_structure_names_make_mappings_to_start_from(run, toy, images):
    result, _, path = run
    found, numbers = training.import_parameters(path)
    assert set(found) == {"encoder", "toy", "types"}
    assert_equal(found["encoder"], training.lane(result, 2)[1].params["encoder"])
    assert numbers["noise"] == 0.1

    def init(key, batch, hparams, start):
        return toy.init(key, batch, hparams)._replace(weights=start["toy"]["weights"])

    begun = training.run(
        toy._replace(init=init), images(100), LANES, 1, batch_size=40, start=[found] * 4
    )
    assert len(begun.rows) == 4


def test_names_that_would_meet_stay_whole(run, tmp_path):
    both = {"params": {"x": np.ones(2)}, "x": np.zeros(2)}
    result = holding(run[0], both)
    training.export(result, 2, tmp_path / "lane.npz")
    assert_equal(round_trip(result, tmp_path / "lane.npz"), both)
    with np.load(tmp_path / "lane.npz") as file:
        assert {"params/params/x", "params/x"} <= set(file.files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {**p, "y": p["x"]}, "lane.npz lacks y: give the structure that was exported"),
        (lambda p: {"z": p["z"]}, "lane.npz has x: give the structure that was exported"),
        (lambda p: {**p, "x": np.ones(4, np.float32)}, r"x as float32 \[3\], and float32 \[4\] is"),
        (lambda p: {**p, "x": np.ones(3, np.float64)}, r"x as float32 \[3\], and float64 \[3\] is"),
        (
            lambda p: {**p, "x": np.ones(3, jnp.bfloat16)},
            "x as float32, which bfloat16 cannot hold",
        ),
    ],
)
def test_another_structure_is_refused(run, tmp_path, change, message):
    params = {"x": np.full(3, 1 / 3, np.float32), "z": np.zeros(2)}
    training.export(holding(run[0], params), 0, tmp_path / "lane.npz")
    refused(tmp_path / "lane.npz", Two(change(params), ()), message)


def write(path, content):
    if content == "npy":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    elif content == "pickled":
        with path.open("wb") as file:
            np.savez(file, x=np.array([{}], dtype=object))
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04torn", "npy", "pickled"])
def test_another_file_is_refused(tmp_path, content):
    write(tmp_path / "file", content)
    refused(tmp_path / "file", None, "is no .npz of arrays: give a file that")


def test_what_cannot_be_read_or_written_is_said_in_a_line(run, tmp_path):
    refused(tmp_path / "nowhere.npz", None, "cannot be read .No such file")
    refused(tmp_path, None, "cannot be read .Is a directory")
    result = run[0]
    with pytest.raises(
        InputError, match=r"cannot be written .No such file .*: choose another path"
    ):
        training.export(result, 0, tmp_path / "nowhere" / "lane.npz")
    with pytest.raises(InputError, match="no lane 9"):
        training.export(result, 9, tmp_path / "lane.npz")
    assert [*tmp_path.iterdir()] == []
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path / "file" / "x.npz", "cannot be written"),
        ("", "names no file"),
    ):
        with pytest.raises(InputError, match=message):
            training.export(result, 0, path)
    for name in ("file", "allow_pickle"):
        with pytest.raises(InputError, match=f"{name} cannot be the name"):
            training.export(holding(result, {name: np.ones(3)}), 0, tmp_path / "x")
    twice = holding(result, {"a/b": np.ones(3), "a": {"b": np.zeros(3)}})
    with pytest.raises(InputError, match="have the same name"):
        training.export(twice, 0, tmp_path / "x")


def test_files_of_other_programs_are_refused(tmp_path):
    for number, arrays in enumerate(
        ({"a": np.ones(2), "a/b": np.ones(2)}, {"hyperparameters/x": np.ones(2)})
    ):
        np.savez(tmp_path / f"{number}.npz", **arrays)
        refused(tmp_path / f"{number}.npz", None, "is no .npz of arrays: give a file that")
