"""What an autoencoder finds odd, beside classical detectors, with thresholds of normal data alone.

    python experiments/anomaly_detection.py

Nine digits are normal and the tenth is the anomaly, for each of the ten. An autoencoder's error
tells the anomalies better than what principal components leave out, isolation forests and one-class
support vector machines, and about as well as the local outlier factor, the best of the classical;
a threshold of held-out normal digits keeps its share of false alarms. The bound of a VAE whose
variance is learned tells no more than PCA, the free energy of an RBM less, the discriminator of a
GAN little, and distances among the autoencoder's latents nothing. On a table of thirty columns
(`--preset table`) it tells more than the autoencoder, and isolation forests tell most.

Reference: Sakurada and Yairi (2014), Anomaly Detection Using Autoencoders; Ruff et al. (2018), Deep
One-Class Classification; Han et al. (2022), ADBench.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import BETWEEN, Method, Network
from ae_jax.experiment import Count, Model, Splits, Swept, Whole, anomalies
from ae_jax.methods import boltzmann

AUTOENCODER, VAE, RBM, GAN = "autoencoder", "VAE", "RBM", "GAN"
DISTANCE, PCA, LOF = "autoencoder's latents", "PCA", "local outlier factor"
UNITS = boltzmann.Units(boltzmann.gaussian(), boltzmann.bernoulli_hidden())


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    left_out: tuple[Whole, ...] = ()
    """Classes that are the anomalies, each in turn; all of them where none is given."""
    draws: Count = 1
    """For each of them, how often the normal examples are split at random."""
    alpha: Annotated[float, BETWEEN] = 0.05
    """The share of false alarms that thresholds are to keep to."""
    latent_size: Count = 8
    """Of the networks, and components of PCA."""
    hidden_size: Count = 64
    """Of the restricted Boltzmann machine."""
    widths: tuple[Count, ...] = (64,)
    """Hidden layers of the encoder, reversed in the decoder; not swept."""
    learning_rate: Swept[float] = (3e-3,)
    """At first; it falls to 0 as a half cosine. Of RBM and GAN it is a third."""
    steps: Count = 1500
    seeds: Count = 2


TABLE = "breast_cancer"
PRESETS = {
    "default": Config(),
    "smoke": Config(left_out=(0, 1), latent_size=2, widths=(16,), seeds=1, steps=40),
    # scikit-learn's breast cancer: what is malignant, 0, is the anomaly
    "table": Config(
        dataset=TABLE, left_out=(0,), draws=5, latent_size=5, widths=(32,), steps=800, seeds=2
    ),
    # on the data of Ruff et al. (2018), of whom one digit is normal at a time
    "paper": Config(dataset="mnist", latent_size=32, widths=(512, 128), steps=50_000, seeds=10),
}


def anomaly_detection(config: Config) -> None:
    """Compares what models and classical detectors find odd in examples of classes left out."""
    tasks = anomalies.leaving_out(*examples(config), config.left_out, config.draws)
    calibrated = len(tasks[0].calibration)
    low, high = metrics.false_alarms(calibrated, config.alpha)
    fitted = [anomalies.classical_detectors(task.train, config.latent_size) for task in tasks]
    parts = ("train", "calibration", "test")
    splits = Splits(
        *(data.side_by_side([data.stored(getattr(task, part)) for task in tasks]) for part in parts)
    )
    trained = experiment.sweep(
        config,
        "anomaly_detection",
        functools.partial(build, config, splits.train.spec),
        splits,
        [
            {"detector": (AUTOENCODER, VAE, RBM), "condition": range(len(tasks))},
            {"detector": GAN, "condition": range(len(tasks)), "learning_rate": 1e-3},
        ],
        schedules=[training.warmup_cosine(config.steps)],
    )
    scored: dict[tuple[str, int], np.ndarray] = {}

    def assessed(name: str, place: int, score: anomalies.Score) -> dict[str, Any]:
        task = tasks[place]
        threshold = metrics.conformal_threshold(score(task.calibration), config.alpha)
        scores = score(task.test)
        scored.setdefault((name, place), scores)
        quality = metrics.detection_quality(scores, task.anomalous, threshold)
        return {**quality, "threshold": threshold}

    def describe(model: Model) -> dict[str, Any]:
        place, name = model.row["condition"], model.row["detector"]
        scores = of(config, model, tasks[place])
        found = {other: assessed(other, place, score) for other, score in scores.items()}
        return found.pop(name) | {"others": found}

    rows = experiment.described(trained, describe)
    for row in list(rows):
        others = row.pop("others", {})
        rows += [{**row, "detector": name, **found} for name, found in others.items()]
    rows += [
        {"detector": name, "condition": place, "seed": 0, "status": "ok"}
        | assessed(name, place, score)
        for place, detectors in enumerate(fitted)
        for name, score in detectors.items()
    ]
    for row in rows:
        task = tasks[row["condition"]]
        row |= {"left_out": task.left_out, "draw": task.draw}
    by = ("detector", *experiment.varied(config, "learning_rate"))
    rows = experiment.numbered(rows, by)
    experiment.report(
        config,
        trained.out,
        f"Anomaly detection on {config.dataset}",
        rows,
        by,
        ("auroc", "true_positive_rate", "false_positive_rate", "average_precision"),
        lambda: figures(tasks, rows, scored, trained.result),
        trained.result,
        [
            f"Thresholds are of {calibrated} normal examples, for false alarms of "
            f"{config.alpha:.0%}: nine of ten such thresholds come to {low:.1%} to {high:.1%}.",
            f"Of the test examples {np.mean(tasks[0].anomalous):.0%} are anomalies: the average "
            "precision of scores that say nothing. ± is over what is left out, draws and seeds.",
            *anomalies.compared(rows, (AUTOENCODER, DISTANCE, VAE, RBM, GAN), PCA),
        ],
    )


def examples(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Returns all examples [N, ...] of a data set, and their classes [N]."""
    if config.dataset == TABLE:
        from sklearn.datasets import load_breast_cancer

        return load_breast_cancer(return_X_y=True)
    parts = experiment.load_splits(config)
    experiment.classes(config.dataset, parts)
    found = [data.head(part, part.size) for part in parts]
    return tuple(np.concatenate([part[name] for part in found]) for name in ("image", "label"))


def build(config: Config, spec: Mapping[str, Any], detector: str) -> Method:
    """Returns a model that learns from the normal examples of its lane's task."""
    count, *shape = spec["image"].shape
    decoder = nets.mlp(shape, config.widths[::-1])
    if detector == AUTOENCODER:
        model = methods.autoencoder(nets.mlp(config.latent_size, config.widths), decoder)
    elif detector == VAE:
        model = methods.vae(
            nets.mlp(2 * config.latent_size, config.widths),
            nets.shared_scale(decoder),
            config.latent_size,
            likelihood=methods.observations.learned_gaussian(),
        )
    elif detector == RBM:
        model = methods.rbm(config.hidden_size, visible=boltzmann.gaussian())
    else:
        model = methods.gan(decoder, critic(config.widths), config.latent_size, output=lambda x: x)
    return methods.one_of_several(model, count)


def of(config: Config, model: Model, task: anomalies.Task) -> dict[str, anomalies.Score]:
    """Returns how odd examples are to a model, in every way that it can tell."""
    name = model.row["detector"]
    if name == AUTOENCODER:
        return dict(zip((name, DISTANCE), anomalies.errors(model, task.train), strict=True))
    if name == VAE:
        return {name: anomalies.unlikeliness(model)}
    if name == RBM:
        return {name: anomalies.free_energy(model.state.params, UNITS)}
    return {name: anomalies.suspicion(critic(config.widths), model.state.params["discriminator"])}


@functools.cache
def critic(widths: tuple[int, ...]) -> Network:
    """Returns the discriminator."""
    return nets.mlp(1, widths)


def figures(
    tasks: Sequence[anomalies.Task],
    rows: Sequence[Mapping[str, Any]],
    scored: Mapping[tuple[str, int], np.ndarray],
    result: training.Result,
) -> dict[str, Any]:
    """Draws AUROC by what is left out, ROC curves, scores, and what was told wrongly."""
    table: dict[str, dict[str, Any]] = {}
    for point in plots.aggregate(rows, ("left_out", "detector"), ["auroc"]):
        if point["detector"] in (AUTOENCODER, PCA, LOF):
            table.setdefault(str(point["left_out"]), {})[point["detector"]] = point["auroc"]
    columns = {"auroc": "AUROC", "true_positive_rate": "found at the threshold"}
    over = "standard deviation over"
    anomalous = {place: task.anomalous for place, task in enumerate(tasks)}
    curves: dict[str, dict[int, np.ndarray]] = {}
    for (name, place), scores in scored.items():
        curves.setdefault(name, {})[place] = scores
    drawn = {
        "AUROC by the class that is the anomaly.": plots.dots(
            table, "AUROC", name="detector", spread=f"{over} draws and seeds"
        ),
        "AUROC, and the share of anomalies that exceed the calibrated threshold.": plots.dots(
            plots.mean_table(rows, lambda row: row["detector"], columns),
            "AUROC, share found",
            spread=f"{over} what is left out, draws and seeds",
        ),
        "ROC curves, means over what is left out.": plots.lines(
            {name: anomalies.mean_roc(own, anomalous) for name, own in curves.items()},
            "false positive rate",
            "true positive rate",
        ),
    }
    models = experiment.firsts(result, lambda row: (row["detector"], row["condition"]))
    own = {place: model for (name, place), model in models.items() if name == AUTOENCODER}
    if not own:
        return drawn
    worst = min(own, key=lambda k: metrics.auroc(scored[AUTOENCODER, k], tasks[k].anomalous))
    task, scores = tasks[worst], scored[AUTOENCODER, worst]
    kinds = {"anomalous": task.anomalous, "normal": ~task.anomalous}
    drawn[f"Errors of test examples where {task.left_out} is the anomaly."] = plots.histograms(
        {kind: np.log10(scores[where]) for kind, where in kinds.items()}, "log10 of the error"
    )
    if task.test.ndim == 4:
        shown = {}
        for kind, sign in (("anomalous", 1), ("normal", -1)):
            places = np.flatnonzero(kinds[kind])
            x = task.test[places[np.argsort(sign * scores[places])[:12]]]
            shown |= {kind: x, f"made of {kind}": own[worst].reconstruct({"image": x})}
        drawn[
            f"What the autoencoder tells worst, where {task.left_out} is the anomaly: anomalous "
            "images of the least error, normal ones of the largest, and what it makes of them."
        ] = plots.image_rows(shown)
    return drawn


if __name__ == "__main__":
    cli.main(anomaly_detection, PRESETS, description=__doc__)
