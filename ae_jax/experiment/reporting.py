"""What an experiment leaves behind: a table, figures and the page that joins them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from ae_jax import cli, plots, training
from ae_jax.core import InputError


def records(out: Path) -> list[dict[str, Any]]:
    """Returns the rows of a run's metrics, of all processes."""
    paths = sorted(out.glob("metrics*.jsonl"))
    return [record for path in paths for record in plots.read_records(path)]


def report(
    config: cli.Execution,
    out: Path,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    by: Sequence[str],
    values: Sequence[str],
    figures: Callable[[], Mapping[str, Any]],
    result: training.Result | Sequence[training.Result] = (),
    notes: Sequence[str] = (),
) -> None:
    """Prints the table over seeds, writes `results.csv`, the figures and the page, and says where.

    Args:
      config: of the experiment.
      out: the run's directory.
      title: of the page.
      rows: one per lane.
      by: the columns that the table has a row for each combination of.
      values: the columns that are averaged over seeds; those that no row has are left out.
      figures: draws them, by caption; called in the first process alone. What they raise as
        InputError, such as that no lane has anything to draw, is said in place of them.
      result: the training, or trainings, that the note about speed is of.
      notes: further lines, printed and put on the page.
    """
    if jax.process_index() != 0:
        return
    found = [name for name in values if any(name in row for row in rows)]
    summary = plots.aggregate(rows, by, found)
    notes, speed = list(notes), _speed([result] if isinstance(result, training.Result) else result)
    if speed:
        notes.append(
            f"{speed['lanes']} lanes trained by {speed['compilations']} compiled program(s): "
            f"{speed['compile_seconds']:.1f} s to compile, "
            f"{speed['lane_steps_per_second']:,.0f} lane-steps per second."
        )
    said = [plots.console_table(summary)]
    for row in rows:
        if row.get("status") == "frozen":
            settings = ", ".join(f"{name}={row[name]}" for name in (*by, "seed"))
            said.append(
                f"lane {row['lane']} ({settings}) was frozen at step {row['frozen_step']}: "
                f"{row['frozen_by']} was not finite"
            )
    written = []
    try:
        training.write_rows(out, rows)
        drawn: Mapping[str, Any] = {}
        try:
            drawn = figures()
        except InputError as error:
            notes.append(f"There are no figures: {error}.")
        path = plots.write_report(
            out,
            title,
            cli.identity(config),
            rows,
            summary,
            drawn,
            notes=notes,
            training=speed,
            versions={"jax": jax.__version__},
            device=f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
        )
        written = [f"report: {path}"]
    finally:  # a full disk does not keep the numbers back
        print(*said, *notes, *written, sep="\n", flush=True)


def _speed(results: Sequence[training.Result]) -> dict[str, float] | None:
    """How fast some trainings were together; None where nothing was trained any more."""
    groups = [group for result in results for group in result.groups]
    seconds = sum(group.train_seconds for group in groups)
    if not seconds:
        return None
    return {
        "lanes": sum(len(result.rows) for result in results),
        "compilations": sum(result.compilations for result in results),
        "compile_seconds": sum(result.compile_seconds for result in results),
        "lane_steps_per_second": sum(group.lane_steps for group in groups) / seconds,
    }
