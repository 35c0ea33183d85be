"""Trains every kind of learner and keeps what its lanes' views give; another process opens them.

    python -m tests.end_to_end.opening train OUT NAME ...
    python -m tests.end_to_end.opening open OUT NAME ...

Half-way each run's directory is copied, as a kill would leave it; in the last one the process
kills itself.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import data, methods, nets, training
from ae_jax.core import Dataset, HParams, Method, State
from ae_jax.recipes import greedy
from ae_jax.training import checkpoint
from tests.methods.examples import REGISTRY
from tests.methods.registered import IMAGE_SHAPE, digits

STEPS = 4
KEY = jax.random.key(3)


class Kind(NamedTuple):
    """What is trained, on what, and what its lanes begin with."""

    method: Method
    dataset: Dataset
    start: Any = None
    latent_size: int = 4


def layer(encoder, decoder):
    method = methods.autoencoder(encoder, decoder)
    return greedy.Layer(encoder, decoder, method, lambda state: state.params)


LAYERS = [
    layer(nets.mlp(12, ()), nets.mlp(IMAGE_SHAPE, ())),
    layer(nets.mlp(6, ()), nets.mlp(12, ())),
]


def layer_2():
    return Kind(methods.stage(nets.chain(LAYERS[0].encoder), LAYERS[1].method), digits())


def few_labels():
    network = nets.mlp(8, ())
    params = network.init(KEY, np.ones((1, *IMAGE_SHAPE), np.float32))
    start = [{"order": np.arange(20) + lane, "encoder": params} for lane in range(2)]
    method = methods.few_labels(methods.classifier(network, 10), digits())
    return Kind(method, digits(), start=start)


def labelled_latents() -> Kind:
    """A generator of a latent and the label beside it."""
    row = REGISTRY["conditional_gan"]
    return Kind(row.example(), row.data(), latent_size=4 + 10)


KINDS: dict[str, Callable[[], Kind]] = {
    **{name: lambda row=row: Kind(row.example(), row.data()) for name, row in REGISTRY.items()},
    "classifier": few_labels,
    "stage": layer_2,
    "conditional_gan": labelled_latents,
}


def looking(kind: Kind) -> Callable[[State, HParams], dict[str, np.ndarray]]:
    """What the evaluation and every view give of a state that inference needs, compiled."""
    batch = kind.dataset.fetch(kind.dataset.arrays, np.arange(4))

    @jax.jit
    def look(state, hparams):
        model = training.Model({}, kind.method, state, hparams)
        views = kind.method.views
        shape = 4, kind.latent_size
        numbers = jnp.linspace(-1, 1, 4 * kind.latent_size).reshape(shape)
        latent = model.encode(batch) if views.encode else numbers
        given = {"encode": (batch,), "decode": (latent,), "reconstruct": (batch,)}
        given |= {"predict": (batch,), "sample": (KEY, 2), "generate": (KEY, batch)}
        given |= {"log_likelihood": (KEY, batch)}
        found = {name: getattr(model, name)(*given[name]) for name in given if getattr(views, name)}
        found["evaluate"] = kind.method.evaluate(KEY, state, batch, hparams)
        return found | {"hparams": dict(hparams)}

    def seen(state: State, hparams: HParams) -> dict[str, np.ndarray]:
        found = look(state, hparams)
        leaves = map(np.asarray, jax.tree.leaves(found))
        return dict(zip(checkpoint.names(found), leaves, strict=True))

    return seen


def both(method: Method, look: Callable, last: tuple, best: tuple | None) -> dict[str, np.ndarray]:
    """What is seen of the last lane at the end, and of the first one at its best."""
    state, hparams = last
    found = look(method.inference(state), hparams)
    return found | {f"best/{name}": x for name, x in (look(*best) if best else {}).items()}


def of(result: training.Result, look: Callable) -> dict[str, np.ndarray]:
    (group,) = result.groups
    best = None if group.best is None else training.lane(result, 0, best=True)[1:]
    return both(group.method, look, training.lane(result, 1)[1:], best)


def part(name: str) -> str:
    """Where in the directory of a kind its run is: the stage is the second layer of a stack."""
    return "layer-2" if name == "stage" else ""


def halfway(kind: Kind, name: str, look: Callable, out: Path, kill: bool) -> Callable:
    """A `checkpoint.save` that copies the run half-way, and what is seen of it in training."""
    save, run, half = checkpoint.save, out / name / part(name), out / "half" / name

    def saving(folder, step, tree, record):
        save(folder, step, tree, record)
        if step == STEPS // 2 and run in folder.parents:
            first, last = (jax.tree.map(lambda x, i=i: x[i], tree) for i in range(2))
            best = None if first.lanes.best is None else (first.lanes.best, first.best_hparams)
            found = both(kind.method, look, (last.lanes.method, last.hparams), best)
            shutil.copytree(out / name, half)
            np.savez(half.with_suffix(".npz"), **found)
            if kill:
                os.kill(os.getpid(), signal.SIGKILL)

    return saving


def has_loss(kind: Kind) -> bool:
    """Whether a method has a loss to be the best by: of two players neither has one."""
    key, method, batch = jax.random.key(0), kind.method, data.head(kind.dataset, 8)
    start = [] if kind.start is None else kind.start[:1]
    state = jax.eval_shape(method.init, key, batch, method.hparams, *start)
    return "loss" in jax.eval_shape(method.evaluate, key, state, batch, method.hparams)


def options(kind: Kind) -> dict[str, Any]:
    """How a kind is trained."""
    return {
        "batch_size": 16,
        "validation": data.subset(kind.dataset, slice(0, 32)),
        "evaluate_every": STEPS // 2,
        "checkpoint_seconds": 0.0,
        "chunk": STEPS // 2,
        "keep_best": has_loss(kind),
        "schedules": [training.warmup_cosine(STEPS)],
    }


def run(kind: Kind, name: str, directory: Path) -> training.Result:
    lanes = training.grid(seed=range(2))
    if name == "stage":
        stack = greedy.train(LAYERS, kind.dataset, lanes, STEPS, directory, **options(kind))
        return stack.results[-1]
    return training.run(
        kind.method,
        kind.dataset,
        lanes,
        STEPS,
        directory,
        start=kind.start,
        **options(kind),
    )


def train(out: Path, *names: str) -> None:
    save = checkpoint.save
    for name in names:
        kind = KINDS[name]()
        look = looking(kind)
        checkpoint.save = halfway(kind, name, look, out, kill=name == names[-1])
        np.savez(out / f"{name}.npz", **of(run(kind, name, out / name), look))
        checkpoint.save = save


def assert_same(found: dict[str, np.ndarray], path: Path) -> None:
    """What is seen has the bits of what a file holds."""
    with np.load(path) as expected:
        assert sorted(found) == sorted(expected.files), path
        for name, value in found.items():
            was = expected[name]
            assert (value.dtype, value.shape) == (was.dtype, was.shape), (path, name)
            assert value.tobytes() == was.tobytes(), (path, name)


def opened(out: Path, *names: str) -> None:
    """Of the half runs all but the killed one go on as well, to the end of the finished ones."""
    for name in names:
        kind = KINDS[name]()
        look = looking(kind)
        for directory in (out / name, out / "half" / name):
            path = directory.with_suffix(".npz")
            if not path.exists():
                continue
            result = training.load(directory / part(name), kind.method)
            found = of(result, look)
            assert_same(found, path)
            said = [row["status"] for row in result.rows]
            print(path.relative_to(out).with_suffix(""), *said, *sorted(found), flush=True)
        if (out / f"{name}.npz").exists():
            assert_same(of(run(kind, name, out / "half" / name), look), out / f"{name}.npz")


if __name__ == "__main__":
    {"train": train, "open": opened}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
