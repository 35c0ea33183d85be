"""Every option of every experiment at values that make no sense, and what is said to them.

    python -m tests.hostile.options                        # of all experiments, a table
    python -m tests.hostile.options beta_vae rbm --faults  # of some, only what is wrong

Each value is either carried out, which the table says, or refused with status 2 in one line, before
anything is trained or written. Training is left out, and so is the report.
"""

import argparse
import collections
import contextlib
import dataclasses
import io
import shlex
import tempfile
import typing
from pathlib import Path

import pytest

from ae_jax import experiment
from ae_jax.experiment import reporting
from tests.hostile.without_training import SCRIPTS, load, replace_training, run

VALUES = ("-1", "0", "nan", "inf", "1e30", "wrong")
#: None, empty, too large, twice, and names of estimators without what they need.
FURTHER = ("", "''", str(10**30), "20 20", "0.5 0.5", "cd-0", "pcd-1", "pt-1", "exact")


class Verdict(typing.NamedTuple):
    """What came of a value: the line that refused it, or None; and what is wrong with that."""

    refused: str | None
    fault: str | None


class Reported(BaseException):
    """An experiment came to its end."""


def options(name, further=False):
    """(option, words that follow it) of an experiment, but for where it writes."""
    config = type(load(name).PRESETS["smoke"])
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        hint, option = hints[field.name], f"--{field.name.replace('_', '-')}"
        pair = tuple[float, float] in (hint, *typing.get_args(hint))
        for value in () if field.name == "out" else VALUES + (FURTHER if further else ()):
            for text in (f"{value} 1", f"0 {value}") if pair else (value,):
                yield option, shlex.split(text)


def attempt(name, arguments):
    """Calls an experiment and judges how it takes its arguments."""

    def report(*args, **options):
        raise Reported

    said = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
    ):
        training = replace_training(patch)
        for module in (experiment, reporting):
            patch.setattr(module, "report", report)
        out = Path(folder) / "run"
        try:
            run(name, out, arguments)
        except Reported:
            return Verdict(None, None)
        except SystemExit as stop:
            lines = said.getvalue().splitlines()
            faults = {
                f"status {stop.code}": stop.code != 2,
                f"refused after {training.runs} trainings": training.runs,
                "something was written": out.exists(),
                f"{len(lines)} lines": len(lines) != 1,
                "no error": not lines or not lines[-1].startswith("error: "),
            }
            return Verdict("\n".join(lines), ", ".join(x for x in faults if faults[x]) or None)
        except BaseException as error:  # whatever it is, it is the fault that is looked for
            if isinstance(error, KeyboardInterrupt):
                raise
            return Verdict(None, f"{type(error).__name__}: {error}".splitlines()[0])
    return Verdict(None, "nothing was reported")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scripts", nargs="*", default=SCRIPTS, metavar="script")
    parser.add_argument("--faults", action="store_true", help="leave out the table")
    parser.add_argument("--further", action="store_true", help="try more than the usual values")
    chosen = parser.parse_args()
    accepted, faults, tried = collections.defaultdict(list), [], 0
    for name in chosen.scripts:
        for option, words in options(name, chosen.further):
            tried += 1
            verdict = attempt(name, [option, *words])
            if verdict.fault:
                faults.append(f"{name} {option} {' '.join(words)}: {verdict.fault}")
                print("fault:", faults[-1], flush=True)
            elif verdict.refused is None:
                accepted[option, " ".join(words)].append(name)
    if not chosen.faults:
        print("| option | value | accepted by |\n|---|---|---|")
        for (option, value), names in sorted(accepted.items()):
            whom = "all" if len(names) == len(chosen.scripts) > 1 else ", ".join(names)
            print(f"| `{option}` | {value} | {whom} |")
    total = sum(map(len, accepted.values()))
    print(f"{tried} tried, {total} accepted, {len(faults)} at fault")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
