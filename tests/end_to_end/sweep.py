"""Trains the example of each registered method for a few steps; the tests interrupt it.

`stack` is no method but a recipe: two layers, trained greedily, and the whole on top of them.
"""

import argparse
from pathlib import Path

from ae_jax import data, methods, nets, training
from ae_jax.recipes import greedy
from ae_jax.training import processes
from tests.methods.examples import REGISTRY

parser = argparse.ArgumentParser()
parser.add_argument("out", type=Path)
parser.add_argument("--methods", nargs="+", default=list(REGISTRY))
parser.add_argument("--steps", type=int, default=96)
parser.add_argument("--distributed")
parser.add_argument("--silent", type=float, default=processes.SILENT)
parser.add_argument("--checkpoint-seconds", type=float, default=0.0)
options = parser.parse_args()

processes.SILENT = options.silent
devices = training.use_devices(1 if options.distributed else None, options.distributed)


def layer(encoder, decoder):
    method = methods.autoencoder(encoder, decoder)
    return greedy.Layer(encoder, decoder, method, lambda state: state.params)


for name in options.methods:
    dataset = data.load("digits") if name == "stack" else REGISTRY[name].data()
    lanes = training.grid(learning_rate=[1e-3, 2e-3], seed=range(2))
    common = {
        "batch_size": 32,
        "validation": data.subset(dataset, slice(0, 300)),
        "evaluate_every": 16,
        "checkpoint_seconds": options.checkpoint_seconds,
        "chunk": 4,
        "devices": devices,
    }
    method, start, directory = None, None, options.out / name
    if name == "stack":
        layers = [
            layer(nets.mlp(12, ()), nets.mlp((8, 8, 1), ())),
            layer(nets.mlp(6, ()), nets.mlp(12, ())),
        ]
        stack = greedy.train(layers, dataset, lanes, options.steps, directory, **common)
        # Each lane goes on from another one's layers, which another process may have trained.
        method, start = methods.autoencoder(stack.encoder, stack.decoder), stack.start[::-1]
        directory = directory / "whole"
    result = training.run(
        method or REGISTRY[name].example(),
        dataset,
        lanes,
        options.steps,
        directory,
        start=start,
        **common,
    )
    print(name, "missing", result.missing, flush=True)
