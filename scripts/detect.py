"""Finds the rows of a table that do not fit the others, and says what in them does not.

    python scripts/detect.py mine.csv
    python scripts/detect.py new.csv --normal usual.csv --alpha 0.01

An autoencoder learns the rows, or those of `--normal`, of which a quarter is held out: its error
tells what is odd, and a threshold of the held-out rows calls a new normal row anomalous with a
probability of `--alpha` at most. It prints the rows that fit least, with the columns that fit least
in them, and writes the scores of all rows to a file beside the table. Where the table itself is
learned, anomalies in it raise the threshold: give `--normal` if there are rows that are known to be
normal.
"""

import csv
import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from ae_jax import cli
from ae_jax.cli import Count, Whole
from ae_jax.core import BETWEEN, InputError
from ae_jax.data import tables
from ae_jax.data.parts import shown as printable
from ae_jax.data.tables import Table
from ae_jax.estimators import AnomalyDetector

#: So many rows have to be there: of fewer nothing is learned that holds for others.
LEAST = 20


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """What is looked at, and how."""

    table: tyro.conf.Positional[Path] = tyro.MISSING
    """A CSV file, or an NPZ with one array of two axes or more."""
    normal: Path | None = None
    """Rows that are known to be normal, with the same columns; the table's own where none."""
    alpha: Annotated[float, BETWEEN] = 0.05
    """The share of false alarms that the threshold keeps to."""
    latent_size: Count | None = None
    """Numbers that a row is squeezed into; the square root of the number of columns where none."""
    steps: Count = 1000
    """Of training."""
    seed: Whole = 0
    """Draws the rows to hold out, and the training."""
    rows: Count = 10
    """How many of the rows that fit least are printed."""
    out: Path | None = None
    """Where scores are written; TABLE.scores.csv where none."""
    loggers: tyro.conf.Suppress[tuple[str, ...]] = ()
    distributed: tyro.conf.Suppress[str | None] = None


def detect(config: Config) -> None:
    """Scores the rows of a table; see the script's docstring."""
    table, source = read(config.table), printable(config.normal or config.table)
    target = checked(
        config.out or config.table.with_name(f"{config.table.name}.scores.csv"),
        [config.table, *filter(None, [config.normal])],
    )
    if config.normal is None:
        normal = table = whole_rows(table)
    else:
        normal = whole_rows(read(config.normal))
        if missing := [name for name in normal.names if name not in table.names]:
            raise InputError(f"{printable(config.table)} has no column {missing[0]} of numbers")
        if others := [name for name in table.names if name not in normal.names]:
            print(f"not in {source}, and left out: {', '.join(others)}")
        columns = [table.names.index(name) for name in normal.names]
        table = whole_rows(table._replace(values=table.values[:, columns], names=normal.names))
    if len(normal.values) < LEAST:
        raise InputError(f"{source}: {len(normal.values)} rows are too few: give {LEAST} or more")
    if not len(table.values):
        raise InputError(f"{printable(config.table)} has no row without a missing value")
    same = np.all(normal.values == normal.values[0], axis=0)
    still = [normal.names[i] for i in np.flatnonzero(same)]
    if still:
        print(f"always the same: {', '.join(still)}")
    if len(still) == len(normal.names):
        raise InputError("all columns are always the same: there is nothing to learn")
    detector = AnomalyDetector(
        alpha=config.alpha,
        latent_size=config.latent_size,
        steps=config.steps,
        random_state=config.seed,
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        detector.fit(normal.values)
    for warning in said:
        print(warning.message)
    errors = detector.errors(table.values)
    write(target, table, errors, detector.threshold_)
    report(table, errors, detector.threshold_, config.rows)
    print(f"scores: {printable(target)}")


def read(path: Path) -> Table:
    """Reads a table, and says what was guessed or left out.

    Raises:
      InputError: it cannot be read, or holds no numbers.
    """
    table = tables.read(path)
    for note in table.notes:
        print(note)
    return table


def checked(target: Path, given: Sequence[Path]) -> Path:
    """Returns where scores are written, if that can be.

    Raises:
      InputError: there is no such folder, it is one itself, or one of the files that are given.
    """
    if not target.absolute().parent.is_dir():
        raise InputError(f"there is no folder {printable(target.parent)}: make it first")
    if target.is_dir():
        raise InputError(f"{printable(target)} is a folder: give the name of a file")
    if target.exists() and any(map(target.samefile, given)):
        raise InputError(f"{printable(target)} is what is looked at: give another --out")
    return target


def whole_rows(table: Table) -> Table:
    """Leaves out the rows with missing values, and says so."""
    missing = np.isnan(table.values)
    lost = missing.any(axis=1)
    if lost.any():
        print(
            f"rows with missing values, left out: {lost.sum()}, the first {table.places[lost][0]}, "
            f"most of them of {table.names[missing.sum(axis=0).argmax()]}"
        )
    return table._replace(values=table.values[~lost], places=table.places[~lost])


def write(path: Path, table: Table, errors: np.ndarray, threshold: float) -> None:
    """Writes the scores of all rows, and each column's part.

    Raises:
      OSError: the file cannot be written.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(
            ["row", "error", "threshold", "anomalous", *(f"error of {n}" for n in table.names)]
        )
        for place, parts in zip(table.places, errors, strict=True):
            error = parts.sum()
            out.writerow([place, error, threshold, int(error > threshold), *parts])


def report(table: Table, errors: np.ndarray, threshold: float, count: int) -> None:
    """Prints the threshold, how many rows exceed it, and those that fit least."""
    total = errors.sum(axis=1)
    print(
        f"threshold {threshold:.4g}: {np.sum(total > threshold)} of {len(total)} rows are anomalous"
    )
    for at in np.argsort(-total)[:count]:
        worst = np.argsort(-errors[at])[:3]
        said = ", ".join(
            f"{table.names[i]} {table.values[at, i]:g} ({errors[at, i] / total[at]:.0%})"
            for i in worst
            if errors[at, i] > 0
        )
        print(f"row {table.places[at]}: {total[at]:.4g}: {said}")


if __name__ == "__main__":
    cli.main(detect, {"default": Config()}, description=__doc__)
