"""Makes from records whatever is shown and quoted of experiments.

    python scripts/gallery.py
    python scripts/gallery.py --check

The first writes docs/gallery, a page for each family in docs/experiments.toml, and fills in the
Markdown pages what stands between `<!-- made: KIND ARGUMENTS -->` and `<!-- /made -->`:

    experiments NAME ...       a table of these experiments; of all without a name
    scripts                    all scripts, by family
    table NAME                 the table that the experiment prints
    picture NAME FIGURE        a small picture of a figure
    quote NAME TEMPLATE        text with numbers

A template, also `measured` in docs/experiments.toml, takes numbers from the record's table:
`{COLUMN}`, `{COLUMN|NAME=VALUE,...}`, `{COLUMN|FORMAT}` or `{COLUMN|NAME=VALUE,...|FORMAT}` are
the column's values in the rows that have these settings, one after the other; `{max COLUMN|...}`
and `{min COLUMN|...}` the one of them. A format as `.1f` is Python's, `±.1f` adds the spread, and
a setting's value is not written twice. `{note|PATTERN}` is what the pattern's group finds in the
notes.

--check writes nothing and fails, with a line for each, where a page differs from what the records
say, an experiment has no record or no entry, or its docstring has a number that a record should
have.
"""

import argparse
import ast
import json
import math
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quoting import Fault, quoted

from ae_jax.plots import Estimate, console_table

ROOT = Path(__file__).resolve().parents[1]
AGAIN = "run python scripts/gallery.py"
BLOCK = re.compile(r"<!-- made: (\w+) ?(.*?) -->(.*?)<!-- /made -->", re.DOTALL)
LONG = 12  # rows of a table that is folded away


class Experiment(NamedTuple):
    """A script, what docs/experiments.toml says of it, and its record if there is one."""

    name: str
    docstring: str
    heading: str
    family: str
    measured: str
    figures: Sequence[str]
    record: Mapping[str, Any] | None

    @property
    def line(self) -> str:
        """What it is about: the docstring's first line."""
        return self.docstring.splitlines()[0]


def load(root: Path) -> tuple[dict[str, Experiment], list[str]]:
    """Returns the experiments, in the order of docs/experiments.toml, and what is wrong."""
    entries = tomllib.loads((root / "docs" / "experiments.toml").read_text(encoding="utf-8"))
    scripts = {path.stem: path for path in sorted((root / "experiments").glob("*.py"))}
    records = {path.stem: path for path in sorted((root / "docs" / "records").glob("*.json"))}
    faults = [f"experiments/{name}.py: no entry in docs/experiments.toml" for name in scripts
              if name not in entries]  # fmt: skip
    faults += [f"docs/experiments.toml: there is no experiments/{name}.py" for name in entries
               if name not in scripts]  # fmt: skip
    faults += [f"docs/records/{name}.json: there is no experiments/{name}.py" for name in records
               if name not in scripts]  # fmt: skip
    found = {}
    for name in entries:
        if name not in scripts:
            continue
        entry = {"figures": (), **entries[name]}
        if entry.keys() != {"heading", "family", "measured", "figures"}:
            faults.append(f"docs/experiments.toml: {name} has heading, family, measured and "
                          "perhaps figures, nothing else")  # fmt: skip
            continue
        docstring = ast.get_docstring(ast.parse(scripts[name].read_text(encoding="utf-8"))) or "."
        record = None
        if name in records:
            record = json.loads(records[name].read_text(encoding="utf-8"))
        own = Experiment(name, docstring, record=record, **entry)
        found[name] = own
        faults += [f"experiments/{name}.py: {text}" for text in _faults(own, root)]
    return found, faults


def _faults(own: Experiment, root: Path) -> Iterator[str]:
    number = re.search(r"\d+\.\d+|\d+ ?%", own.docstring)
    if number:
        yield f"its docstring has {number.group()}: say it in words, numbers are in the record"
    if own.record is None:
        yield f"no record; run python scripts/record.py {own.name}"
        return
    if own.record["command"] != command(own):
        yield f"its record is of {own.record['command']}, not of the default preset"
    if own.record["dirty"]:
        yield "its record is of code that was not committed"
    wanted = [f"{own.name}-{figure}.webp" for figure in own.figures]
    for picture in dict.fromkeys([*own.record["pictures"], *wanted]):
        there = (root / "docs" / "records" / picture).exists()
        if not there or picture not in own.record["pictures"]:
            yield f"docs/records/{picture} is missing; run python scripts/record.py {own.name}"


def command(own: Experiment) -> str:
    """Returns what runs an experiment."""
    return f"python experiments/{own.name}.py"


def make(root: Path) -> tuple[dict[Path, str], list[str]]:
    """Returns the text of every page that is made, and what is wrong."""
    experiments, faults = load(root)
    pages = {}
    folder = root / "docs" / "gallery"
    for family in dict.fromkeys(own.family for own in experiments.values()):
        page = folder / file_of(family)
        members = [own for own in experiments.values() if own.family == family]
        pages[page] = "\n".join([f"# {family}", "", *(section(own, page) for own in members)])
    index = folder / "README.md"
    pages[index] = (
        "# Gallery\n\nEvery experiment's default preset as it was recorded, "
        "by `python scripts/record.py`.\n\n" + rows_of(list(experiments.values()), index) + "\n"
    )
    for path in markdown(root):
        text = path.read_text(encoding="utf-8")
        pages[path], found = fill(text, experiments, path)
        faults += [f"{path.relative_to(root)}: {fault}" for fault in found]
    for own in experiments.values():
        try:
            measured(own)
        except Fault as fault:
            faults.append(f"docs/experiments.toml: {own.name}: {fault}")
    return pages, faults


def markdown(root: Path) -> list[Path]:
    """Returns the pages that people write."""
    made = root / "docs" / "gallery"
    written = (page for page in (root / "docs").rglob("*.md") if made not in page.parents)
    return sorted([*root.glob("*.md"), *(root / "experiments").glob("*.md"), *written])


def fill(text: str, experiments: Mapping[str, Experiment], page: Path) -> tuple[str, list[str]]:
    """Returns a page with its blocks made anew, and what is wrong with them."""
    faults = []

    def made(block: re.Match[str]) -> str:
        kind, arguments, before = block.groups()
        try:
            inside = made_block(kind, arguments, experiments, page)
        except Fault as fault:
            faults.append(f"{kind} {arguments}".strip() + f": {fault}")
            inside = before
        return f"<!-- made: {kind} {arguments}".rstrip() + f" -->{inside}<!-- /made -->"

    text = BLOCK.sub(made, text)
    if "<!-- made:" in BLOCK.sub("", text):
        faults.append("a block that is made has no end, <!-- /made -->")
    return text, faults


def made_block(kind: str, arguments: str, experiments: Mapping[str, Experiment], page: Path) -> str:
    """Returns what stands in a block.

    Raises:
      Fault: if its kind, its experiment or what it quotes is not there.
    """
    if kind == "scripts":
        return f"\n{listed(experiments.values(), page)}\n"
    first, _, rest = arguments.partition(" ")
    names = arguments.split() if kind == "experiments" else [first]
    for name in names:
        if name not in experiments:
            raise Fault(f"there is no experiment {name!r}")
    if kind == "experiments":
        return f"\n{rows_of([experiments[name] for name in names or experiments], page)}\n"
    own = experiments[first]
    if kind == "quote":
        return quoted(rest, record_of(own))
    if kind == "table":
        return f"\n```\n{tables(own)[0]}\n```\n"
    if kind == "picture":
        return f"\n{picture(own, f'{first}-{rest}.webp', page)}\n"
    raise Fault("there is no such kind of block; see python scripts/gallery.py --help")


def record_of(own: Experiment) -> Mapping[str, Any]:
    """Returns an experiment's record.

    Raises:
      Fault: if there is none.
    """
    if own.record is None:
        raise Fault(f"{own.name} has no record")
    return own.record


def measured(own: Experiment) -> str:
    """Returns what was measured, in a line.

    Raises:
      Fault: if the record does not say it.
    """
    return "not recorded yet" if own.record is None else quoted(own.measured, own.record)


def tables(own: Experiment) -> list[str]:
    """Returns what an experiment prints: its tables."""
    return [
        console_table([{k: _estimate(cell) for k, cell in row.items()} for row in table["rows"]])
        for table in record_of(own)["tables"]
    ]


def _estimate(cell: Any) -> Any:
    if not isinstance(cell, dict):
        return cell
    mean, spread = (math.nan if cell[k] is None else cell[k] for k in ("mean", "spread"))
    return Estimate(mean, spread, cell["count"])


def clock(seconds: float) -> str:
    """Returns minutes and seconds, as 2:06."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def taken(record: Mapping[str, Any]) -> str:
    """Returns how long a record's command took, and whether that was on a busy machine."""
    own = record["hardware"]
    busy = (own["load"] or 0) > 1.5 * own["cores"]  # one that is idle is loaded by the command
    return clock(record["seconds"]) + (" beside other programs" if busy else "")


def machine(record: Mapping[str, Any]) -> str:
    """Returns what a record was measured on."""
    own, versions = record["hardware"], record["versions"]
    accelerator = f"{own['accelerator']}, " if own["accelerator"] else ""
    return (
        f"{accelerator}{own['cores']} cores of {own['cpu']}, Python {versions['python']}, "
        f"jax {versions['jax']}"
    )


def file_of(family: str) -> str:
    """Returns the name of a family's page."""
    return re.sub(r"\W+", "_", family.lower()) + ".md"


def relative(path: str, page: Path) -> str:
    """Returns a link from a page to a path in the project."""
    root = next(folder for folder in page.parents if (folder / "experiments").is_dir())
    return os.path.relpath(root / path, page.parent).replace(os.sep, "/")


def rows_of(experiments: Sequence[Experiment], page: Path) -> str:
    """Returns a table of experiments."""
    lines = ["| experiment | command | measured | time |", "|---|---|---|---|"]
    for own in experiments:
        link = relative(f"docs/gallery/{file_of(own.family)}#{own.name}", page)
        time = taken(own.record) if own.record else ""
        try:
            text = measured(own)
        except Fault:
            text = ""  # said with docs/experiments.toml
        lines.append(f"| [{own.heading}]({link}) | `{command(own)}` | {text} | {time} |")
    made = sorted({(machine(own.record), own.record["date"]) for own in experiments if own.record})
    where = "; ".join(f"{text}, {date}" for text, date in made)
    if where:
        lines += ["", f"Measured on {where}. Times are minutes and seconds of the whole command, "
                  "compilation included."]  # fmt: skip
    return "\n".join(lines)


def listed(experiments: Sequence[Experiment], page: Path) -> str:
    """Returns a list of scripts, by family."""
    lines = []
    families: dict[str, list[Experiment]] = {}
    for own in experiments:
        families.setdefault(own.family, []).append(own)
    for family, members in families.items():
        link = relative(f"docs/gallery/{file_of(family)}", page)
        lines += ["", f"[{family}]({link})", ""]
        for own in members:
            script = relative(f"experiments/{own.name}.py", page)
            lines.append(f"- [{own.name}.py]({script}): {own.line}")
    return "\n".join(lines[1:])


def section(own: Experiment, page: Path) -> str:
    """Returns what the gallery says of an experiment."""
    script = relative(f"experiments/{own.name}.py", page)
    lines = [f'## <a id="{own.name}"></a>{own.heading}', "", own.line, "", "```", command(own)]
    lines += ["```", ""]
    if own.record is None:
        return "\n".join([*lines, f"Not recorded yet; see the [script]({script}).", ""])
    try:
        lines += [f"Measured: {measured(own)}.", ""]
    except Fault:
        pass  # said with docs/experiments.toml
    for name in own.record["pictures"]:
        lines += [picture(own, name, page), ""]
    for text, table in zip(tables(own), own.record["tables"], strict=True):
        block = ["```", text, "```"]
        if len(table["rows"]) > LONG:
            block = ["<details><summary>Table</summary>", "", *block, "", "</details>"]
        lines += [*block, "", *(f"- {note}" for note in table["notes"]), ""]
    changed = " with changes" if own.record["dirty"] else ""
    lines += [
        f"{taken(own.record)} in all, on {machine(own.record)}; {own.record['date']}, "
        f"commit {(own.record['commit'] or 'unknown')[:10]}{changed}; see the [script]({script}).",
        "",
    ]
    return "\n".join(lines)


def picture(own: Experiment, name: str, page: Path) -> str:
    """Returns a picture with its caption.

    Raises:
      Fault: if the record has no such picture.
    """
    pictures = record_of(own)["pictures"]
    if name not in pictures:
        raise Fault(f"no picture {name}; there are {', '.join(pictures)}")
    caption = " ".join(pictures[name].split())
    return f"![{caption}]({relative(f'docs/records/{name}', page)})\n\n*{caption}*"


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> None:
    """Makes the pages, or checks them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail on differences")
    check = parser.parse_args(arguments).check
    pages, faults = make(root)
    left = [page for page in (root / "docs" / "gallery").glob("*.md") if page not in pages]
    for page, text in pages.items():
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        if check:
            faults.append(f"{page.relative_to(root)}: differs from the records; {AGAIN}")
        else:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
    for page in left:
        if check:
            faults.append(f"{page.relative_to(root)}: is of no family; {AGAIN}")
        else:
            page.unlink()
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
