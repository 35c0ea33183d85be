"""Faults in time series, found and located by what autoencoders of normal ones make of them.

    python experiments/sequence_anomalies.py

A fault is a step that is displaced, or a piece that is held, repeated or twice as fast; nothing but
normal series is learned from, or gives the thresholds. Tones of a few low frequencies lie near a
linear space: what principal components leave, if they are enough, finds nearly all faults, and so
does what a linear forecast leaves. A dense autoencoder comes near, a recurrent one loses the phase
and finds far fewer, distances between whole series few or none.
`--preset eeg` is a recording of a brain; `--dataset series64:FILE.csv` takes one of your own.

Reference: Malhotra et al. (2016), LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection;
Schmidl, Wenig and Papenbrock (2022), Anomaly Detection in Time Series, for the peers.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import BETWEEN, POSITIVE, Method
from ae_jax.experiment import Count, Model, Splits, sequences

RECURRENT, DENSE = "recurrent autoencoder", "dense autoencoder"


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "tones"
    """tones, eeg, or series:FILE, the columns of a CSV in windows of 64 rows; series16: of 16."""
    length: Count = 8
    """Steps that a fault lasts."""
    level: Annotated[float, POSITIVE] = 2.0
    """What a glitch adds or takes away, in standard deviations of its series."""
    alpha: Annotated[float, BETWEEN] = 0.05
    """The share of false alarms that thresholds are to keep to."""
    examples: Count = 4000
    """Training series at most, the same for all detectors; and half of it to test on."""
    cell: Literal["lstm", "gru"] = "gru"
    teacher_forcing: bool = True
    """Whether the recurrent decoder is trained with the true previous step."""
    latent_size: Count = 16
    """Of both networks, and components of PCA."""
    hidden_size: Count = 64
    order: Count = 8
    """Steps that the autoregression looks back on."""
    width: Count = 5
    """Steps of the moving average."""
    learning_rate: experiment.Swept[float] = (3e-3,)
    """At first; it falls to 0 as a half cosine, after a start of a twentieth."""
    seeds: Count = 2
    steps: Count = 1500


PRESETS = {
    "default": Config(),
    "smoke": Config(
        examples=200, latent_size=4, hidden_size=8, learning_rate=(1e-3,), seeds=1, steps=20
    ),
    # matplotlib's: 449 windows of 32 steps and four channels to learn from
    "eeg": Config(dataset="eeg", steps=600, seeds=3),
    "paper": Config(cell="lstm", examples=20_000, hidden_size=128, steps=100_000, seeds=10),
}


def sequence_anomalies(config: Config) -> None:
    """Compares what finds faults in series, and what finds where they are."""
    splits = load(config)
    parts = [np.asarray(data.head(part, part.size)["sequence"]) for part in splits]
    train, calibration, test = parts
    low, high = metrics.false_alarms(len(calibration), config.alpha)
    tests = faults(config, test)
    classical = sequences.classical_detectors(train, config.latent_size, config.order, config.width)
    trained = experiment.sweep(
        config,
        "sequence_anomalies",
        functools.partial(build, config, splits.train.spec),
        splits,
        {"detector": (RECURRENT, DENSE)},
        schedules=[training.warmup_cosine(config.steps, warmup_steps=config.steps / 20)],
    )
    assess = functools.partial(assessed, config.alpha, calibration, test, tests)
    rows = experiment.described(
        trained, lambda model: {"faults": assess(detector_of(model, train))}
    )
    rows += [
        {"detector": name, "seed": 0, "status": "ok", "faults": assess(detector)}
        for name, detector in classical.items()
    ]
    by = ("fault", "detector", *experiment.varied(config, "learning_rate"))
    found = [(row, row.pop("faults", {})) for row in rows]
    rows = [{**row, "fault": fault, **own.get(fault, {})} for fault in tests for row, own in found]
    rows = experiment.numbered(rows, by)
    experiment.report(
        config,
        trained.out,
        f"Faults in {config.dataset}",
        rows,
        by,
        ("auroc", "location_auroc", "true_positive_rate", "false_positive_rate"),
        lambda: figures(rows, train, tests, classical, trained.result),
        trained.result,
        [
            f"Thresholds are of {len(calibration)} normal series, for false alarms of "
            f"{config.alpha:.0%}: nine of ten such thresholds come to {low:.1%} to {high:.1%} "
            "where series are drawn apart from each other; windows of one recording are not.",
            f"Half of the {2 * len(test)} test series have a fault: auroc tells these from those, "
            "location_auroc the steps inside of faults from others of the same series.",
        ],
    )


def load(config: Config) -> Splits:
    """Returns the parts of the data, as many of each as are asked for."""
    splits = experiment.load_splits(config, kinds=("sequence",))
    most = (config.examples, config.examples // 2, config.examples // 2)
    return Splits(
        *(data.subset(part, slice(0, max(n, 1))) for part, n in zip(splits, most, strict=True))
    )


def build(config: Config, spec: Mapping[str, Any], detector: str) -> Method:
    """Returns one of the autoencoders."""
    shape, size = spec["sequence"].shape, config.hidden_size
    if detector == RECURRENT:
        return methods.recurrent_autoencoder(
            nets.recurrent_encoder(config.latent_size, size, cell=config.cell, reverse=True),
            nets.recurrent_decoder(shape, size, cell=config.cell),
            teacher_forcing=config.teacher_forcing,
        )
    return methods.autoencoder(
        nets.mlp(config.latent_size, (2 * size,)),
        nets.mlp(shape, (2 * size,)),
        shown=methods.shown.entry("sequence"),
        target=lambda batch: batch["sequence"],
    )


def faults(config: Config, test: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the test series with each kind of fault, and bool [N, T], where it is."""
    made = {}
    for number, fault in enumerate(data.FAULTS):
        key = jax.random.key(number)
        x, inside = data.faulty(key, test, fault, config.length, config.level)
        made[fault] = np.asarray(x), np.asarray(inside)
    return made


def detector_of(model: Model, train: np.ndarray) -> sequences.Detector:
    """Returns the detector that a network's error is."""
    reconstruct = jax.jit(model.method.views.reconstruct)

    def residual(x: np.ndarray) -> np.ndarray:
        return np.asarray(reconstruct(model.state, {"sequence": x}, model.hparams)) - x

    return sequences.by_steps(residual, train)


def assessed(
    alpha: float,
    calibration: np.ndarray,
    test: np.ndarray,
    tests: Mapping[str, tuple[np.ndarray, np.ndarray]],
    detector: sequences.Detector,
) -> dict[str, dict[str, float]]:
    """Says of each kind of fault how well it is found, and where steps are scored, located."""
    threshold = metrics.conformal_threshold(detector.whole(calibration), alpha)
    normal, measured = detector.whole(test), {}
    anomalous = np.arange(2 * len(test)) >= len(test)
    for fault, (x, inside) in tests.items():
        scores = np.concatenate([normal, detector.whole(x)])
        measured[fault] = metrics.detection_quality(scores, anomalous, threshold)
        if detector.steps is not None:
            measured[fault]["location_auroc"] = metrics.location_auroc(detector.steps(x), inside)
    return measured


def figures(
    rows: Sequence[Mapping[str, Any]],
    train: np.ndarray,
    tests: Mapping[str, tuple[np.ndarray, np.ndarray]],
    classical: Mapping[str, sequences.Detector],
    result: training.Result,
) -> dict[str, Any]:
    """Draws how well faults are found and located, and one of each with what is made of it."""
    drawn = {}
    for column, words, caption in (
        ("auroc", "AUROC", "How well series with a fault are told from series without one."),
        ("location_auroc", "AUROC of steps", "How well the steps of a fault are told from others."),
    ):
        table: dict[str, dict[str, Any]] = {}
        for point in plots.aggregate(rows, ("detector", "fault"), [column]):
            if point[column].count:
                table.setdefault(point["detector"], {})[point["fault"]] = point[column]
        drawn[caption] = plots.dots(table, words, name="fault")
    models = experiment.firsts(result, "detector")
    shown = {name: detector_of(model, train) for name, model in models.items()}
    shown["autoregression"] = classical["autoregression"]
    examples = [(x[k % len(x)], inside[k % len(x)]) for k, (x, inside) in enumerate(tests.values())]
    x, inside = map(np.stack, zip(*examples, strict=True))
    scores = {name: detector.steps(x) for name, detector in shown.items()}
    made = {name: model.reconstruct({"sequence": x})[..., 0] for name, model in models.items()}
    drawn["A fault of each kind, what networks make of it, and how odd its steps are."] = (
        plots.located(x[..., 0], inside, made, scores, list(tests), "error² over its mean")
    )
    return drawn


if __name__ == "__main__":
    cli.main(sequence_anomalies, PRESETS, description=__doc__)
