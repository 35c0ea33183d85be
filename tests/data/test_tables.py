"""Tables as other programs write them: read as they are meant, or refused in a line."""

import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.data import tables

NAN = float("nan")


def written(tmp_path, text, name="mine.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "values", "names"),
    [
        ("a;b\n1,5;-2\n1e3;,5\n", [[1.5, -2], [1000, 0.5]], ["a", "b"]),
        ("1,5;2,25\n3,5;2\n", [[1.5, 2.25], [3.5, 2]], ["column 1", "column 2"]),
        ("size, cm;b\n1;2\n3;4\n", [[1, 2], [3, 4]], ["size, cm", "b"]),
        ("a\tb\n1\t2\n3\t4\n", [[1, 2], [3, 4]], ["a", "b"]),
        ('"a;b",c\n1,2\n3,4\n', [[1, 2], [3, 4]], ["a;b", "c"]),
        ('"x\ty","b"\n"1","2"\n', [[1, 2]], ["'x\\ty'", "b"]),
        (",a, b \n0, 1 ,2\n,,\n3,4,5\n", [[0, 1, 2], [3, 4, 5]], ["column 1", "a", "b"]),
        ("a,b\r1,2\r3,4\r \r", [[1, 2], [3, 4]], ["a", "b"]),
        ("\ufeffa,b\n1,2\n", [[1, 2]], ["a", "b"]),
        ("a,b\nInfinity,2\n1e999,#N/A\n1,.\n", [[NAN, 2], [NAN, NAN], [1, NAN]], ["a", "b"]),
    ],
    ids=["decimal", "no header", "comma", "tabs", "quoted", "quotes", "blank", "cr", "bom", "none"],
)
def test_cells(text, values, names, tmp_path):
    found = tables.read(written(tmp_path, text))
    np.testing.assert_array_equal(found.values, values)
    assert found.names == names


def test_what_was_guessed_or_left_out_is_said(tmp_path):
    rows = "id;when;;height;spare\n1_0;2020-01-01;;1,5;\n1_1;2020-01-02;;2;\n"
    found = tables.read(written(tmp_path, rows))
    np.testing.assert_array_equal(found.values, [[1.5], [2]])
    assert found.notes == [
        "cells are separated by semicolons; commas in numbers are decimal",
        "of text, and left out: id, when",
        "without a value, and left out: column 3, spare",
    ]
    np.testing.assert_array_equal(found.places, [2, 3])
    assert tables.read(written(tmp_path, "a,b\n1,2\n")).notes == []
    np.savez(tmp_path / "MINE.NPZ", x=[[1.0, np.inf, 3], [4, np.nan, np.nan]])
    found = tables.read((tmp_path / "MINE.NPZ.npz").rename(tmp_path / "MINE.NPZ"))
    np.testing.assert_array_equal(found.values, [[1, 3], [4, NAN]])
    assert found.names == ["column 1", "column 3"]
    assert found.notes == ["without a value, and left out: column 2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "mine.csv is empty"),
        (" \n,,\n", "mine.csv is empty"),
        ("a,b\n1,2\na,b\n3,4\n", "row 3 has the header again: leave it out"),
        ("a,a ,b\n1,2,3\n", "two columns have one name, a: rename one"),
        ("a;b\n1;2\n3\n", "row 1 has 2 cells, and row 3 1"),
        ("# mine\na,b\n1,2\n", "row 1 has 1 cells, and row 2 2"),
        ("a,b\n5%,x\n6%,y\n", "no column of numbers: row 3 has '6%' in column 1"),
        ("a b\n1 2\n", "no column of numbers: row 2 has '1 2' in column 1"),
        ("a,b\n,\n?,nan\n", "mine.csv has no column of numbers"),
        ('a,b\n1,"2\n3,4\n', "unexpected end of data"),
        ("größe,b\n1,2\n".encode("latin-1"), "no text in UTF-8: give a CSV or an NPZ"),
    ],
)
def test_tables_that_are_refused(text, words, tmp_path):
    with pytest.raises(InputError) as caught:
        tables.read(written(tmp_path, text))
    assert words in str(caught.value)


def test_archives_that_are_refused(tmp_path):
    rows = np.zeros((5, 3))
    np.save(tmp_path / "one.npy", rows)
    np.savez(tmp_path / "flat.npz", a=rows[0])
    np.savez(tmp_path / "labelled.npz", a=rows, b=rows[:, :1], c=rows[0])
    for path, words in (
        (written(tmp_path, "hello", "text.npz"), "text.npz is no archive, as numpy.savez writes"),
        ((tmp_path / "one.npy").rename(tmp_path / "one.npz"), "one.npz is no archive"),
        (tmp_path / "flat.npz", "no array of numbers [N, ...], but a"),
        (tmp_path / "labelled.npz", "2 arrays of numbers [N, ...]: leave one of a, b"),
        (tmp_path / "absent.npz", "No such file"),
    ):
        with pytest.raises(InputError) as caught:
            tables.read(path)
        assert words in str(caught.value)
