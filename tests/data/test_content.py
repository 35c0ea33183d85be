import numpy as np
import pytest

from ae_jax.data import content
from ae_jax.data.content import chunks, derived, digest, digest_of_arrays

ROWS = np.arange(60, dtype=np.int32).reshape(10, 3, 2)


def test_a_digest_never_changes():
    found = digest("images", (0.0, 255.0), ROWS.astype("<i4"))
    assert found == "81295b8d2333cb9730c1958db9a8e19c0b331e3f630cb5c3bdb0c0a97daf6e68"


def test_what_differs_has_another_digest():
    different = [
        (ROWS,),
        (ROWS.astype(np.uint32),),
        (ROWS.reshape(10, 2, 3),),
        (ROWS[::-1],),
        (ROWS[:9],),
        (ROWS[:5], ROWS[5:]),
        ("a", "b"),
        ("ab",),
        ("a;'b",),
        (1,),
        (1.0,),
        ((1,),),
        (),
    ]
    assert len({digest(*parts) for parts in different}) == len(different)


def test_the_layout_in_memory_and_the_pieces_do_not_count(monkeypatch):
    whole = digest(ROWS)
    assert digest(np.asfortranarray(ROWS)) == digest(np.repeat(ROWS, 2, axis=2)[..., ::2]) == whole
    monkeypatch.setattr(content, "CHUNK_BYTES", 72)
    assert chunks(ROWS) == [slice(i, i + 3) for i in range(0, 10, 3)]
    assert digest(ROWS) == whole


def test_named_arrays_count_with_their_names():
    first = digest_of_arrays({"a": ROWS, "b": ROWS[1:]})
    assert digest_of_arrays({"b": ROWS[1:], "a": ROWS}) == first
    assert digest_of_arrays({"b": ROWS, "a": ROWS[1:]}) != first


@pytest.mark.parametrize("digests", [[""], ["a", ""]])
def test_what_is_made_of_unknown_data_is_unknown(digests):
    assert derived(digests, "made") == ""
    assert len(derived(["a", "b"], "made")) == 64
