"""A run's report: one HTML file that needs nothing else, and the figures beside it."""

import base64
import datetime
import html
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ae_jax.plots import style
from ae_jax.plots.animation import Animation, gif
from ae_jax.plots.summary import Estimate, Row, frozen, parse
from ae_jax.plots.text import label, table, value

_LARGEST_SVG = 700_000  # bytes; past it a PNG is the lighter picture

_CSS = """
:root { color-scheme: light dark; --ink: #1a1a1a; --muted: #6b6b6b; --line: #dddddd;
  --page: #ffffff; --stripe: #f6f6f6; --alert: #a33c00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --muted: #a0a0a0;
  --line: #3a3a3a; --page: #161616; --stripe: #202020; --alert: #ff9a5c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem; color: var(--ink);
  background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; }
.made, .hint { color: var(--muted); margin: .25rem 0 0; }
.hint { font-size: .9rem; margin: .5rem 0 0; }
ul.notes { padding-left: 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .35rem .65rem; border-bottom: 1px solid var(--line);
  text-align: left; white-space: nowrap; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; }
th.number, td.number { text-align: right; }
thead th { color: var(--muted); font-weight: 600; border-bottom-color: var(--muted); }
tbody tr:hover { background: var(--stripe); }
tr.frozen td { color: var(--alert); }
table.config { width: 100%; table-layout: auto; }
table.config th { width: 1%; padding-right: 2rem; font-weight: 600; }
table.config td { white-space: normal; overflow-wrap: anywhere; }
.columns { display: grid; gap: 0 3rem; grid-template-columns:
  repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); align-items: start; }
.figures { display: grid; gap: 2rem 1.5rem; grid-template-columns:
  repeat(auto-fit, minmax(min(100%, 33rem), 1fr)); align-items: start; grid-auto-flow: dense; }
figure { margin: 0; break-inside: avoid; }
figure.wide { grid-column: 1 / -1; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.sheet { background: #ffffff; border: 1px solid var(--line); border-radius: 6px; padding: .75rem; }
figcaption { margin-top: .6rem; }
summary { cursor: pointer; font-size: 1.3rem; font-weight: 700; margin: 2.5rem 0 .75rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  .figures { grid-template-columns: 1fr 1fr; } .sheet { border: 0; padding: 0; }
  details::details-content { content-visibility: visible; block-size: auto; } }
"""


def write_report(
    directory: str | Path,
    title: str,
    config: Mapping[str, Any],
    rows: Sequence[Row],
    summary_rows: Sequence[Row],
    figures: Mapping[str, Any],
    *,
    notes: Sequence[str] = (),
    versions: Mapping[str, str] | None = None,
    device: str = "",
    training: Mapping[str, float] | None = None,
    date: datetime.datetime | None = None,
) -> Path:
    """Writes `report.html`, `summary.json` and `figures/` into a run's directory.

    The page has its figures inside it and runs no script. A figure's file is named after
    the figure's own label (`Figure.set_label`; the functions of this package set it), or
    else after its caption: always a PNG, and an SVG where the figure has no image in it.
    The summary has for programs what the page says: the table, with what is not finite as
    null, the notes, and the figures' captions by the name of their files. But for the date,
    the same arguments give the same bytes. Files are replaced whole: a reader never meets
    half a page.

    Args:
      directory: the run's directory; made if it does not exist.
      title: the page's title.
      config: the configuration; nested mappings are shown with dotted names.
      rows: one per lane.
      summary_rows: one per configuration, as `aggregate` returns them.
      figures: caption -> matplotlib Figure, or Animation. A caption is a sentence that says
        what to see.
      notes: sentences to put under the title.
      versions: library -> version.
      device: the hardware, in words.
      training: numbers that say how fast it was, by name; for the summary.
      date: when the run was reported; now, if not given.

    Returns:
      The path of the page.
    """
    directory = Path(directory)
    (directory / "figures").mkdir(parents=True, exist_ok=True)
    date = date or datetime.datetime.now().astimezone()
    made = [date.strftime("%Y-%m-%d %H:%M %Z").strip(), device]
    made += [f"{name} {version}" for name, version in (versions or {}).items()]
    pictures = []
    names: dict[str, str] = {}
    for caption, figure in figures.items():
        name = _unused(_slug(str(figure.get_label() or caption)), names)
        names[name] = caption
        pictures.append(_picture(directory / "figures", name, caption, figure))
    remarks = [_lanes_in_words(rows, summary_rows), *notes]
    body = [
        "<header>",
        f"<h1>{_text(title)}</h1>",
        f'<p class="made">{_text(" · ".join(filter(None, made)))}</p>',
        f'<ul class="notes">{"".join(f"<li>{_text(note)}</li>" for note in remarks)}</ul>',
        "</header>",
    ]
    if summary_rows:
        body += ["<section>", "<h2>Results</h2>", _table(summary_rows)]
        body += [f'<p class="hint">{_text(_hint(summary_rows))}</p>', "</section>"]
    if pictures:
        body += ["<section>", "<h2>Figures</h2>", '<div class="figures">', *pictures]
        body += ["</div>", "</section>"]
    body += ["<section>", "<h2>Configuration</h2>", _configuration(config), "</section>"]
    if rows:
        heading = f"<summary>Every lane ({len(rows)})</summary>"
        body += ["<details>", heading, _table(rows), "</details>"]
    page = "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title>",
            f"<style>{_CSS}</style></head>",
            "<body>",
            *body,
            "</body></html>",
            "",
        ]
    )
    path = directory / "report.html"
    _write(path, page.encode(errors="replace"))  # a path's bytes may be no text
    facts = {"title": title, "device": device, "training": training, "notes": list(notes)}
    facts |= {"rows": [_plain(row) for row in summary_rows], "figures": names}
    text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _write(directory / "summary.json", text.encode(errors="replace"))
    return path


def _plain(cell: Any) -> Any:
    """A row or a cell of it as JSON has it."""
    if isinstance(cell, Mapping):
        return {name: _plain(part) for name, part in cell.items()}
    if isinstance(cell, Estimate):
        return _plain(cell._asdict())
    cell = parse(cell)
    if isinstance(cell, tuple):
        return [_plain(part) for part in cell]
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _picture(directory: Path, name: str, caption: str, figure: Any) -> str:
    """Writes a figure's files; returns its HTML."""
    if isinstance(figure, Animation):
        data = gif(figure)
        _write(directory / f"{name}.gif", data)
        height, width = figure.frames.shape[1:3]
        return _html(name, caption, (width, height), "gif", data)
    png = style.render(figure, "png")
    _write(directory / f"{name}.png", png)
    kind, data = "png", png
    if not any(axes.images for axes in figure.axes):
        svg = style.render(figure, "svg")
        _write(directory / f"{name}.svg", svg)
        if len(svg) <= _LARGEST_SVG:
            kind, data = "svg+xml", svg
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return _html(name, caption, (width, height), kind, data)


def _html(name: str, caption: str, size: tuple[int, int], kind: str, data: bytes) -> str:
    width, height = size
    wide = ' class="wide"' if width > min(1.9 * height, 900) else ""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return (
        f'<figure id="{_text(name)}"{wide}><div class="sheet"><img alt="{_text(caption)}" '
        f'width="{width}" height="{height}" src="{source}"></div>'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _table(rows: Sequence[Row]) -> str:
    cells = table(rows)
    kinds = {name: _kind([row.get(name) for row in rows]) for name in cells}
    head = "".join(f"<th{kinds[name]}>{_text(label(name, unit=True))}</th>" for name in cells)
    lines = []
    for index, row in enumerate(rows):
        mark = ' class="frozen"' if "status" in row and frozen(row) else ""
        inside = "".join(
            f"<td{kinds[name]}>{_text(shown[index])}</td>" for name, shown in cells.items()
        )
        lines.append(f"<tr{mark}>{inside}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(lines)
        + "</tbody></table></div>"
    )


def _kind(cells: Sequence[Any]) -> str:
    numeric = all(isinstance(cell, int | float | Estimate) or cell in (None, "") for cell in cells)
    return ' class="number"' if numeric else ""


def _configuration(config: Mapping[str, Any]) -> str:
    """The settings, in two columns of tables where the page is wide."""
    items = list(_flat(config))
    half = (len(items) + 1) // 2
    tables = []
    for part in filter(None, (items[:half], items[half:])):
        lines = "".join(
            f"<tr><th>{_text(name)}</th><td>{_text(shown)}</td></tr>" for name, shown in part
        )
        tables.append(f'<table class="config"><tbody>{lines}</tbody></table>')
    return f'<div class="columns">{"".join(tables)}</div>'


def _flat(config: Mapping[str, Any], prefix: str = "") -> Any:
    for name, item in config.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}.")
        elif isinstance(item, list | tuple):
            yield f"{prefix}{name}", ", ".join(value(part) for part in item) or "none"
        else:
            yield f"{prefix}{name}", value(item)


def _lanes_in_words(rows: Sequence[Row], summary_rows: Sequence[Row]) -> str:
    lost = sum(frozen(row) for row in rows)
    words = _count(len(rows), "lane")
    if summary_rows:
        words += f", {_count(len(summary_rows), 'configuration')}"
    return words + (f"; {_count(lost, 'lane')} stopped early (in no mean)." if lost else ".")


def _hint(summary_rows: Sequence[Row]) -> str:
    cells = [cell for row in summary_rows for cell in row.values() if isinstance(cell, Estimate)]
    if any(cell.count > 1 for cell in cells):
        return "Mean ± sample standard deviation over the lanes of a configuration that finished."
    return "One finished lane per configuration at most, so no spread."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60] or "figure"


def _unused(name: str, names: Mapping[str, str]) -> str:
    other, number = name, 2
    while other in names:
        other, number = f"{name}_{number}", number + 1
    return other


def _text(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
