"""What the restriction of Boltzmann machines buys, and what it costs: bars and stripes, exactly.

    python experiments/boltzmann_machine.py

With few hidden units and the exact gradient the full machine and the semi-restricted one come close
to the best possible log-likelihood, and the restricted one does not; with twice as many hidden
units it does too. All machines that fit well mix slowly. What the restriction buys is time: nothing
with a dozen units, where a sweep of updates in turn takes as long as one of two, but several times
less for hundreds; and the posterior of the hidden units in one update.

Reference: Ackley, Hinton and Sejnowski (1985), A Learning Algorithm for Boltzmann Machines;
Osindero and Hinton (2008), Modeling Image Patches with a Directed Hierarchy of Markov Random
Fields: semi-restricted machines.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import cli, experiment, methods, metrics, plots, training
from ae_jax.core import InputError, Method
from ae_jax.methods.boltzmann import general

MACHINES = {
    "full": general.full,
    "semi-restricted": general.semi_restricted,
    "restricted": general.restricted,
}
#: Chains whose sweeps are timed.
CHAINS = 100
#: Nats below the best likelihood that can be told from rounding.
LEAST = 1e-4


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "bars_and_stripes"
    """Of images with so few pixels that, with the hidden units, 20 units are not exceeded."""
    machine: tuple[str, ...] = ("full", "semi-restricted", "restricted")
    """What is connected: all units, all but hidden with hidden ones, visible with hidden ones
    alone; each is compiled on its own."""
    hidden_size: tuple[int, ...] = (4, 8)
    """Each is compiled on its own."""
    estimator: tuple[str, ...] = ("exact", "pcd-1")
    """Of the gradient: exact, or pcd-k of k sweeps; each is compiled on its own."""
    learning_rate: tuple[float, ...] = (0.03,)
    """Of Adam; it falls to 0 as a half cosine."""
    chains: int = 100
    """Of PCD."""
    clamped_sweeps: int = 10
    """Over the hidden units given data; their draws are exact where they are not connected."""
    mixing_sweeps: int = 512
    """How far chains are followed, exactly."""
    timed_units: tuple[int, ...] = (16, 64, 256, 512)
    """Of machines, half of them visible, whose sweeps are timed."""
    steps: int = 2000
    seeds: int = 3


PRESETS = {
    "default": Config(),
    "smoke": Config(
        machine=("full", "restricted"),
        hidden_size=(2,),
        estimator=("pcd-1",),
        mixing_sweeps=4,
        timed_units=(8, 16),
        seeds=2,
        steps=40,
    ),
    "paper": Config(estimator=("exact", "pcd-1", "pcd-10", "pcd-100"), steps=30_000, seeds=10),
}


def boltzmann_machine(config: Config) -> None:
    """Trains machines with and without connections inside the sides, and follows their chains."""
    if not config.machine or not MACHINES.keys() >= set(config.machine):
        raise InputError(f"machine is {config.machine}: use {', '.join(MACHINES)}")
    experiment.at_least(config, 1, "mixing_sweeps")
    experiment.at_least(config, 2, "timed_units")
    splits = experiment.load(config, whole=True)
    size = splits.train.size
    visible = int(np.prod(splits.image_shape))
    trained = experiment.sweep(
        config,
        "boltzmann_machine",
        lambda machine, hidden_size, estimator: build(config, machine, hidden_size, estimator),
        splits,
        {
            "machine": config.machine,
            "hidden_size": config.hidden_size,
            "estimator": config.estimator,
        },
        batch_size=size,
        schedules=[training.warmup_cosine(config.steps)],
        evaluate_every=max(1, config.steps // 15),
    )
    shapes = {
        (machine, hidden): described(machine, visible, hidden)
        for machine in config.machine
        for hidden in config.hidden_size
    }

    def describe(model: experiment.Model) -> Mapping[str, Any]:
        if model.row["estimator"] != config.estimator[0]:
            return {}
        return distances(model.state.params, visible, config.mixing_sweeps)

    rows = [
        {
            **row,
            "log_likelihood": size * row["log_likelihood"],
            **shapes[row["machine"], row["hidden_size"]],
        }
        for row in experiment.described(trained, describe)
    ]
    mixing = [
        {
            **row,
            "sweeps": sweeps,
            "distance": row[f"distance_{sweeps}"],
        }
        for row in rows
        for sweeps in doubling(config.mixing_sweeps)
        if row.get(f"distance_{sweeps}") is not None
    ]
    times = timed(config)
    best = metrics.best_log_likelihood(experiment.images(splits.train))
    experiment.report(
        config,
        trained.out,
        f"What the restriction of Boltzmann machines buys on {config.dataset}",
        rows,
        ("machine", "hidden_size", "estimator", "learning_rate"),
        ("parameters", "log_likelihood", "updates", "sweep_us", f"distance_{config.mixing_sweeps}"),
        lambda: figures(config, trained, mixing, times, size, best),
        trained.result,
        notes=[
            f"log_likelihood is the sum over the {size} images, in nats, exactly, at best "
            f"{best:.2f}; updates are those of a sweep, one after the other; sweep_us is the time "
            f"of a sweep of {CHAINS} chains; distance_N is that to the model after N sweeps, see "
            "the figure.",
            *(
                f"a sweep of {CHAINS} chains of {units} units, {name}: {1000 * found:.0f} us"
                for name, curve in times.items()
                for units, found in curve.items()
            ),
        ],
    )


def build(config: Config, machine: str, hidden_size: int, estimator: str) -> Method:
    """Returns the method of one group of lanes."""
    return methods.boltzmann_machine(
        hidden_size,
        connections=MACHINES[machine],
        estimator=general.estimator(estimator, config.chains, config.clamped_sweeps),
        optimizer=optax.scale_by_adam(),
        stochastic_binarization=False,  # all pixels are 0 or 1
        exact_likelihood=True,
        weight_decay=0.0,
    )


def described(machine: str, visible: int, hidden: int) -> dict[str, float]:
    """Returns what a machine's connections alone say of it."""
    connections = MACHINES[machine](visible, hidden)
    return {
        "parameters": int(connections.sum()) // 2 + visible + hidden,
        "updates": sum(len(table) for table in general.blocks(connections)),
        "sweep_us": 1000 * sweep_time(connections, 200),
    }


def sweep_time(connections: np.ndarray, sweeps: int) -> float:
    """Returns the milliseconds of a sweep of all chains: the fastest of five runs."""
    size = len(connections)
    weights = np.random.RandomState(0).standard_normal((size, size)).astype(np.float32)
    weights = connections * (weights + weights.T) / np.sqrt(size)
    params = general.BoltzmannParams(jnp.asarray(weights), jnp.zeros(size))
    table = general.blocks(connections)
    run = jax.jit(lambda key, x: general.gibbs(key, params, x, sweeps, table))
    key, x, found = jax.random.key(0), jnp.zeros((CHAINS, size)), []
    for _ in range(6):
        began = time.perf_counter()
        run(key, x).block_until_ready()
        found.append(1000 * (time.perf_counter() - began) / sweeps)
    return min(found[1:])  # the first compiles


def timed(config: Config) -> dict[str, dict[int, float]]:
    """Returns the milliseconds of a sweep by the machine and its number of units."""
    return {
        name: {
            units: sweep_time(MACHINES[name](units // 2, units - units // 2), 20)
            for units in config.timed_units
        }
        for name in config.machine
    }


def doubling(last: int) -> list[int]:
    """Returns 1, 2, 4, ... and the last."""
    return sorted({2**i for i in range(last.bit_length()) if 2**i <= last} | {last})


def distances(params: general.BoltzmannParams, visible: int, last: int) -> dict[str, float]:
    """Returns how far chains that start at the first image are from the model, after some sweeps.

    It is the total variation distance of p(v), by propagating the distribution of all states. The
    hidden units start at draws given the image.
    """
    params = jax.tree.map(jnp.asarray, params)
    joint = general.probabilities(params).reshape(-1, 2**visible)  # of h and v, image 0 all off
    start = jnp.zeros_like(joint).at[:, 0].set(joint[:, 0] / jnp.sum(joint[:, 0]))
    propagate = jax.jit(general.propagate)
    found, p, done = {}, start.reshape(-1), 0
    for sweeps in doubling(last):
        p, done = propagate(params, p, sweeps - done), sweeps
        apart = jnp.sum(p.reshape(joint.shape), axis=0) - jnp.sum(joint, axis=0)
        found[f"distance_{sweeps}"] = float(0.5 * jnp.sum(jnp.abs(apart)))
    return found


def figures(
    config: Config,
    trained: experiment.Sweep,
    mixing: Sequence[Mapping[str, Any]],
    times: Mapping[str, Mapping[int, float]],
    size: int,
    best: float,
) -> dict[str, Any]:
    """Draws likelihoods over training, mixing, the time of sweeps, and weights."""
    lanes = {row["lane"]: row for row in trained.result.rows}
    seen = [
        {
            **lanes[record["lane"]],
            **record,
            "below": np.maximum(LEAST, best - size * record["log_likelihood"]),  # keeps a NaN
        }
        for record in experiment.records(trained.out)
        if record["split"] == "validation"
    ]
    found = {}
    for estimator in config.estimator:
        own = [row for row in seen if row["estimator"] == estimator]
        found[
            f"How far the exact log-likelihood of all images is below {best:.2f}, the best "
            f"possible, over training; gradient: {estimator}."
        ] = plots.lines(
            plots.mean_curves(own, "step", "below", label),
            "training step",
            "nats below the best likelihood",
            log_y=True,
            heading=f"gradient: {estimator}",
        )
    found[
        "How far chains that start at the blank image are from the model: the total variation "
        "distance of p(v), without drawing."
    ] = plots.lines(
        plots.mean_curves(mixing, "sweeps", "distance", label),
        "sweeps",
        "total variation distance",
        log_x=True,
        level=0.0,
    )
    found[f"The time of a Gibbs sweep of {CHAINS} chains by the number of units."] = plots.lines(
        {
            name: (list(curve), [1000 * t / units for units, t in curve.items()], None)
            for name, curve in times.items()
            if curve
        },
        "units, half of them visible",
        "time of a sweep (µs per unit)",
        log_x=True,
    )
    for row in first_seeds(config, trained):
        model = experiment.model(trained.result, row["lane"])
        visible = int(np.prod(model.state.image.shape))
        name = f"{row['machine']}, {row['hidden_size']} hidden units"
        weights = np.asarray(model.state.params.weights)[:, :visible].T
        found[f"Weights to the pixels of the hidden units: {name}."] = plots.filters(
            weights[:, visible:], model.state.image.shape, heading=name
        )
        if weights[:, :visible].any():
            found[f"Weights to the pixels of the other pixels: {name}."] = plots.filters(
                weights[:, :visible], model.state.image.shape, columns=5, heading=f"pixels: {name}"
            )
    return found


def first_seeds(config: Config, trained: experiment.Sweep) -> list[Mapping[str, Any]]:
    """Returns a lane of each machine with the fewest hidden units and the first estimator."""
    chosen: dict[str, Mapping[str, Any]] = {}
    for row in experiment.own_rows(trained.result):
        wanted = (row["hidden_size"], row["estimator"], row["status"])
        if wanted == (min(config.hidden_size), config.estimator[0], "ok"):
            chosen.setdefault(row["machine"], row)
    return list(chosen.values())


def label(row: Mapping[str, Any]) -> str:
    """Returns what names a curve."""
    return f"{row['machine']}, {row['hidden_size']}"


if __name__ == "__main__":
    cli.main(boltzmann_machine, PRESETS)
