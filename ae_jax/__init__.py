"""Representation learning in JAX, where a whole hyperparameter sweep is one compiled program.

The parts, and what they may know of each other (imports point one way):

- `ae_jax.core`: the contract: `Method`, `Network`, `Dataset`. Imports nothing of ours.
- `ae_jax.shuffle`: permutations computed, not stored: epochs without replacement.
- `ae_jax.colour`: colour spaces, as pure functions.
- `ae_jax.watermarks`: stamps over images, and how they come off, as pure functions.
- `ae_jax.corruptions`: what spoils images, as pure functions.
- `ae_jax.data`: where batches come from, `ae_jax.data.load(name, split)`.
- `ae_jax.nets`: encoders, decoders, layers. No loss, no training.
- `ae_jax.probability`: densities: sample, log_prob, kl.
- `ae_jax.losses`: objectives and penalties, in nats per example.
- `ae_jax.methods`: factories that return a `Method`, by family; what they are composed of.
- `ae_jax.metrics`: evaluation of what was learned.
- `ae_jax.inversion`: images and latents found by descending what a trained model says of them.
- `ae_jax.coding`: compression: a range coder, and pictures as files, by trained models.
- `ae_jax.training`: the engine: it trains whatever honours the contract, lanes at a time.
- `ae_jax.testing`: the contract as a check of a method.
- `ae_jax.recipes`: several runs that make one model: greedy stacks; samplers of trained ones.
- `ae_jax.estimators`: what it trains, with scikit-learn's surface.
- `ae_jax.plots`: figures and the run report.
- `ae_jax.cli`: the command line of an experiment.
- `ae_jax.experiment`: what experiments share: options, splits, sweeps, rows and the report.

A subpackage is imported when it is first used.
"""

import importlib
from types import ModuleType

__version__ = "0.2.0"

_PARTS = (
    "cli",
    "coding",
    "colour",
    "core",
    "corruptions",
    "data",
    "estimators",
    "experiment",
    "inversion",
    "losses",
    "methods",
    "metrics",
    "nets",
    "plots",
    "probability",
    "recipes",
    "shuffle",
    "testing",
    "training",
    "watermarks",
)

__all__ = ["__version__", *_PARTS]


def __getattr__(name: str) -> ModuleType:
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})
