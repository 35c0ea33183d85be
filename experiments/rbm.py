"""Restricted Boltzmann machines on binarised images: what they learn, and how likely data are.

    python experiments/rbm.py

With few hidden units the likelihood of binarised test digits is known exactly, and AIS and reverse
AIS agree with it. With 500 units on MNIST the exact number is out of reach, and those two are what
there is.

Reference: Hinton (2012), A Practical Guide to Training Restricted Boltzmann Machines;
Salakhutdinov and Murray (2008), On the Quantitative Analysis of Deep Belief Networks; Burda,
Grosse and Salakhutdinov (2015), Accurate and Conservative Estimates of MRF Log-likelihood using
Reverse Annealing.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, plots, training
from ae_jax.core import Array, Domain, Method
from ae_jax.experiment import Count, Swept
from ae_jax.methods import boltzmann

#: Steps of Gibbs sampling after which particles are shown.
TIMES = (0, 1, 3, 10, 30, 100, 300, 1000)


@dataclasses.dataclass(frozen=True)
class Config(experiment.MachineConfig):
    """Options that take several values are swept: their product is trained at once."""

    hidden_size: Swept[Count] = (16,)
    """Up to 20 the likelihood is exact; each is compiled on its own."""
    estimator: Swept[str] = ("cd-1", "pcd-1", "pt-1")
    """Of the gradient: exact, or cd-k, pcd-k, fpcd-k, pt-k of k steps; each is compiled on its
    own."""
    learning_rate: Swept[float] = (0.05,)
    """At first; it falls to 0 as a half cosine."""
    weight_decay: Swept[float] = (1e-4,)
    momentum: Swept[float] = (0.5,)
    sparsity_weight: Swept[float] = (0.0,)
    """Pulls mean activations to the target."""
    sparsity_target: float = 0.1
    temperatures: Annotated[int, Domain(low=2, whole=True)] = 10
    """Of PT."""
    centering: bool = True
    annealing_chains: Count = 200
    annealing_temperatures: Count = 2000
    steps: Count = 6000
    seeds: Count = 2


PRESETS = {
    "default": Config(),
    "smoke": Config(
        hidden_size=(4,),
        estimator=("pt-1",),
        annealing_chains=10,
        annealing_temperatures=20,
        test_images=20,
        steps=40,
    ),
    "paper": Config(
        dataset="mnist",
        hidden_size=(500,),
        estimator=("cd-1", "cd-25", "pcd-1"),
        annealing_chains=100,
        annealing_temperatures=20_000,
        test_images=10_000,
        steps=150_000,
        batch_size=100,
    ),
}
#: What is averaged over seeds.
VALUES = (
    "log_likelihood",
    "ais",
    "reverse_ais",
    "gap",
    "effective_sample_size",
    "pseudo_log_likelihood",
    "reconstruction",
    "free_energy_gap",
    "swap_rate",
)


def rbm(config: Config) -> None:
    """Sweeps machines and measures the likelihood of test images from both sides."""
    splits = experiment.Splits(*map(data.binarized, experiment.load_splits(config)))
    names = ("hidden_size", "estimator", "weight_decay", "momentum")
    names += ("sparsity_weight", "sparsity_target")
    trained = experiment.sweep(
        config,
        "rbm",
        functools.partial(build, config, splits.train.spec),
        splits,
        {name: getattr(config, name) for name in names},
        schedules=[training.warmup_cosine(config.steps)],
    )
    test = data.vectors(data.head(splits.test, config.test_images))
    train = data.vectors(data.head(splits.train, 10_000))

    def describe(model: experiment.Model) -> dict[str, Any]:
        columns = boltzmann.columns(experiment.assessed(config, model, train, test))
        verdict = columns.pop("verdict")
        if "exact" in columns:
            columns = {"log_likelihood": columns.pop("exact"), **columns}
        free = [
            float(jnp.mean(boltzmann.free_energy(model.state.params, x))) for x in (test, train)
        ]
        return {**columns, "free_energy_gap": free[0] - free[1], "verdict": verdict}

    rows = experiment.described(trained, describe)
    swept = experiment.varied(config, "hidden_size", "learning_rate", *names[2:5])
    experiment.report(
        config,
        trained.out,
        f"Restricted Boltzmann machines on {config.dataset}",
        rows,
        ["estimator", *swept],
        VALUES,
        lambda: figures(config, trained, rows, splits, swept),
        trained.result,
        [
            f"Likelihoods are of {len(test)} test images, nats per image. AIS is too high on "
            f"average and reverse AIS too low; {config.annealing_chains} chains and "
            f"{config.annealing_temperatures} temperatures.",
            *(
                f"Lane {row['lane']}, {row['estimator']}: {row['verdict']}."
                for row in rows[:8]
                if "verdict" in row
            ),
        ],
    )


def build(config: Config, spec: Any, hidden_size: int, estimator: str) -> Method:
    """Returns the machine of one size and estimator."""
    return methods.rbm(
        hidden_size,
        estimator=boltzmann.estimator(estimator, config.chains, config.temperatures),
        centering=config.centering,
        stochastic_binarization=False,  # the splits are
        exact_likelihood=hidden_size <= 16,
    )


def figures(
    config: Config,
    trained: experiment.Sweep,
    rows: Sequence[Mapping[str, Any]],
    splits: experiment.Splits,
    swept: Sequence[str],
) -> dict[str, Any]:
    """Draws likelihoods, monitors over training, filters, particles and histograms."""

    def name(row: Mapping[str, Any]) -> str:
        return experiment.named(row["estimator"].upper(), row, swept)

    records = experiment.records(trained.out)
    before, validated = (plots.history(records, rows, split) for split in ("train", "validation"))
    words = {"reverse_ais": "reverse AIS", "log_likelihood": "exact", "ais": "AIS"}
    drawn = {
        "Log-likelihood of test images: AIS overestimates it and reverse AIS underestimates it, "
        "on average.": plots.dots(plots.mean_table(rows, name, words), "log-likelihood (nats)")
    }

    def over_training(seen: Sequence[Mapping[str, Any]], column: str, ylabel: str, **more: Any):
        seen = [row for row in seen if column in row]
        return plots.lines(
            plots.mean_curves(seen, "step", column, name), "training step", ylabel, **more
        )

    for column, kind in (("log_likelihood", "exact"), ("pseudo_log_likelihood", "pseudo")):
        if any(column in row for row in validated):
            drawn[f"The {kind} log-likelihood of validation images over training."] = over_training(
                validated, column, f"{kind} log-likelihood (nats)"
            )
    free = {
        (row["lane"], row["step"]): row["free_energy"] for row in before if "free_energy" in row
    }
    gaps = [
        {**row, "gap": row["free_energy"] - free[row["lane"], row["step"]]}
        for row in validated
        if (row["lane"], row["step"]) in free
    ]
    if gaps:
        drawn[
            "Free energy of validation images less that of training images: where it rises the "
            "machine overfits."
        ] = over_training(gaps, "gap", "free-energy gap (nats)", level=0)
    swaps = plots.unpivoted(
        before, {"swap_rate": "mean", "least_swap_rate": "least"}, "pair", "share"
    )
    if swaps:
        drawn["How often neighbouring temperatures swap, and the worst pair."] = plots.lines(
            plots.mean_curves(swaps, "step", "share", lambda row: row["pair"]),
            "training step",
            "share that swaps",
        )
    models = experiment.firsts(trained.result, name)
    weights = {label: model.state.params.weights for label, model in models.items()}
    for label in weights:
        drawn[f"Filters of {label}, the largest norm first."] = plots.filters(
            weights[label], splits.image_shape, count=40, heading=label
        )
    for label, model in list(models.items())[-1:]:
        frames = particles(model, data.head(splits.test, 40)["image"])
        chosen = {f"{time} steps": frames[time][:16] for time in TIMES[1:]}
        drawn[f"Particles of {label} that start at test images, through Gibbs sampling."] = (
            plots.reconstructions(frames[0][:16], chosen, first="test image", heading=label)
        )
        drawn[
            f"The same particles of {label}, moving: {len(frames)} frames, ever further apart."
        ] = plots.animation([*frames.values()], rows=min(4, len(frames[0])), name="particles")
    drawn["Weights."] = plots.histograms(weights, "weight", log_y=True)
    test = data.head(splits.test, config.test_images)
    means = {label: jnp.mean(model.encode(test), axis=0) for label, model in models.items()}
    drawn["Activations: mean over test images of each hidden unit's probability."] = (
        plots.histograms(means, "mean activation")
    )
    return drawn


def particles(model: experiment.Model, start: Array) -> dict[int, Array]:
    """Runs chains from images; their means after ever more steps of Gibbs sampling."""
    times = sorted({*TIMES[1:], *np.geomspace(1, TIMES[-1], 40).astype(int).tolist()})
    v = data.vectors({"image": start})
    run = jax.jit(lambda key: boltzmann.trajectory(key, model.state.params, v, times)[1])
    hidden = run(jax.random.key(0))
    return {0: start} | {time: model.decode(h) for time, h in zip(times, hidden, strict=True)}


if __name__ == "__main__":
    cli.main(rbm, PRESETS)
