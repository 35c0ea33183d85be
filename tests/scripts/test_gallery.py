"""Pages that are made from records, on made-up ones."""

import importlib
import json
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
README = """# Toy

It falls to <!-- made: quote fall {error|size=2|.1f} --><!-- /made --> nats.

<!-- made: experiments fall -->
<!-- /made -->

<!-- made: table fall --><!-- /made -->

<!-- made: picture fall curve --><!-- /made -->
"""


def estimate(mean, spread, count=2):
    return {"mean": mean, "spread": spread, "count": count}


RECORD = {
    "experiment": "fall",
    "command": "python experiments/fall.py",
    "date": "2026-01-02",
    "commit": "0123456789abcdef",
    "dirty": False,
    "seconds": 125.6,
    "hardware": {"cpu": "Toy CPU", "cores": 2, "accelerator": None, "load": 0.1},
    "versions": {"python": "3.11.7", "jax": "0.10.2"},
    "tables": [
        {
            "title": "Falling",
            "device": "2 x cpu",
            "training": None,
            "notes": ["PCA comes to 0.25.", "4 lanes trained by 1 compiled program(s)."],
            "rows": [
                {"size": 1, "way": "from scratch", "decay": None, "lanes": 2, "frozen": 0,
                 "error": estimate(3.04, 0.06), "count": estimate(12.0, 0.0)},
                {"size": 2, "way": "tuned, twice", "decay": 0.1, "lanes": 2, "frozen": 1,
                 "error": estimate(1.06, None, 1), "count": estimate(None, None, 0)},
                {"size": 2, "way": "from scratch", "decay": 0.1, "lanes": 2, "frozen": 0,
                 "error": estimate(2.0, 0.5), "count": estimate(7.0, 0.0)},
            ],
        }
    ],
    "pictures": {"fall-curve.webp": "The error falls."},
}  # fmt: skip


@pytest.fixture
def gallery(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("gallery")


@pytest.fixture
def project(tmp_path):
    """A project with one experiment, of which everything is recorded and made."""
    for folder in ("experiments", "docs/records"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "experiments" / "fall.py").write_text('"""How an error falls.\n\nMore.\n"""\n')
    (tmp_path / "experiments" / "README.md").write_text("<!-- made: scripts --><!-- /made -->\n")
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "docs" / "experiments.toml").write_text(
        '[fall]\nheading = "Falling"\nfamily = "Toy things"\nmeasured = "error {error|.1f}"\n'
        'figures = ["curve"]\n'
    )
    (tmp_path / "docs" / "records" / "fall-curve.webp").touch()
    write(tmp_path, RECORD)
    return tmp_path


def write(project, record):
    (project / "docs" / "records" / "fall.json").write_text(json.dumps(record))


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def checked(gallery, project):
    """What --check finds, line by line; it may write nothing."""
    before = {path: path.read_bytes() for path in project.rglob("*.*") if path.is_file()}
    said = []
    try:
        gallery.main(["--check"], project)
    except SystemExit as stop:
        said = stop.code.splitlines()
    assert {path: path.read_bytes() for path in project.rglob("*.*") if path.is_file()} == before
    return said


def test_pages_are_made_from_records(gallery, project):
    gallery.main([], project)
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert "falls to <!-- made: quote fall {error|size=2|.1f} -->1.1, 2.0<!-- /made --> nats" in (
        readme
    )
    assert (
        "| [Falling](docs/gallery/toy_things.md#fall) | `python experiments/fall.py` | "
        "error 3.0, 1.1, 2.0 | 2:06 |" in readme
    )
    assert "Measured on 2 cores of Toy CPU, Python 3.11.7, jax 0.10.2, 2026-01-02." in readme
    table = readme.partition("```")[2].partition("```")[0].splitlines()
    assert [line.split() for line in table[1:3]] == [
        ["size", "way", "decay", "lanes", "frozen", "error", "count"],
        ["1", "from", "scratch", "-", "2", "0", "3.040", "±", "0.060", "12.0", "±", "0.0"],
    ]
    assert table[3].split()[-2:] == ["1.060", "-"]
    assert "![The error falls.](docs/records/fall-curve.webp)" in readme
    page = (project / "docs" / "gallery" / "toy_things.md").read_text(encoding="utf-8")
    for words in ("# Toy things", '<a id="fall"></a>Falling', "How an error falls.",
                  "Measured: error 3.0, 1.1, 2.0.", "- PCA comes to 0.25.",
                  "![The error falls.](../records/fall-curve.webp)", "commit 0123456789;",
                  "2:06 in all, on 2 cores of Toy CPU"):  # fmt: skip
        assert words in page, words
    assert "[Falling](toy_things.md#fall)" in (project / "docs/gallery/README.md").read_text()
    assert (project / "experiments" / "README.md").read_text() == (
        "<!-- made: scripts -->\n[Toy things](../docs/gallery/toy_things.md)\n\n"
        "- [fall.py](fall.py): How an error falls.\n<!-- /made -->\n"
    )
    assert checked(gallery, project) == []


def test_whatever_differs_from_the_record_is_found(gallery, project):
    gallery.main([], project)
    pages = ["docs/gallery/toy_things.md", "docs/gallery/README.md", "README.md"]
    for page in pages:
        before = (project / page).read_text(encoding="utf-8")
        replace(project / page, "error 3.0" if "gallery" in page else "1.1, 2.0<", "1.1, 2.1<")
        assert checked(gallery, project) == [
            f"{page}: differs from the records; run python scripts/gallery.py"
        ]
        (project / page).write_text(before, encoding="utf-8")
    other = json.loads(json.dumps(RECORD))
    other["tables"][0]["rows"][1]["error"]["mean"] = 1.26
    write(project, other)
    assert [line.split(":")[0] for line in checked(gallery, project)] == pages
    gallery.main([], project)
    assert checked(gallery, project) == []
    (project / "docs" / "gallery" / "gone.md").touch()
    assert "docs/gallery/gone.md: is of no family" in checked(gallery, project)[0]
    gallery.main([], project)
    assert checked(gallery, project) == []


def test_an_experiment_without_a_record_is_found_and_its_pages_can_be_made(gallery, project):
    gallery.main([], project)
    (project / "docs" / "records" / "fall.json").unlink()
    before = (project / "README.md").read_text(encoding="utf-8")
    for _ in range(2):
        with pytest.raises(SystemExit):
            gallery.main([], project)
    assert checked(gallery, project) == [
        "experiments/fall.py: no record; run python scripts/record.py fall",
        "README.md: quote fall {error|size=2|.1f}: fall has no record",
        "README.md: table fall: fall has no record",
        "README.md: picture fall curve: fall has no record",
    ]
    made = (project / "README.md").read_text(encoding="utf-8")
    assert "| not recorded yet |  |" in made
    assert made.partition("<!-- made: table")[2] == before.partition("<!-- made: table")[2]


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("docs/experiments.toml", "[fall]", "[rise]",
         ["experiments/fall.py: no entry in docs/experiments.toml",
          "docs/experiments.toml: there is no experiments/rise.py",
          "README.md: experiments fall: there is no experiment 'fall'"]),
        ("docs/experiments.toml", "{error|.1f}", "{loss}",
         ["docs/experiments.toml: fall: no loss"]),
        ("experiments/fall.py", "More.", "To 1.06.",
         ["experiments/fall.py: its docstring has 1.06: say it in words"]),
        ("experiments/fall.py", "More.", "To 40%.", ["experiments/fall.py: its docstring has 40%"]),
        ("docs/records/fall.json", "fall.py", "fall.py --preset smoke",
         ["experiments/fall.py: its record is of python experiments/fall.py --preset smoke, not"]),
        ("docs/records/fall.json", "fall-curve.webp", "fall-line.webp",
         ["experiments/fall.py: docs/records/fall-line.webp is missing",
          "README.md: picture fall curve: no picture fall-curve.webp; there are fall-line.webp"]),
        ("docs/experiments.toml", "family", "families",
         ["docs/experiments.toml: fall has heading, family, measured and perhaps figures"]),
        ("docs/experiments.toml", "curve", "line",
         ["experiments/fall.py: docs/records/fall-line.webp is missing"]),
        ("README.md", "quote fall", "quotes fall",
         ["README.md: quotes fall {error|size=2|.1f}: there is no such kind of block"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(gallery, project, path, old, new, said):
    gallery.main([], project)
    replace(project / path, old, new)
    found = checked(gallery, project)
    for line in said:
        assert any(other.startswith(line) for other in found), (line, found)


def test_a_block_without_its_end_is_found(gallery, project):
    page = project / "docs" / "guide.md"
    page.write_text("The table: <!-- made: table fall -->\n")
    with pytest.raises(SystemExit, match=r"docs/guide\.md: a block that is made has no end"):
        gallery.main([], project)
    assert page.read_text() == "The table: <!-- made: table fall -->\n"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{size}", "1, 2"),
        ("{way|size=1}", "from scratch"),
        ("{error|.2f} nats", "3.04, 1.06, 2.00 nats"),
        ("{error|way=tuned, twice,size=2|.2f}", "1.06"),
        ("{error|decay=0.10,way=from scratch|±.1f}", "2.0 ± 0.5"),
        ("{error|way=tuned, twice|±.1f}", "1.1"),
        ("{error|decay=None|±.1f}", "3.0 ± 0.1"),
        ("{max error|.1f} {min error|size=2|.1f}", "3.0 1.1"),
        ("{max count|.0f}", "12"),
        ("{error|size=1|.0%}", "304%"),
        ("PCA {note|comes to ([0-9.]+[0-9])}", "PCA 0.25"),
        ("{note|[0-9]+ lanes}", "4 lanes"),
        ("{lanes|size=1}", "2"),
    ],
)
def test_templates_quote_the_record(gallery, template, text):
    assert gallery.quoted(template, RECORD) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{loss}", "no loss"),
        ("{error|size=3|.1f}", "no error where size=3"),
        ("{error|colour=red}", "no error where colour=red"),
        ("{count|size=2|.1f}", "no finite value"),
        ("{error|.1q}", "format '.1q'"),
        ("{size|±.1f}", "format '.1f'"),
        ("{mean error}", "use max or min"),
        ("{note|nothing}", "no note has 'nothing'"),
    ],
)
def test_templates_quote_nothing_that_the_record_does_not_say(gallery, template, said):
    with pytest.raises(gallery.Fault, match=said):
        gallery.quoted(template, RECORD)


def test_a_time_says_that_other_programs_ran(gallery):
    idle = RECORD["hardware"]
    for load, found in ((2.2, "2:06"), (3.1, "2:06 beside other programs"), (None, "2:06")):
        assert gallery.taken({**RECORD, "hardware": {**idle, "load": load}}) == found
