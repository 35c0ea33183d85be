"""What estimators of an RBM's gradient cost: exact likelihoods on bars and stripes.

    python experiments/rbm_bars_and_stripes.py

With Adam in centered parameters, at the better of two learning rates, the exact gradient comes to
the best possible sum of log p over the images, PT and CD-10 close to it, PCD and CD-1 less close.
Uncentered and with the plain gradient at a constant rate CD-1 and PCD rise, and then diverge; CD-10
stays.

Reference: Fischer and Igel (2010), Empirical Analysis of the Divergence of Gibbs Sampling Based
Learning Algorithms for Restricted Boltzmann Machines; Fischer and Igel (2014), Training Restricted
Boltzmann Machines: An Introduction.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optax

from ae_jax import cli, experiment, methods, metrics, plots, training
from ae_jax.core import InputError, Method
from ae_jax.methods import boltzmann


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "bars_and_stripes"
    """Or bars_and_stripes4, the images of side 4, or others, of which all are learned."""
    estimator: tuple[str, ...] = ("cd-1", "cd-10", "pcd-1", "pt-1", "exact")
    """Of the gradient: exact, or cd-k, pcd-k, fpcd-k, pt-k of k steps; each is compiled on its
    own."""
    optimizer: tuple[str, ...] = ("adam", "gradient")
    """Adam in centered parameters, or the plain gradient, as Fischer and Igel have it."""
    learning_rate: tuple[float, ...] = (0.002, 0.01)
    """Of Adam; it falls to 0 as a half cosine."""
    gradient_estimator: tuple[str, ...] = ("cd-1", "cd-10", "pcd-1", "exact")
    """Likewise, of the plain gradient."""
    gradient_learning_rate: tuple[float, ...] = (0.1,)
    """Of the plain gradient; constant."""
    gradient_steps: int = 25_000
    gradient_centering: bool = False
    """Whether it is centered after all, which keeps CD-1 from diverging."""
    hidden_size: int = 16
    chains: int = 100
    """Of PCD, and of PT at all of its temperatures together."""
    temperatures: int = 10
    steps: int = 5000
    """Of Adam."""
    seeds: int = 5


PRESETS = {
    "default": Config(),
    "smoke": Config(estimator=("pt-1",), optimizer=("adam",), hidden_size=4, seeds=2, steps=40),
    "paper": Config(
        dataset="bars_and_stripes4",
        estimator=("cd-1", "cd-10", "cd-100", "pcd-1", "pt-1", "exact"),
        gradient_estimator=("cd-1", "cd-10", "cd-100", "pcd-1", "pt-1", "exact"),
        steps=50_000,
        gradient_steps=50_000,
        seeds=25,
    ),
}
#: Nats below the best likelihood that can be told from rounding.
LEAST = 1e-4


def rbm_bars_and_stripes(config: Config) -> None:
    """Sweeps estimators of the gradient and follows the exact likelihood."""
    check(config)
    splits = experiment.load(config, whole=True)
    size = splits.train.size
    trained = {optimizer: sweep(config, optimizer, splits) for optimizer in config.optimizer}
    rows = []
    for optimizer, found in trained.items():
        for row in found.result.rows:
            rows.append(
                {
                    "optimizer": optimizer,
                    **row,
                    "lane": len(rows),
                    "log_likelihood": size * row["log_likelihood"],
                }
            )
    best = metrics.best_log_likelihood(experiment.images(splits.train))
    experiment.report(
        config,
        trained[config.optimizer[0]].out,
        f"Estimators of an RBM's gradient on {config.dataset}",
        rows,
        ("optimizer", "estimator", "learning_rate"),
        ("log_likelihood", "reconstruction", "swap_rate"),
        lambda: {
            caption: figure
            for optimizer, found in trained.items()
            for caption, figure in figures(optimizer, found, size, best).items()
        },
        notes=[
            f"log_likelihood is the sum over the {size} images, in nats, exactly; the best there "
            f"can be is {best:.4f}."
        ],
    )


def check(config: Config) -> None:
    """Raises InputError, before anything is trained, for values that cannot be used."""
    if sorted(config.optimizer) not in (["adam"], ["gradient"], ["adam", "gradient"]):
        raise InputError(f"optimizer is {config.optimizer}: use adam, gradient or both")
    experiment.at_least(config, 1, "hidden_size", "chains", "gradient_steps")
    experiment.at_least(config, 2, "temperatures")
    for optimizer in config.optimizer:
        for lane in experiment.grid(config, swept(config, optimizer)):
            builder(config, optimizer)(lane["estimator"])


def swept(config: Config, optimizer: str) -> dict[str, Any]:
    """Returns what is swept with an optimizer."""
    if optimizer == "adam":
        return {"estimator": config.estimator, "learning_rate": config.learning_rate}
    return {"estimator": config.gradient_estimator, "learning_rate": config.gradient_learning_rate}


def builder(config: Config, optimizer: str) -> Callable[[str], Method]:
    """Returns what builds the machine of one estimator."""
    adam = optimizer == "adam"

    def build(estimator: str) -> Method:
        return methods.rbm(
            config.hidden_size,
            estimator=boltzmann.estimator(estimator, config.chains, config.temperatures),
            optimizer=optax.scale_by_adam() if adam else None,
            centering=adam or config.gradient_centering,
            stochastic_binarization=False,  # all pixels are 0 or 1
            exact_likelihood=True,
            momentum=0.0,
            weight_decay=0.0,
        )

    return build


def sweep(config: Config, optimizer: str, splits: experiment.Splits) -> experiment.Sweep:
    """Trains all estimators with one optimizer."""
    adam = optimizer == "adam"
    steps = config.steps if adam else config.gradient_steps
    return experiment.sweep(
        config,
        "rbm_bars_and_stripes",
        builder(config, optimizer),
        splits,
        swept(config, optimizer),
        part=optimizer,
        steps=steps,
        batch_size=splits.train.size,
        schedules=[training.warmup_cosine(steps)] if adam else [],
        evaluate_every=max(1, steps // 50),
    )


def figures(optimizer: str, found: experiment.Sweep, size: int, best: float) -> dict[str, Any]:
    """Draws how far below the best likelihood each estimator is, over training."""
    lanes = {row["lane"]: row for row in found.result.rows}
    seen = [
        {
            **lanes[record["lane"]],
            **record,
            "below": np.maximum(LEAST, best - size * record["log_likelihood"]),  # keeps a NaN
        }
        for record in experiment.records(found.out / optimizer)
        if record["split"] == "validation"
    ]
    rates = best_rates(found.result.rows)
    seen = [row for row in seen if row["learning_rate"] == rates[row["estimator"]]]
    chosen = ", ".join(f"{label({'estimator': name})} {rate:g}" for name, rate in rates.items())
    words = {"adam": "Adam, centered", "gradient": "the plain gradient"}[optimizer]
    return {
        f"How far the exact log-likelihood of all images is below {best:.2f}, the best possible, "
        f"with {words}, at the best learning rate of each ({chosen}).": plots.lines(
            plots.mean_curves(seen, "step", "below", label),
            "training step",
            "nats below the best likelihood",
            log_y=True,
            heading=words,
        )
    }


def best_rates(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns each estimator's learning rate with the highest mean likelihood at the end."""
    found: dict[str, dict[str, Any]] = {}
    for point in plots.aggregate(rows, ("estimator", "learning_rate"), ["log_likelihood"]):
        best = found.setdefault(point["estimator"], point)
        if point["log_likelihood"].mean > best["log_likelihood"].mean:
            found[point["estimator"]] = point
    return {estimator: point["learning_rate"] for estimator, point in found.items()}


def label(row: Mapping[str, Any]) -> str:
    """Returns what names a curve."""
    estimator = row["estimator"]
    return estimator.upper() if "-" in estimator else estimator


if __name__ == "__main__":
    cli.main(rbm_bars_and_stripes, PRESETS)
