"""Records of an experiment that is a few lines and trains nothing."""

import importlib
import json
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
SCRIPT = '''"""A toy."""
import json, os, pathlib, struct, sys, zlib

assert os.environ["JAX_COMPILATION_CACHE_DIR"].endswith("compiled")
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def summary(folder, title, figures):
    (folder / "figures").mkdir(parents=True)
    for name in figures:
        size = struct.pack(">IIBBBBB", 1600, 400, 8, 0, 0, 0, 0)
        pixels = zlib.compress((bytes([0]) + bytes(1600)) * 400)
        (folder / "figures" / f"{name}.png").write_bytes(
            bytes([137]) + b"PNG\\r\\n" + bytes([26, 10])
            + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    row = {"size": 1, "lanes": 1, "error": {"mean": 0.5, "spread": None, "count": 1}}
    facts = {"title": title, "device": "2 x cpu", "training": None, "notes": ["a note"]}
    facts |= {"rows": [row], "figures": {name: f"Of {name}." for name in figures}}
    (folder / "summary.json").write_text(json.dumps(facts))

summary(out / "before", "Inner", ["a", "d"])
summary(out, "Outer", ["a", "b", "c"])
'''


@pytest.fixture
def record(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(SCRIPTS)
    module = importlib.import_module("record")
    for folder in ("experiments", "docs/records", "ae_jax"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "experiments" / "toy.py").write_text(SCRIPT)
    (tmp_path / "ae_jax" / "core.py").touch()
    (tmp_path / "docs" / "experiments.toml").touch()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "RECORDS", tmp_path / "docs" / "records")
    return module


def test_a_record_has_what_was_run_where_and_what_it_said(record, tmp_path):
    records = record.RECORDS
    (records / "toy-old.webp").touch()
    (tmp_path / "docs" / "experiments.toml").write_text('[toy]\nfigures = ["c", "absent"]\n')
    record.main(["toy"])
    found = json.loads((records / "toy.json").read_text())
    assert found["command"] == "python experiments/toy.py"
    assert [table["title"] for table in found["tables"]] == ["Outer", "Inner"]
    assert found["tables"][0]["rows"][0]["error"] == {"mean": 0.5, "spread": None, "count": 1}
    assert found["tables"][0]["notes"] == ["a note"]
    assert found["pictures"] == {"toy-c.webp": "Of c.", "toy-a.webp": "Of a."}
    assert sorted(path.name for path in records.iterdir()) == [
        "toy-a.webp", "toy-c.webp", "toy.json",
    ]  # fmt: skip
    assert 0 < found["seconds"] < 60
    assert found["hardware"]["cores"] >= 1
    assert found["hardware"]["accelerator"] is None
    assert found["versions"]["jax"]
    from PIL import Image

    with Image.open(records / "toy-c.webp") as image:
        assert image.size == (560, 140)


def test_other_than_the_default_preset_is_recorded_elsewhere(record, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere"
    record.main(["toy", "--preset", "smoke", "--records", str(elsewhere), "--", "--steps", "2"])
    found = json.loads((elsewhere / "toy.json").read_text())
    assert found["command"] == "python experiments/toy.py --preset smoke --steps 2"
    for arguments in (["--preset", "smoke"], ["--", "--steps", "2"]):
        with pytest.raises(SystemExit) as stopped:
            record.main(["toy", *arguments])
        assert stopped.value.code == 2
        assert "give --records another directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tow"], "unknown experiment 'tow'; known are toy"),
        ([], "name experiments, or use --all or --missing"),
        (["toy", "--all"], "name experiments, or use --all or --missing"),
    ],
)
def test_wrong_arguments(record, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        record.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_one_that_fails_costs_its_own_record_alone(record, tmp_path, capsys):
    """Also one that leaves no report."""
    scripts = tmp_path / "experiments"
    (scripts / "fails.py").write_text("raise SystemExit(3)")
    (scripts / "says_nothing.py").write_text("")
    with pytest.raises(SystemExit, match="not recorded: fails, says_nothing"):
        record.main(["--all"])
    assert [path.name for path in record.RECORDS.glob("*.json")] == ["toy.json"]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "fails is not recorded: ended with status 3",
        "says_nothing is not recorded: left no report",
    ]


def test_all_leaves_out_what_is_recorded_of_the_same_code(record, tmp_path, monkeypatch):
    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def left():
        return record.parse(["--all"]).names

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "a")
    record.main(["--all"])
    found = json.loads((record.RECORDS / "toy.json").read_text())
    assert found["dirty"] is False  # though the records are new
    assert len(found["commit"]) == 40
    assert left() == []
    git("add", "-A")
    git("commit", "-qm", "records")
    assert left() == []
    (tmp_path / "ae_jax" / "core.py").write_text("1")
    assert left() == ["toy"]
    assert record.parse(["--missing"]).names == []
    git("commit", "-qam", "code")
    assert left() == ["toy"]
    (tmp_path / "ae_jax" / "core.py").write_text("")
    assert left() == []
    (record.RECORDS / "toy.json").write_text(json.dumps({**found, "dirty": True}))
    assert left() == ["toy"]
    (record.RECORDS / "toy.json").write_text(json.dumps({**found, "commit": "0" * 40}))
    assert left() == ["toy"]
    (record.RECORDS / "toy.json").unlink()
    assert record.parse(["--missing"]).names == ["toy"]
