"""Trains the example of each registered method for a few steps; the tests interrupt it."""

import argparse
from pathlib import Path

from ae_jax import data, training
from ae_jax.methods import REGISTRY

parser = argparse.ArgumentParser()
parser.add_argument("out", type=Path)
parser.add_argument("--methods", nargs="+", default=list(REGISTRY))
parser.add_argument("--steps", type=int, default=64)
parser.add_argument("--distributed")
parser.add_argument("--checkpoint-seconds", type=float, default=0.0)
options = parser.parse_args()

devices = training.use_devices(1 if options.distributed else None, options.distributed)
for name in options.methods:
    dataset = REGISTRY[name].data()
    training.run(
        REGISTRY[name].example(),
        dataset,
        training.grid(learning_rate=[1e-3, 2e-3], seed=range(2)),
        options.steps,
        options.out / name,
        batch_size=32,
        validation=data.subset(dataset, slice(0, 300)),
        evaluate_every=16,
        checkpoint_seconds=options.checkpoint_seconds,
        chunk=4,
        devices=devices,
    )
    print(name, flush=True)
