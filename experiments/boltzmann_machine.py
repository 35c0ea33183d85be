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
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import cli, data, experiment, methods, metrics, plots, training
from ae_jax.core import Domain, Method
from ae_jax.experiment import Count, Swept
from ae_jax.methods.boltzmann import general

MACHINES = {
    "full": general.full,
    "semi-restricted": general.semi_restricted,
    "restricted": general.restricted,
}
Machine = Literal["full", "semi-restricted", "restricted"]
#: Chains whose sweeps are timed.
CHAINS = 100
#: Nats below the best likelihood that can be told from rounding.
LEAST = 1e-4


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "bars_and_stripes"
    """Of images with so few pixels that, with the hidden units, 20 units are not exceeded."""
    machine: Swept[Literal["full", "semi-restricted", "restricted"]] = (
        "full",
        "semi-restricted",
        "restricted",
    )
    """What is connected: all units, all but hidden with hidden ones, visible with hidden ones
    alone; each is compiled on its own."""
    hidden_size: Swept[Count] = (4, 8)
    """Each is compiled on its own."""
    estimator: Swept[str] = ("exact", "pcd-1")
    """Of the gradient: exact, or pcd-k of k sweeps; each is compiled on its own."""
    learning_rate: Swept[float] = (0.03,)
    """Of Adam; it falls to 0 as a half cosine."""
    chains: Count = 100
    """Of PCD."""
    clamped_sweeps: Count = 10
    """Over the hidden units given data; their draws are exact where they are not connected."""
    mixing_sweeps: Count = 512
    """How far chains are followed, exactly."""
    timed_units: tuple[Annotated[int, Domain(low=2, whole=True)], ...] = (16, 64, 256, 512)
    """Of machines, half of them visible, whose sweeps are timed."""
    steps: Count = 2000
    seeds: Count = 3


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
    splits = experiment.load_splits(config, whole=True)
    size, visible = splits.train.size, int(np.prod(splits.image_shape))
    trained = experiment.sweep(
        config,
        "boltzmann_machine",
        functools.partial(build, config, splits.train.spec),
        splits,
        {name: getattr(config, name) for name in ("machine", "hidden_size", "estimator")},
        batch_size=size,
        schedules=[training.warmup_cosine(config.steps)],
        evaluate_every=max(1, config.steps // 15),
    )
    shapes = {
        (machine, hidden): described(machine, visible, hidden)
        for machine in config.machine
        for hidden in config.hidden_size
    }
    last = config.mixing_sweeps
    doubling = sorted({2**i for i in range(last.bit_length())} | {last})
    sweeps = {f"distance_{count}": count for count in doubling}

    def describe(model: experiment.Model) -> Mapping[str, Any]:
        if model.row["estimator"] != config.estimator[0]:
            return {}
        blank = np.zeros(visible, int)
        found = general.distances_to_model(model.state.params, blank, doubling)
        return dict(zip(sweeps, found.tolist(), strict=True))

    rows = [
        {
            **row,
            "log_likelihood": size * row["log_likelihood"],
            **shapes[row["machine"], row["hidden_size"]],
        }
        for row in experiment.described(trained, describe)
    ]
    times = {
        name: {
            units: sweep_time(MACHINES[name](units // 2, units - units // 2), 20)
            for units in config.timed_units
        }
        for name in config.machine
    }
    best = metrics.best_log_likelihood(data.all_images(splits.train))
    mixing = plots.unpivoted(rows, sweeps, "sweeps", "distance")
    experiment.report(
        config,
        trained.out,
        f"What the restriction of Boltzmann machines buys on {config.dataset}",
        rows,
        ("machine", "hidden_size", "estimator", "learning_rate"),
        ("parameters", "log_likelihood", "updates", "sweep_us", [*sweeps][-1]),
        lambda: figures(config, trained, mixing, times, size, best),
        trained.result,
        notes=[
            f"log_likelihood is the sum over the {size} images, in nats, exactly, at best "
            f"{best:.2f}; updates are those of a sweep, one after the other; sweep_us is the time "
            f"of a sweep of {CHAINS} chains; distance_N is that to the model after N sweeps.",
            *(
                f"a sweep of {CHAINS} chains of {units} units, {name}: {found:.0f} us"
                for name, curve in times.items()
                for units, found in curve.items()
            ),
        ],
    )


def build(config: Config, spec: Any, machine: str, hidden_size: int, estimator: str) -> Method:
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
        "sweep_us": sweep_time(connections, 200),
    }


def sweep_time(connections: np.ndarray, sweeps: int) -> float:
    """Returns the microseconds of a sweep of all chains of a machine with random weights."""
    size = len(connections)
    weights = np.random.RandomState(0).standard_normal((size, size)).astype(np.float32)
    weights = connections * (weights + weights.T) / np.sqrt(size)
    params = general.BoltzmannParams(jnp.asarray(weights), jnp.zeros(size))
    table = general.blocks(connections)
    run = jax.jit(lambda key, x: general.gibbs(key, params, x, sweeps, table))
    return 1e6 * metrics.seconds(run, jax.random.key(0), jnp.zeros((CHAINS, size))) / sweeps


def figures(
    config: Config,
    trained: experiment.Sweep,
    mixing: Sequence[Mapping[str, Any]],
    times: Mapping[str, Mapping[int, float]],
    size: int,
    best: float,
) -> dict[str, Any]:
    """Draws likelihoods over training, mixing, the time of sweeps, and weights."""

    def label(row: Mapping[str, Any]) -> str:
        return f"{row['machine']}, {row['hidden_size']}"

    seen = [
        {**row, "below": np.maximum(LEAST, best - size * row["log_likelihood"])}  # keeps a NaN
        for row in plots.history(experiment.records(trained.out), trained.result.rows)
    ]
    found = {}
    for estimator in config.estimator:
        own, heading = experiment.where(seen, estimator=estimator), f"gradient: {estimator}"
        curves = plots.mean_curves(own, "step", "below", label)
        found[
            f"How far the exact log-likelihood of all images is below {best:.2f}, the best "
            f"possible, over training; {heading}."
        ] = plots.lines(
            curves, "training step", "nats below the best likelihood", log_y=True, heading=heading
        )
    curves = plots.mean_curves(mixing, "sweeps", "distance", label)
    found[
        "How far chains that start at the blank image are from the model: the total variation "
        "distance of p(v), without drawing."
    ] = plots.lines(curves, "sweeps", "total variation distance", log_x=True, level=0.0)
    curves = {
        name: (list(curve), [time / units for units, time in curve.items()], None)
        for name, curve in times.items()
        if curve
    }
    found[f"The time of a Gibbs sweep of {CHAINS} chains by the number of units."] = plots.lines(
        curves, "units, half of them visible", "time of a sweep (µs per unit)", log_x=True
    )
    for name, model in experiment.firsts(trained.result, label).items():
        row, shape = model.row, model.state.image.shape
        if (row["hidden_size"], row["estimator"]) == (min(config.hidden_size), config.estimator[0]):
            visible = int(np.prod(shape))
            heading = f"{name} hidden units"
            weights = np.asarray(model.state.params.weights)[:, :visible].T
            found[f"Weights to the pixels of the hidden units: {heading}."] = plots.filters(
                weights[:, visible:], shape, heading=heading
            )
            if weights[:, :visible].any():
                found[f"Weights to the pixels of the other pixels: {heading}."] = plots.filters(
                    weights[:, :visible], shape, columns=5, heading=f"pixels: {heading}"
                )
    return found


if __name__ == "__main__":
    cli.main(boltzmann_machine, PRESETS)
