from typing import Any, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.training import checkpoint


class Pair(NamedTuple):
    first: Any
    second: Any


def tree(value=0.0):
    return {
        "pair": Pair(np.full((2, 3), value, np.float32), None),
        "tuple": (np.arange(4, dtype=np.int32), {"scalar": np.asarray(7)}),
        "empty": np.zeros((0, 2), np.float32),
        "bool": np.array([True, False]),
        "half": np.full(3, 1.5, jnp.bfloat16),
    }


def save_three(directory):
    for step in (10, 20, 30):
        checkpoint.save(directory, step, tree(float(step)), {"at": step})


def restored_step(directory):
    return checkpoint.restore_newest(directory, tree())[0]


def arrays_of(directory, step):
    return directory / f"{step:012d}" / "arrays.npz"


def test_round_trip_keeps_structure_dtypes_and_values(tmp_path):
    save_three(tmp_path)
    step, found, record = checkpoint.restore_newest(tmp_path, tree())
    assert (step, record) == (30, {"at": 30})
    assert isinstance(found["pair"], Pair)
    assert found["pair"].second is None
    assert isinstance(found["tuple"], tuple)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, tree())
    chex.assert_trees_all_equal(found, tree(30.0))


def test_only_the_newest_two_are_kept_and_unfinished_ones_are_swept_away(tmp_path):
    save_three(tmp_path)
    (tmp_path / "000000000040.orbax-checkpoint-tmp").mkdir()
    assert restored_step(tmp_path) == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000020", "000000000030"]


def test_nothing_to_restore(tmp_path):
    assert checkpoint.restore_newest(tmp_path / "never", tree()) is None


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    at = content.find(np.float32(30.0).tobytes())
    assert at > 0
    content[at] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    save_three(tmp_path)
    damage(arrays_of(tmp_path, 30))
    with pytest.warns(UserWarning, match=r"000000000030 is damaged .* falling back"):
        step, found, _ = checkpoint.restore_newest(tmp_path, tree())
    assert step == 20
    chex.assert_trees_all_equal(found, tree(20.0))


def test_values_changed_within_a_sound_file_are_noticed(tmp_path):
    save_three(tmp_path)
    path = arrays_of(tmp_path, 30)
    with np.load(path) as file:
        arrays = [file[name] for name in file.files]
    arrays[0] = ~arrays[0]
    np.savez(path, *arrays)
    with pytest.warns(UserWarning, match="do not match their digest"):
        assert restored_step(tmp_path) == 20


def test_both_damaged_leaves_nothing(tmp_path):
    save_three(tmp_path)
    for step in (20, 30):
        truncate(arrays_of(tmp_path, step))
    with pytest.warns(UserWarning, match="is damaged") as warned:
        assert checkpoint.restore_newest(tmp_path, tree()) is None
    assert len(warned) == 2


def test_another_methods_checkpoint_is_refused_and_kept(tmp_path):
    save_three(tmp_path)
    with pytest.raises(InputError, match="another method's checkpoint"):
        checkpoint.restore_newest(tmp_path, {**tree(), "bool": np.zeros(3, bool)})
    assert restored_step(tmp_path) == 30
