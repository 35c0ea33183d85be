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
import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import optax

from ae_jax import cli, data, experiment, methods, metrics, plots, training
from ae_jax.core import Domain, Method
from ae_jax.methods import boltzmann


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "bars_and_stripes"
    """Or bars_and_stripes4, the images of side 4, or others, of which all are learned."""
    estimator: experiment.Swept[str] = ("cd-1", "cd-10", "pcd-1", "pt-1", "exact")
    """Of the gradient: exact, or cd-k, pcd-k, fpcd-k, pt-k of k steps; each is compiled on its
    own."""
    optimizer: experiment.Swept[Literal["adam", "gradient"]] = ("adam", "gradient")
    """Adam in centered parameters, or the plain gradient, as Fischer and Igel have it."""
    learning_rate: experiment.Swept[float] = (0.002, 0.01)
    """Of Adam; it falls to 0 as a half cosine."""
    gradient_estimator: experiment.Swept[str] = ("cd-1", "cd-10", "pcd-1", "exact")
    """Likewise, of the plain gradient."""
    gradient_learning_rate: experiment.Swept[float] = (0.1,)
    """Of the plain gradient; constant."""
    gradient_steps: experiment.Count = 25_000
    gradient_centering: bool = False
    """Whether it is centered after all, which keeps CD-1 from diverging."""
    hidden_size: experiment.Count = 16
    chains: experiment.Count = 100
    """Of PCD, and of PT at all of its temperatures together."""
    temperatures: Annotated[int, Domain(2, whole=True)] = 10
    steps: experiment.Count = 5000
    """Of Adam."""
    seeds: experiment.Count = 5


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
    splits = experiment.load_splits(config, whole=True)
    size = splits.train.size
    builder = functools.partial(build, config, splits.train.spec)
    for optimizer in ("adam", "gradient"):  # what is not trained makes sense as well
        experiment.check(builder, experiment.lanes(config, swept(config, optimizer)))
    trained, rows = {}, []
    for optimizer in config.optimizer:
        adam = optimizer == "adam"
        steps = config.steps if adam else config.gradient_steps
        trained[optimizer] = experiment.sweep(
            config,
            "rbm_bars_and_stripes",
            builder,
            splits,
            swept(config, optimizer),
            part=optimizer,
            steps=steps,
            batch_size=size,
            schedules=[training.warmup_cosine(steps)] if adam else [],
            evaluate_every=max(1, steps // 50),
        )
        for row in trained[optimizer].result.rows:
            likelihood = size * row["log_likelihood"]
            own = {"lane": len(rows), "log_likelihood": likelihood}
            rows.append({"optimizer": optimizer, **row, **own})
    best = metrics.best_log_likelihood(data.all_images(splits.train))
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
        [found.result for found in trained.values()],
        [
            f"log_likelihood is the sum over the {size} images, in nats, exactly; the best there "
            f"can be is {best:.4f}."
        ],
    )


def swept(config: Config, optimizer: str) -> dict[str, Any]:
    """Returns what is swept with an optimizer."""
    name = {"adam": "", "gradient": "gradient_"}[optimizer]
    own = {key: getattr(config, f"{name}{key}") for key in ("estimator", "learning_rate")}
    return {"optimizer": optimizer, **own}


def build(config: Config, spec: Mapping[str, Any], optimizer: str, estimator: str) -> Method:
    """Returns the machine of one optimizer and estimator."""
    adam = optimizer == "adam"
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


def figures(optimizer: str, found: experiment.Sweep, size: int, best: float) -> dict[str, Any]:
    """Draws how far below the best likelihood each estimator is, over training."""
    rows = found.result.rows
    chosen = experiment.best_settings(
        rows, ("estimator", "learning_rate"), ("estimator",), "log_likelihood"
    )
    rates = {row["estimator"]: row["learning_rate"] for row in chosen}
    seen = [
        {**row, "below": np.maximum(LEAST, best - size * row["log_likelihood"])}  # keeps a NaN
        for row in plots.history(experiment.records(found.out / optimizer), rows)
        if row["learning_rate"] == rates.get(row["estimator"])
    ]
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


def label(row: Mapping[str, Any]) -> str:
    """Returns what names a curve."""
    estimator = row["estimator"]
    return estimator.upper() if "-" in estimator else estimator


if __name__ == "__main__":
    cli.main(rbm_bars_and_stripes, PRESETS)
