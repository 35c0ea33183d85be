"""What experiments on classifiers with few labels say and draw."""

from collections.abc import Mapping, Sequence
from typing import Any

from ae_jax import plots
from ae_jax.experiment.rows import named


def accuracy_gains(
    rows: Sequence[Mapping[str, Any]], way: str, reference: str, varied: Sequence[str] = ()
) -> list[str]:
    """Says for each number of labels how much better each way is than another, seed by seed.

    Args:
      rows: one per lane, with `labels`, `learning_rate`, `seed` and `accuracy` in percent.
      way: the column that says how a classifier came about.
      reference: the way that the others are compared with.
      varied: columns of further settings.
    """
    by = ("labels", "learning_rate", "seed")
    found = plots.gains(rows, "accuracy", by, lambda row: row[way] == reference)
    return [
        f"With {point['labels']} labels, {named(point[way], point, varied)}: {point['gain']:.1f} "
        f"percentage points of accuracy over {reference} ({point['gain'].count} seeds, each with "
        "the same labels)."
        for point in plots.aggregate(found, ("labels", way, *varied), ["gain"])
    ]


def accuracy_curves(
    rows: Sequence[Mapping[str, Any]], way: str, varied: Sequence[str] = ()
) -> dict[str, Any]:
    """Draws accuracy against the number of labels, a curve for each way; as `accuracy_gains`."""
    curves = plots.mean_curves(rows, "labels", "accuracy", lambda row: named(row[way], row, varied))
    return {
        "Accuracy on test images of classifiers that saw so many labels; pre-training saw all "
        "training images and no label.": plots.lines(
            curves, "labelled training images", "accuracy (%)", log_x=True
        )
    }
