"""The engine: a sweep of hyperparameters and seeds trained as one compiled program."""

from ae_jax.training.devices import use_devices
from ae_jax.training.lanes import grid
from ae_jax.training.results import join as join_rows
from ae_jax.training.results import write as write_rows
from ae_jax.training.run import Result, Trained, known_lanes, lane, own_lanes, run
from ae_jax.training.schedules import Schedule, step_decay, warmup_cosine

__all__ = [
    "Result",
    "Schedule",
    "Trained",
    "grid",
    "join_rows",
    "known_lanes",
    "lane",
    "own_lanes",
    "run",
    "step_decay",
    "use_devices",
    "warmup_cosine",
    "write_rows",
]
