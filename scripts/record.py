"""Runs experiments as a reader would and records what they say, in docs/records.

    python scripts/record.py beta_vae rbm
    python scripts/record.py --all

Each runs its default preset in a directory of its own, one after the other, and compiles
everything anew, as the first run on a machine does. Its record is a JSON file with the command,
the tables, the notes, the time of the whole command, the hardware, the versions and the commit,
and two small pictures. `scripts/gallery.py` makes from the records what is quoted anywhere.

--all goes on where it was interrupted: it leaves out what has a record of the same script and
library. Measure on an otherwise idle machine.
"""

import argparse  # not tyro: what follows -- is the experiment's
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark_workloads import cores

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "docs" / "records"
PACKAGES = ("ae-jax", "jax", "jaxlib", "flax", "optax", "numpy")
PICTURES = 2  # for each experiment
SIZE = 560, 420  # pixels, at most
LONGEST = 3600  # seconds


def experiments() -> list[str]:
    """Returns the names of the scripts in experiments/."""
    return sorted(path.stem for path in (ROOT / "experiments").glob("*.py"))


def git(*arguments: str) -> str | None:
    """Returns what git says; None where it fails."""
    found = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return None if found.returncode else found.stdout.strip()


def is_of_this_code(record: Path, name: str) -> bool:
    """Whether a record is of the script and the library as they are."""
    if not record.exists():
        return False
    found = json.loads(record.read_text(encoding="utf-8"))
    sources = ("ae_jax", f"experiments/{name}.py")
    return not found["dirty"] and git("diff", "--quiet", found["commit"], "--", *sources) == ""


def record(name: str, arguments: Sequence[str], records: Path) -> None:
    """Runs an experiment and writes its record.

    Args:
      name: of the script.
      arguments: for the script.
      records: the directory to write to.

    Raises:
      RuntimeError: if the script fails, with its status.
    """
    facts = {
        "experiment": name,
        "command": shlex.join(["python", f"experiments/{name}.py", *arguments]),
        "date": datetime.date.today().isoformat(),
        "commit": git("rev-parse", "HEAD"),
        # records and pages are no change of what is measured
        "dirty": git("status", "--porcelain", "--", "ae_jax", "experiments", ":!*.md") != "",
    }
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "run")
        command = [sys.executable, ROOT / "experiments" / f"{name}.py", *arguments, "--out", out]
        compiled = str(Path(scratch, "compiled"))
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": compiled, "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        done = subprocess.run(command, env=environment, timeout=LONGEST, check=False)
        seconds = time.monotonic() - began
        if done.returncode:
            raise RuntimeError(f"ended with status {done.returncode}")
        tables, pictures = reported(out)
        facts |= {"seconds": round(seconds, 1), "hardware": hardware(tables, load)}
        facts |= {"versions": versions(), "tables": tables}
        records.mkdir(parents=True, exist_ok=True)
        shown = chosen(name, pictures)
        for figure in shown:
            shrink(pictures[figure][0], records / f"{name}-{figure}.webp")
    facts["pictures"] = {f"{name}-{figure}.webp": pictures[figure][1] for figure in shown}
    text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    beside = records / f".{name}.json.tmp"  # a kill leaves the record of before
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, records / f"{name}.json")
    for picture in records.glob(f"{name}-*.webp"):
        if picture.name not in facts["pictures"]:
            picture.unlink()


def reported(out: Path) -> tuple[list[dict[str, Any]], dict[str, tuple[Path, str]]]:
    """Returns what a run's reports say, the outermost first.

    Returns:
      The summaries; and each figure's file and caption, by name.
    """
    paths = sorted(out.rglob("summary.json"), key=lambda path: (len(path.parts), path))
    if not paths:
        raise RuntimeError("left no report")
    tables, pictures = [], {}
    for path in paths:
        table = json.loads(path.read_text(encoding="utf-8"))
        for figure, caption in table.pop("figures").items():
            files = (path.parent / "figures" / f"{figure}.{kind}" for kind in ("png", "gif"))
            pictures.setdefault(figure, (next(file for file in files if file.exists()), caption))
        tables.append(table)
    return tables, pictures


def chosen(name: str, figures: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Returns the figures to keep: those docs/experiments.toml names, or else the first."""
    entries = tomllib.loads((ROOT / "docs" / "experiments.toml").read_text(encoding="utf-8"))
    wanted = entries.get(name, {}).get("figures", [])
    for figure in wanted:
        if figure not in figures:
            print(f"{name}: there is no figure {figure}; there are {', '.join(figures)}")
    found = [figure for figure in wanted if figure in figures]
    return (found + [figure for figure in figures if figure not in found])[:PICTURES]


def shrink(picture: Path, path: Path) -> None:
    """Writes a small picture of a figure, of an animation its first frame."""
    from PIL import Image

    with Image.open(picture) as image:
        small = image.convert("RGB")
        small.thumbnail(SIZE, Image.Resampling.LANCZOS)
        small.save(path, "WEBP", quality=80, method=6)


def hardware(tables: Sequence[Mapping[str, Any]], load: float) -> dict[str, Any]:
    """Returns what the machine is, and how busy it was before."""
    devices = {table["device"] for table in tables}
    return {
        "cpu": cpu(),
        "cores": cores(),
        "accelerator": next((name for name in sorted(devices) if "cpu" not in name), None),
        "load": round(load, 2),
    }


def cpu() -> str:
    """Returns the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return name.replace("(R)", "").replace("(TM)", "")


def versions() -> dict[str, str]:
    """Returns Python's version and the libraries'."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; what is wrong with it ends the program with status 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = given.index("--") if "--" in given else len(given)
    given, own = given[:at], given[at + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="an experiment")
    parser.add_argument("--all", action="store_true", help="those without a record of this code")
    parser.add_argument("--missing", action="store_true", help="those without a record")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where to write")
    parser.add_argument("--preset", help="another than the default, to try this script")
    options = parser.parse_args(given)
    options.arguments = [*(["--preset", options.preset] if options.preset else []), *own]
    known = experiments()
    for name in options.names:
        if name not in known:
            parser.error(f"unknown experiment {name!r}; known are {', '.join(known)}")
    if bool(options.names) + options.all + options.missing != 1:
        parser.error("name experiments, or use --all or --missing")
    if options.arguments and options.records.resolve() == RECORDS:
        parser.error("docs/records has default presets alone: give --records another directory")
    if options.all or options.missing:
        options.names = [
            name
            for name in known
            if not (
                is_of_this_code(options.records / f"{name}.json", name)
                if options.all
                else (options.records / f"{name}.json").exists()
            )
        ]
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Records the experiments; one that fails does not keep the others from it."""
    options = parse(arguments)
    failed = []
    for number, name in enumerate(options.names, 1):
        print(f"{name} ({number} of {len(options.names)})", flush=True)
        try:
            record(name, options.arguments, options.records)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"{name} is not recorded: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    if failed:
        sys.exit(f"not recorded: {', '.join(failed)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted: --all goes on with the experiment that was running")
