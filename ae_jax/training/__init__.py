"""The engine: a sweep of hyperparameters and seeds trained as one compiled program."""

from ae_jax.training.devices import use_devices
from ae_jax.training.exporting import export, import_parameters
from ae_jax.training.lanes import grid
from ae_jax.training.loading import load
from ae_jax.training.model import Model, lane, model
from ae_jax.training.plan import Trained
from ae_jax.training.results import Result, known_lanes, own_lanes
from ae_jax.training.results import join as join_rows
from ae_jax.training.results import write as write_rows
from ae_jax.training.run import run
from ae_jax.training.schedules import (
    Schedule,
    all_rates,
    geometric,
    ramp,
    step_decay,
    warmup,
    warmup_cosine,
)

__all__ = [
    "Model",
    "Result",
    "Schedule",
    "Trained",
    "all_rates",
    "export",
    "geometric",
    "grid",
    "import_parameters",
    "join_rows",
    "known_lanes",
    "lane",
    "load",
    "model",
    "own_lanes",
    "ramp",
    "run",
    "step_decay",
    "use_devices",
    "warmup",
    "warmup_cosine",
    "write_rows",
]
