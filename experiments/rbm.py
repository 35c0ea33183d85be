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
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, plots, training
from ae_jax.core import Array, Method
from ae_jax.methods import boltzmann

#: Steps of Gibbs sampling after which particles are shown.
TIMES = (0, 1, 3, 10, 30, 100, 300, 1000)


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    hidden_size: tuple[int, ...] = (16,)
    """Up to 20 the likelihood is exact; each is compiled on its own."""
    estimator: tuple[str, ...] = ("cd-1", "pcd-1", "pt-1")
    """Of the gradient: exact, or cd-k, pcd-k, fpcd-k, pt-k of k steps; each is compiled on its
    own."""
    learning_rate: tuple[float, ...] = (0.05,)
    """At first; it falls to 0 as a half cosine."""
    weight_decay: tuple[float, ...] = (1e-4,)
    momentum: tuple[float, ...] = (0.5,)
    sparsity_weight: tuple[float, ...] = (0.0,)
    """Pulls mean activations to the target."""
    sparsity_target: float = 0.1
    chains: int = 100
    """Of PCD, and of PT at all of its temperatures together."""
    temperatures: int = 10
    centering: bool = True
    annealing_chains: int = 200
    """Of AIS; reverse AIS has one for each test image."""
    annealing_temperatures: int = 2000
    test_images: int = 500
    """Whose likelihood is measured, at most."""
    steps: int = 6000
    seeds: int = 2


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
    experiment.at_least(config, 1, "hidden_size", "chains", "test_images")
    experiment.at_least(config, 1, "annealing_chains", "annealing_temperatures")
    experiment.at_least(config, 2, "temperatures")
    splits = experiment.Splits(*map(data.binarized, experiment.load(config)))
    trained = experiment.sweep(
        config,
        "rbm",
        builder(config),
        splits,
        {
            name: getattr(config, name)
            for name in (
                "hidden_size",
                "estimator",
                "weight_decay",
                "momentum",
                "sparsity_weight",
                "sparsity_target",
            )
        },
        schedules=[training.warmup_cosine(config.steps)],
    )
    test = experiment.vectors(experiment.first_batch(splits.test, config.test_images))
    train = experiment.vectors(experiment.first_batch(splits.train, 10_000))
    verdicts = {}

    def describe(model: experiment.Model) -> dict[str, float]:
        params = model.state.params
        base = boltzmann.base_of(params, train)
        found = boltzmann.assess(
            jax.random.key(model.row["seed"]),
            params,
            base,
            test,
            chains=config.annealing_chains,
            temperatures=config.annealing_temperatures,
        )
        verdicts[model.row["lane"]] = found
        numbers = found._asdict()
        verdict = numbers.pop("verdict")
        exact = numbers.pop("exact")
        free = [float(jnp.mean(boltzmann.free_energy(params, x))) for x in (test, train)]
        return {
            **({} if np.isnan(exact) else {"log_likelihood": exact}),
            **numbers,
            "free_energy_gap": free[0] - free[1],
            "verdict": verdict,
        }

    rows = experiment.described(trained, describe)
    by = ["estimator", *varied(config)]
    experiment.report(
        config,
        trained.out,
        f"Restricted Boltzmann machines on {config.dataset}",
        rows,
        by,
        VALUES,
        lambda: figures(config, trained, rows, splits, by),
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


def builder(config: Config) -> Any:
    """Returns what builds the machine of one size and estimator."""

    def build(hidden_size: int, estimator: str) -> Method:
        return methods.rbm(
            hidden_size,
            estimator=boltzmann.estimator(estimator, config.chains, config.temperatures),
            centering=config.centering,
            stochastic_binarization=False,  # the splits are
            exact_likelihood=hidden_size <= 16,
        )

    return build


def varied(config: Config) -> list[str]:
    """Returns the names of what is swept, the estimator aside."""
    names = ("hidden_size", "learning_rate", "weight_decay", "momentum", "sparsity_weight")
    return experiment.swept(config, *names)


def figures(
    config: Config,
    trained: experiment.Sweep,
    rows: Sequence[Mapping[str, Any]],
    splits: experiment.Splits,
    by: Sequence[str],
) -> dict[str, Any]:
    """Draws likelihoods, monitors over training, filters, particles and histograms."""
    lanes = {row["lane"]: row for row in rows}
    seen = [
        {**lanes[record["lane"]], **record}
        for record in experiment.records(trained.out)
        if record["lane"] in lanes
    ]

    def name(row: Mapping[str, Any]) -> str:
        return experiment.named(row["estimator"].upper(), row, by[1:])

    drawn = {
        "Log-likelihood of test images: AIS overestimates it and reverse AIS underestimates it, "
        "on average.": likelihoods(rows, name)
    }
    validated = [row for row in seen if row["split"] == "validation"]
    for key, words in (
        ("log_likelihood", "exact log-likelihood (nats)"),
        ("pseudo_log_likelihood", "pseudo-log-likelihood (nats)"),
    ):
        if any(key in row for row in validated):
            drawn[f"The {words.removesuffix(' (nats)')} of validation images over training."] = (
                plots.lines(plots.mean_curves(validated, "step", key, name), "training step", words)
            )
    drawn |= overfitting(seen, name)
    if any("swap_rate" in row for row in seen):
        swapping = [row for row in seen if "swap_rate" in row]
        drawn["How often neighbouring temperatures swap, and the worst pair."] = plots.lines(
            {
                **plots.mean_curves(swapping, "step", "swap_rate", lambda row: "mean"),
                **plots.mean_curves(swapping, "step", "least_swap_rate", lambda row: "least"),
            },
            "training step",
            "share that swaps",
        )
    models = firsts(trained, rows, name)
    for label, model in models.items():
        drawn[f"Filters of {label}, the largest norm first."] = plots.filters(
            np.asarray(model.state.params.weights), splits.image_shape, count=40, heading=label
        )
    for label, model in list(models.items())[-1:]:
        times, particles = chains(config, model, splits)
        drawn[f"Particles of {label} that start at test images, through Gibbs sampling."] = (
            plots.reconstructions(
                particles[0, :16],
                {
                    f"{time} steps": particles[place, :16]
                    for place, time in enumerate(times)
                    if time in TIMES[1:]
                },
                first="test image",
                heading=label,
            )
        )
        drawn[
            f"The same particles of {label}, moving: {len(times)} frames, ever more steps apart."
        ] = plots.animation(particles, rows=min(4, particles.shape[1]), name="particles")
    drawn["Weights."] = plots.histograms(
        {name: model.state.params.weights for name, model in models.items()}, "weight", log_y=True
    )
    test = experiment.first_batch(splits.test, config.test_images)
    drawn["Activations: mean over test images of each hidden unit's probability."] = (
        plots.histograms(
            {name: jnp.mean(model.encode(test), axis=0) for name, model in models.items()},
            "mean activation",
        )
    )
    return drawn


def likelihoods(rows: Sequence[Mapping[str, Any]], name: Any) -> Any:
    """Draws the exact likelihood, where there is one, between its estimates."""
    kinds = {"reverse_ais": "reverse AIS", "log_likelihood": "exact", "ais": "AIS"}
    table: dict[str, dict[str, Any]] = {}
    for column, words in kinds.items():
        if any(column in row for row in rows):
            named = [{**row, "machine": name(row)} for row in rows]
            for point in plots.aggregate(named, ["machine"], [column]):
                table.setdefault(point["machine"], {})[words] = point[column]
    return plots.dots(table, "log-likelihood (nats)")


def overfitting(seen: Sequence[Mapping[str, Any]], name: Any) -> dict[str, Any]:
    """Draws how far the free energies of training and validation images part."""
    means: dict[tuple, float] = {
        (row["lane"], row["step"]): row["free_energy"]
        for row in seen
        if row["split"] == "train" and "free_energy" in row
    }
    gaps = [
        {**row, "gap": row["free_energy"] - means[row["lane"], row["step"]]}
        for row in seen
        if row["split"] == "validation" and (row["lane"], row["step"]) in means
    ]
    if not gaps:
        return {}
    return {
        "Free energy of validation images less that of training images: where it rises the "
        "machine overfits.": plots.lines(
            plots.mean_curves(gaps, "step", "gap", name),
            "training step",
            "free-energy gap (nats)",
            level=0,
        )
    }


def firsts(
    trained: experiment.Sweep, rows: Sequence[Mapping[str, Any]], name: Any
) -> dict[str, experiment.Model]:
    """Returns the first sound lane of each setting."""
    own = {row["lane"] for row in experiment.own_rows(trained.result)}
    chosen: dict[str, int] = {}
    for row in rows:
        if row["status"] == "ok" and row["lane"] in own:
            chosen.setdefault(name(row), row["lane"])
    return {key: experiment.model(trained.result, lane) for key, lane in chosen.items()}


def chains(
    config: Config, model: experiment.Model, splits: experiment.Splits
) -> tuple[list[int], np.ndarray]:
    """Runs chains from test images; their means after ever more steps, [T, N, H, W, C]."""
    start = experiment.first_batch(splits.test, 40)
    times = sorted({*TIMES, *np.unique(np.geomspace(1, TIMES[-1], 40).astype(int)).tolist()})

    def step(v: Array, key: Array) -> tuple[Array, Array]:
        return boltzmann.gibbs(key, model.state.params, v, 1)

    keys = jax.random.split(jax.random.key(0), times[-1])
    hidden = jax.jit(lambda v: jax.lax.scan(step, v, keys)[1])(experiment.vectors(start))
    frames = [np.asarray(model.decode(hidden[time - 1])) for time in times[1:]]
    return times, np.stack([np.asarray(start["image"]), *frames])


if __name__ == "__main__":
    cli.main(rbm, PRESETS)
