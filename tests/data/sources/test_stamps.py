"""Stamps: what is drawn is there, as large as fits, and in the middle."""

import sys

import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.sources.stamps import LOGOS


def test_texts_and_logos_fill_their_box_from_the_middle():
    mattes = data.stamps(("proof", "I", "ae jax"), tuple(LOGOS), (10, 30))
    assert (mattes.shape, mattes.dtype) == ((3 + len(LOGOS), 10, 30), np.float32)
    assert mattes.min() == 0
    assert (mattes.max(axis=(1, 2)) > 0.7).all()
    for i, matte in enumerate(mattes):
        rows, columns = (np.flatnonzero(matte.any(axis=axis)) for axis in (1, 0))
        assert len(rows) >= (9 if i < 3 else 7) or len(columns) >= 29  # pixels
        if len(columns) < 29:
            assert abs(columns[0] + columns[-1] - 29) <= 2
    assert np.abs(mattes[0] - mattes[2]).mean() > 0.05


def test_a_ring_is_round_and_a_star_is_not():
    ring, star = data.stamps(logos=("ring", "star"), size=(20, 20))
    np.testing.assert_allclose(ring, np.rot90(ring), atol=0.25)
    assert np.abs(star - np.rot90(star)).max() > 0.5
    away = np.hypot(*(np.mgrid[:20, :20] - 9.5))
    assert ring[away < 7].max() == 0
    assert ring[np.abs(away - 8.75) < 0.4].min() > 0.5


def test_a_page_has_lines_with_half_a_line_between_two_and_is_its_seeds():
    found = data.page(("one", "two"), "DejaVuSans", 9, 60, seed=3)
    assert (found.shape, found.dtype) == ((60, 60), np.float32)
    written = found.any(axis=1)
    lines = [written[top : top + 14] for top in range(0, 60, 14)]
    assert all(line[:9].any() and not line[9:].any() for line in lines)
    np.testing.assert_array_equal(found, data.page(("one", "two"), "DejaVuSans", 9, 60, seed=3))
    assert np.any(found != data.page(("one", "two"), "DejaVuSans", 9, 60, seed=4))


def test_faces_differ():
    plain, serif = (data.stamps("void", face=face) for face in ("DejaVuSans", "DejaVuSerif"))
    assert np.abs(plain - serif).max() > 0.3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to stamp"),
        ({"texts": (" ",)}, "nothing is seen of the text ' '"),
        ({"texts": ("",)}, "nothing is seen of the text ''"),
        ({"logos": ("moon",)}, "no logo 'moon': choose from ring, star"),
        ({"texts": "a", "size": (3, 28)}, "4 pixels a side or more, not 3x28"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        data.stamps(**options)


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    for options in ({"texts": "a"}, {"logos": "ring"}):
        with pytest.raises(InputError, match="pip install pillow"):
            data.stamps(**options)
