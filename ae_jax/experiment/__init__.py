"""What experiments share: options, splits, the sweep, and the page that reports it."""

from ae_jax.cli import Count, Several, Swept, Whole
from ae_jax.experiment.checks import classes, trace, trace_stack
from ae_jax.experiment.config import Config, lanes, varied
from ae_jax.experiment.few_labels import accuracy_curves, accuracy_gains
from ae_jax.experiment.filling import Holes, biharmonic, closed_fills, filled_measure, holes_in
from ae_jax.experiment.filters import Filter, clipped_psnr, filters, linear_map, tuned
from ae_jax.experiment.generation import (
    check_generated,
    class_features,
    densities,
    earlier,
    features_of,
    film_times,
    gaussian_images,
    generated,
)
from ae_jax.experiment.likelihoods import importance_likelihood
from ae_jax.experiment.machines import MachineConfig, assessed
from ae_jax.experiment.models import described, firsts, own_rows, side_by_side
from ae_jax.experiment.opening import open
from ae_jax.experiment.patches import grey_patches, grey_photographs, patchwise, stamped_pairs
from ae_jax.experiment.reporting import records, report
from ae_jax.experiment.rows import best_settings, named, numbered, paired, where
from ae_jax.experiment.running import Sweep, check, claimed, complete, pretrain, run_options, sweep
from ae_jax.experiment.splits import Splits, label_orders, load_splits
from ae_jax.experiment.stacks import StackConfig, fine_tuned
from ae_jax.experiment.study import Outcome, Study
from ae_jax.training import Model, model

__all__ = [
    "Config",
    "Count",
    "Filter",
    "Holes",
    "MachineConfig",
    "Model",
    "Outcome",
    "Several",
    "Splits",
    "StackConfig",
    "Study",
    "Sweep",
    "Swept",
    "Whole",
    "accuracy_curves",
    "accuracy_gains",
    "assessed",
    "best_settings",
    "biharmonic",
    "check",
    "check_generated",
    "claimed",
    "class_features",
    "classes",
    "clipped_psnr",
    "closed_fills",
    "complete",
    "densities",
    "described",
    "earlier",
    "features_of",
    "filled_measure",
    "film_times",
    "filters",
    "fine_tuned",
    "firsts",
    "gaussian_images",
    "generated",
    "grey_patches",
    "grey_photographs",
    "holes_in",
    "importance_likelihood",
    "label_orders",
    "lanes",
    "linear_map",
    "load_splits",
    "model",
    "named",
    "numbered",
    "open",
    "own_rows",
    "paired",
    "patchwise",
    "pretrain",
    "records",
    "report",
    "run_options",
    "side_by_side",
    "stamped_pairs",
    "sweep",
    "trace",
    "trace_stack",
    "tuned",
    "varied",
    "where",
]
