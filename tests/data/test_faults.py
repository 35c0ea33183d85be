import jax
import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import InputError

LENGTH, STEPS = 4, 20
#: Every step of every channel has a value of its own.
SERIES = np.arange(300 * STEPS * 2, dtype=np.float32).reshape(300, STEPS, 2)
SERIES[:, :, 1] += np.random.RandomState(0).normal(size=SERIES.shape[:2])


@pytest.fixture(scope="module", params=data.FAULTS)
def made(request):
    x, inside = data.faulty(jax.random.key(3), SERIES, request.param, LENGTH, level=3.0)
    return request.param, np.asarray(x), np.asarray(inside)


def test_all_outside_of_a_fault_stays_bit_for_bit(made):
    _, x, inside = made
    assert x.dtype == SERIES.dtype
    assert x.shape == SERIES.shape
    np.testing.assert_array_equal(x[~inside].view(np.uint32), SERIES[~inside].view(np.uint32))


def test_a_fault_is_one_piece_of_its_length_that_differs(made):
    fault, x, inside = made
    length = 1 if fault == "glitch" else LENGTH
    np.testing.assert_array_equal(inside.sum(axis=1), length)
    np.testing.assert_array_equal(np.abs(np.diff(np.pad(inside, ((0, 0), (1, 1))))).sum(axis=1), 2)
    start = inside.argmax(axis=1)
    changed = (x != SERIES).any(axis=2)
    # at twice the frequency a piece begins where it did before
    changed[np.arange(len(x)), start] |= fault == "faster"
    np.testing.assert_array_equal(changed, inside)


def test_places_are_drawn_from_all_that_there_are(made):
    _, _, inside = made
    start, counts = np.unique(inside.argmax(axis=1), return_counts=True)
    np.testing.assert_array_equal(start, np.arange(LENGTH, STEPS - 2 * LENGTH + 1))
    assert counts.min() > 15  # of 300 / 9 expected


def test_what_stands_inside(made):
    fault, x, inside = made
    for series, other, where in zip(SERIES, x, inside, strict=True):
        start = where.argmax()
        found = other[where]
        if fault == "dropped":
            expected = np.repeat(series[[start - 1]], LENGTH, axis=0)
        elif fault == "repeated":
            expected = series[start - LENGTH : start]
        elif fault == "faster":
            expected = series[start : start + 2 * LENGTH : 2]
        else:
            shift = (found[0] - series[start]) / series.astype(np.float64).std(axis=0)
            assert shift[0] == pytest.approx(shift[1], rel=1e-3)
            assert abs(shift[0]) == pytest.approx(3, rel=1e-3)
            continue
        np.testing.assert_array_equal(found, expected)


def test_glitches_go_both_ways():
    x, inside = data.faulty(jax.random.key(0), SERIES, "glitch", LENGTH)
    up = np.asarray(x)[np.asarray(inside)][:, 0] > SERIES[np.asarray(inside)][:, 0]
    assert 0.4 < up.mean() < 0.6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((SERIES, "slower"), "unknown fault 'slower': use glitch, dropped, repeated, faster"),
        ((SERIES, "glitch", 7), r"of 21 steps or more, got \[300, 20, 2\]"),
        ((SERIES[0], "glitch", 2), r"got \[20, 2\]"),
        ((SERIES, "glitch", 0), "length is 0"),
        ((SERIES, "glitch", 2, 0.0), "level is 0"),
    ],
)
def test_refuses(arguments, words):
    with pytest.raises(InputError, match=words):
        data.faulty(jax.random.key(0), *arguments)
