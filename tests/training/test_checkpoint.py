"""Checkpoints are whole or absent, and nothing that can be read again is ever lost."""

import errno
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.training import checkpoint

LANES = [3, 5]


class Pair(NamedTuple):
    first: Any
    second: Any


def tree(value=0.0, lanes=LANES):
    """States of some lanes: each holds its lane's number beside a value."""
    number = np.array(lanes)
    return {
        "pair": Pair(np.full((len(lanes), 2, 3), value, np.float32), None),
        "tuple": (np.tile(np.arange(4, dtype=np.int32), (len(lanes), 1)), {"scalar": number}),
        "empty": np.zeros((len(lanes), 0, 2), np.float32),
        "bool": np.tile([True, False], (len(lanes), 1)),
        "half": np.full((len(lanes), 3), 1.5, jnp.bfloat16),
    }


def save(folder, step, lanes=LANES, **record):
    checkpoint.save(folder, step, tree(float(step), lanes), {"lanes": lanes, **record})


def restore(root, lanes=LANES, **same):
    return checkpoint.restore(root, root / "own", lanes, tree(0.0, lanes), **same)


def save_three(root):
    for step in (10, 20, 30):
        save(root / "own", step)


def restored_step(root):
    (found,) = restore(root)
    return found.step


def arrays_of(root, step):
    return root / "own" / f"{step:012d}" / "arrays.npz"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_round_trip_keeps_structure_dtypes_and_values(tmp_path):
    save_three(tmp_path)
    ((step, places, found),) = restore(tmp_path)
    assert step == 30
    np.testing.assert_array_equal(places, [0, 1])
    assert isinstance(found["pair"], Pair)
    assert found["pair"].second is None
    assert isinstance(found["tuple"], tuple)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, tree())
    chex.assert_trees_all_equal(found, tree(30.0))


def test_only_the_newest_two_are_kept_and_unfinished_ones_are_swept_away(tmp_path):
    save_three(tmp_path)
    (tmp_path / "own" / "000000000040.orbax-checkpoint-tmp").mkdir()
    assert restored_step(tmp_path) == 30
    assert names(tmp_path / "own") == ["000000000020", "000000000030"]


def test_nothing_to_restore(tmp_path):
    ((step, places, found),) = restore(tmp_path / "never")
    assert (step, places.tolist(), found) == (0, [0, 1], None)


def test_lanes_go_on_from_their_newest_checkpoints_wherever_those_are(tmp_path):
    """As processes leave them that were killed and had other lanes."""
    save(tmp_path / "first", 10, [0, 2, 4])
    save(tmp_path / "first", 20, [0, 2, 4])
    save(tmp_path / "second", 20, [1, 3])
    save(tmp_path / "third", 30, [4])
    found = checkpoint.restore(tmp_path, tmp_path / "own", range(6), tree(0.0, range(6)))
    assert [(part.step, part.places.tolist()) for part in found] == [
        (30, [4]),
        (20, [0, 1, 2, 3]),
        (0, [5]),
    ]
    assert found[2].tree is None
    for step, places, states in found[:2]:
        chex.assert_trees_all_equal(states, tree(float(step), places.tolist()))


def test_a_folder_whose_lanes_are_all_newer_elsewhere_is_given_up(tmp_path):
    save(tmp_path / "first", 10, [0, 1])
    for step in (20, 30):
        save(tmp_path / "second", step, [0])
        assert names(tmp_path / "first") == ["000000000010"]
    save(tmp_path / "third", 20, [1])
    assert names(tmp_path / "first") == ["000000000010"]
    save(tmp_path / "third", 40, [1])
    assert names(tmp_path / "first") == []
    assert names(tmp_path / "second") == ["000000000020", "000000000030"]


def test_lanes_that_began_otherwise_are_refused(tmp_path):
    save(tmp_path / "own", 10, start=["a", "b"])
    assert restore(tmp_path, start=["a", "b"])[0].step == 10
    assert (
        checkpoint.restore(tmp_path, tmp_path / "own", [5], tree(0.0, [5]), start=["b"])[0].step
        == 10
    )
    for start in (["a", "c"], ["b", "a"]):
        with pytest.raises(InputError, match="another start"):
            restore(tmp_path, start=start)
    save(tmp_path / "own", 20)
    with pytest.raises(InputError, match="another start"):
        restore(tmp_path, start=["a", "b"])


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


def empty_record(path):
    path.with_name("record.json").write_text("")


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove, empty_record])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    save_three(tmp_path)
    damage(arrays_of(tmp_path, 30))
    with pytest.warns(UserWarning, match=r"000000000030 is damaged .* falling back"):
        ((step, _, found),) = restore(tmp_path)
    assert step == 20
    chex.assert_trees_all_equal(found, tree(20.0))
    # It is set aside, not deleted: somebody may be able to mend it.
    assert names(tmp_path / "own") == ["000000000020", "000000000030.damaged"]


def test_values_changed_within_a_sound_file_are_noticed(tmp_path):
    save_three(tmp_path)
    path = arrays_of(tmp_path, 30)
    with np.load(path) as file:
        arrays = [file[name] for name in file.files]
    arrays[0] = ~arrays[0]
    np.savez(path, *arrays)
    with pytest.warns(UserWarning, match="do not match their digest"):
        assert restored_step(tmp_path) == 20


def test_both_damaged_leaves_nothing_to_go_on_from(tmp_path):
    save_three(tmp_path)
    for step in (20, 30):
        truncate(arrays_of(tmp_path, step))
    with pytest.warns(UserWarning, match="is damaged") as warned:
        assert restored_step(tmp_path) == 0
    assert len(warned) == 2
    assert names(tmp_path / "own") == ["000000000020.damaged", "000000000030.damaged"]


def test_another_methods_checkpoint_is_refused_and_kept(tmp_path):
    save_three(tmp_path)
    other = {**tree(), "bool": np.zeros((2, 3), bool)}
    with pytest.raises(InputError, match="another method's checkpoint"):
        checkpoint.restore(tmp_path, tmp_path / "own", LANES, other)
    assert restored_step(tmp_path) == 30


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("name", ["arrays.npz", "record.json"])
def test_trouble_in_reading_stops_and_loses_nothing(tmp_path, monkeypatch, number, name):
    save_three(tmp_path)
    before = names(tmp_path / "own")
    opened = Path.open

    def failing(path, *arguments, **options):
        if Path(path).name == name:
            raise OSError(number, os.strerror(number))
        return opened(Path(path), *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        patch.setattr("builtins.open", failing)
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            restore(tmp_path)
    assert caught.value.errno == number
    assert names(tmp_path / "own") == before
    assert restored_step(tmp_path) == 30


def test_too_little_memory_to_read_one_is_no_damage(tmp_path, monkeypatch):
    save_three(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(np, "load", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            restore(tmp_path)
    assert restored_step(tmp_path) == 30


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_last_checkpoint_and_nothing_of_the_next(tmp_path, monkeypatch):
    save_three(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.np, "savez", full)
        with pytest.raises(OSError, match=r"step 40 could not be written .No space left") as caught:
            save(tmp_path / "own", 40)
    assert "\n" not in str(caught.value)
    assert names(tmp_path / "own") == ["000000000020", "000000000030"]
    assert restored_step(tmp_path) == 30


def test_a_writer_saves_beside_its_caller_and_hands_on_what_went_wrong(tmp_path, monkeypatch):
    going, saved = threading.Event(), checkpoint.np.savez

    def slow(*arguments):
        going.wait(10)
        saved(*arguments)

    monkeypatch.setattr(checkpoint.np, "savez", slow)
    with checkpoint.writer(tmp_path / "own") as writer:
        assert not writer.busy()
        writer.save(10, tree(10.0), {"lanes": LANES})
        assert writer.busy()
        assert not (tmp_path / "own" / "000000000010").exists()
        going.set()
        writer.save(20, tree(20.0), {"lanes": LANES})
    assert names(tmp_path / "own") == ["000000000010", "000000000020"]

    monkeypatch.setattr(checkpoint.np, "savez", full)
    with pytest.raises(OSError, match="No space"), checkpoint.writer(tmp_path / "own") as writer:
        writer.save(30, tree(30.0), {"lanes": LANES})


def test_an_interruption_that_could_not_save_says_so(tmp_path, monkeypatch):
    def interrupted():
        with checkpoint.writer(tmp_path) as writer:
            writer.save(30, tree(30.0), {"lanes": LANES})
            raise SystemExit(143)

    monkeypatch.setattr(checkpoint.np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        interrupted()


@pytest.mark.parametrize(
    "change", [('"lanes": [3, 5]', '"lanes": [5, 3]'), ('"digest"', '"digess"')]
)
def test_a_damaged_record_is_noticed_as_damaged_arrays_are(tmp_path, change):
    """Else a lane went on from another one's state."""
    save_three(tmp_path)
    record = tmp_path / "own" / f"{30:012d}" / "record.json"
    record.write_text(record.read_text().replace(*change))
    with pytest.warns(UserWarning, match="do not match their digest"):
        assert restored_step(tmp_path) == 20
