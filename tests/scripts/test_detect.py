import csv
import importlib
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
DRAWN = np.random.default_rng(0)
LEVEL = DRAWN.normal(size=120)
ROWS = np.column_stack([LEVEL, 10 * LEVEL + 0.1 * DRAWN.normal(size=120), np.full(120, 3.0)])
ROWS[70, :2] = [2.0, -20.0]  # each as others are, but not together


@pytest.fixture(scope="module")
def detect():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield importlib.import_module("detect")


def run(detect, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AE_JAX_TRACEBACK", "")
        options = ["--steps", "300", "--latent-size", "1", "--no-compilation-cache"]
        detect.cli.main(
            detect.detect,
            {"default": detect.Config()},
            [*map(str, arguments), *options],
        )


def table(path, rows, header="width,height,depth,remark"):
    lines = [header] * bool(header)
    lines += [",".join([*map(repr, map(float, row)), "fine"]) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_row_that_does_not_fit_is_found(detect, tmp_path, capsys):
    path = table(tmp_path / "mine.csv", ROWS)
    path.write_text(path.read_text().replace(repr(float(ROWS[4, 0])), "n/a", 1))
    run(detect, path)
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "of text, and left out: remark",
        "rows with missing values, left out: 1, the first 6, most of them of width",
        "always the same: depth",
    ]
    first = next(line for line in said if line.startswith("row "))
    assert first.startswith("row 72: ")
    assert {"width 2", "height -20"} <= {
        part.split(" (")[0] for part in first.split(": ")[2].split(", ")
    }
    with (tmp_path / "mine.csv.scores.csv").open(encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    assert [int(row["row"]) for row in scores] == [n for n in range(2, 122) if n != 6]
    for row in scores:
        parts = [float(row[f"error of {name}"]) for name in ("width", "height", "depth")]
        assert float(row["error"]) == pytest.approx(sum(parts))
        assert (float(row["error"]) > float(row["threshold"])) == (row["anomalous"] == "1")
    assert next(row for row in scores if row["row"] == "72")["anomalous"] == "1"


def test_readers(detect, tmp_path):
    plain = detect.read(table(tmp_path / "plain.csv", ROWS, header=""))
    headed = detect.read(table(tmp_path / "headed.csv", ROWS))
    np.testing.assert_array_equal(plain.values, ROWS)
    np.testing.assert_array_equal(headed.values, ROWS)
    assert plain.names == ["column 1", "column 2", "column 3"]
    assert headed.names == ["width", "height", "depth"]
    assert (plain.places[0], headed.places[0]) == (1, 2)
    np.savez(tmp_path / "mine.npz", x=ROWS.reshape(120, 1, 3), label=np.arange(120))
    np.testing.assert_array_equal(detect.read(tmp_path / "mine.npz").values, ROWS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n3\n", "row 1 has 2 cells, and row 3 1"),
        ("a,b\nx,y\n", "has no column of numbers"),
        ("a,a\n1,2\n", "two columns have one name"),
        ("a,b\n" + 10 * "1,2\n", "10 rows are too few: give 20 or more"),
        ("a,b\n" + 30 * "1,2\n", "all columns are always the same"),
    ],
    ids=["empty", "ragged", "text", "names", "few", "constant"],
)
def test_tables_that_cannot_be_used(detect, text, words, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(SystemExit) as caught:
        run(detect, path)
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert words in line
    assert [kept.name for kept in tmp_path.iterdir()] == ["mine.csv"]


def test_files_that_cannot_be_used(detect, tmp_path, capsys):
    other = table(tmp_path / "other.csv", ROWS, header="width,height,weight,remark")
    np.savez(tmp_path / "two.npz", a=ROWS, b=ROWS)
    for given, words in (
        ([tmp_path / "none.csv"], "none.csv"),
        ([tmp_path / "two.npz"], "has 2 arrays of numbers"),
        ([other, "--normal", table(tmp_path / "mine.csv", ROWS)], "has no column depth"),
        ([other, "--out", other], "other.csv is what is looked at: give another --out"),
        ([other, "--normal", tmp_path / "mine.csv", "--out", tmp_path / "mine.csv"], "is what is"),
        ([other, "--out", tmp_path], "is a folder: give the name of a file"),
        ([other, "--out", tmp_path / "none" / "a.csv"], "none: make it first"),
    ):
        with pytest.raises(SystemExit) as caught:
            run(detect, *given)
        assert caught.value.code == 2
        assert words in capsys.readouterr().err
