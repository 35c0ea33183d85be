import datetime
import html.parser
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from ae_jax.plots import against, aggregate, image_grid, write_report

DATE = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)
ROWS = [
    {"lane": lane, "beta": beta, "seed": seed, "status": "ok", "frozen_step": None, "mig": mig}
    for lane, (beta, seed, mig) in enumerate(
        [(1, 0, 0.1234), (1, 1, 0.2), (4, 0, 0.3), (4, 1, 0.4)]
    )
]
ROWS[3] |= {"status": "frozen", "frozen_step": 77, "mig": float("nan")}


class _Page(html.parser.HTMLParser):
    """Open tags, attributes and cells; fails on a tag that is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def _write(directory, **changes):
    given = {
        "title": "a <b>bold</b> run",
        "config": {"data": "<script>alert(1)</script>", "net": {"widths": [32, 64]}},
        "rows": ROWS,
        "summary_rows": aggregate(ROWS, ["beta"]),
        "figures": {
            "MIG & its spread.": against(ROWS, "beta", "mig"),
            "Samples.": image_grid(np.zeros((4, 4, 4, 1))),
        },
    }
    return write_report(directory, **(given | changes), date=DATE, versions={"jax": "1.2.3"})


def test_the_page_needs_nothing_outside_it(tmp_path):
    text = _write(tmp_path).read_text()
    page = _Page(text)
    assert len(page.links) == 2
    assert all(link.startswith("data:image/") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    outside = re.sub(r'src="data:[^"]*"', "", text)
    assert not re.search(r"https?:|url\(|@import", outside)


def test_the_page_tells_everything_and_escapes_it(tmp_path):
    text = _write(tmp_path, notes=["trained in 2 s"], device="2 CPUs").read_text()
    page = _Page(text)
    for words in ("a <b>bold</b> run", "<script>alert(1)</script>", "net.widths", "32, 64",
                  "MIG & its spread.", "Samples.", "trained in 2 s", "77",
                  "0.162 ± 0.054", "2026-01-02 03:04 UTC · 2 CPUs · jax 1.2.3"):  # fmt: skip
        assert words in page.words, words
    assert text.count("<tr") == 3 + 2 + 5  # summary, configuration, lanes; two with a heading
    assert text.count('<tr class="frozen">') == 1
    assert "1 lane stopped early" in text


def test_figures_lie_beside_the_page_vector_where_it_pays(tmp_path):
    _write(tmp_path)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "mig_against_beta.png", "mig_against_beta.svg", "samples.png",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figures", "report.html", "summary.json",
    ]  # fmt: skip


def test_the_summary_has_for_programs_what_the_page_says(tmp_path):
    summary_rows = [row | {"widths": (32, 64)} for row in aggregate(ROWS, ["beta"])]
    _write(tmp_path, summary_rows=summary_rows, notes=["a note"], training={"compilations": 1})

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    found = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert found == {
        "title": "a <b>bold</b> run",
        "device": "",
        "training": {"compilations": 1},
        "notes": ["a note"],
        "rows": [
            {"beta": 1, "lanes": 2, "frozen": 0, "widths": [32, 64],
             "mig": {"mean": pytest.approx(0.1617), "spread": pytest.approx(0.0766 / 2**0.5),
                     "count": 2}},
            {"beta": 4, "lanes": 2, "frozen": 1, "widths": [32, 64],
             "mig": {"mean": 0.3, "spread": None, "count": 1}},
        ],
        "figures": {"mig_against_beta": "MIG & its spread.", "samples": "Samples."},
    }  # fmt: skip


def test_two_figures_of_one_name_are_both_kept(tmp_path):
    figures = {f"Samples {n}.": image_grid(np.full((1, 4, 4, 1), n)) for n in range(2)}
    _write(tmp_path, figures=figures)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"samples.png", "samples_2.png"}


def test_the_same_run_gives_the_same_bytes(tmp_path):
    first, second = _write(tmp_path / "a"), _write(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_a_run_with_nothing_in_it_still_has_a_page(tmp_path):
    _Page(_write(tmp_path, config={}, rows=[], summary_rows=[], figures={}).read_text())


def test_a_failed_write_leaves_the_page_there_was(tmp_path, monkeypatch):
    path = _write(tmp_path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        _write(tmp_path, title="other")
    assert path.read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_tables_need_no_matplotlib():
    program = "import sys, ae_jax.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
