"""Maps of what lies on a surface: classical ones beside autoencoders and parametric t-SNE.

    python experiments/manifolds.py

t-SNE keeps neighbours best, and takes no new point; a network that lowers its loss does. How many
dimensions images have is read from their neighbours, unless edges are hard, which doubles it. How
far an encoder's, and a decoder's, planes are from the true tangent planes is told by their angles.

Reference: Van der Maaten (2009), Learning a Parametric Embedding by Preserving Local Structure;
Rifai et al. (2011), The Manifold Tangent Classifier; Donoho and Grimes (2005), Image manifolds
which are isometric to Euclidean space.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import InputError, Method
from ae_jax.experiment import Count, Model, Splits, Swept, maps
from ae_jax.methods import penalties

NETWORK = "parametric t-SNE"
MEASURES = (
    *("trust", "continuity", "knn", "distances", "new_trust", "new_knn", "dimension"),
    *("encoder_angle", "decoder_angle"),
)


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    datasets: tuple[str, ...] = ("digits", "discs2", "swiss_roll3d")
    """What is mapped, in place of `dataset`: each in every way."""
    points: Count = 600
    new_points: Count = 170
    """Of the test split, for maps that take new points."""
    neighbours: Count = 10
    latent_size: Count = 16
    """Of the wide autoencoder, whose codes t-SNE maps."""
    contractive_weight: Swept[float] = (0.0, 0.01)
    """Of autoencoders with two latents."""
    perplexity: float = 30.0
    """Of t-SNE among all points, and of parametric t-SNE within a batch."""
    widths: tuple[Count, ...] = (128, 64)
    """Hidden layers of the encoders, reversed in decoders; not swept."""
    counted: tuple[str, ...] = ("discs1", "discs2", "discs3", "swiss_roll3d", "sphere:2in20")
    """Surfaces whose dimension is estimated; of discs also with hard edges."""
    counted_points: Count = 5000
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 5
    steps: Count = 1000
    batch_size: Count = 128


PRESETS = {
    "default": Config(),
    "smoke": Config(
        datasets=("discs2",), points=60, new_points=30, latent_size=3, widths=(4,), seeds=1,
        perplexity=5.0, counted=("discs1",), counted_points=100, steps=3, batch_size=16,
    ),
    # Van der Maaten (2009), section 4: 500-500-2000 units, batches of 5000
    "paper": Config(
        datasets=("mnist",), points=10_000, new_points=10_000, widths=(500, 500, 2000),
        latent_size=30, steps=20_000, batch_size=5000,
    ),
}  # fmt: skip


def manifolds(config: Config) -> None:
    """Maps every data set in every way, and estimates dimensions."""
    if config.perplexity > config.batch_size - 2:
        raise InputError(f"a perplexity of {config.perplexity:g} takes larger batches")
    if min(config.points, config.new_points) <= 2 * config.neighbours:
        raise InputError("points and new_points are to be more than twice the neighbours")
    given = {
        name: maps.points(config, name, config.points, config.new_points)
        for name in config.datasets
    }
    parts = [
        part
        for name, (train, test) in given.items()
        for part in train_all(config, name, train, test)
    ]
    places: dict[str, dict[str, Any]] = {name: {} for name in given}
    rows = [
        {"dataset": name, "map": way, "seed": 0, "status": "ok", **found}
        for name, own in given.items()
        for way, found in maps.classical(
            *own, places[name], config.neighbours, config.perplexity
        ).items()
    ]
    by = ("dataset", "map", *experiment.varied(config, "learning_rate"))

    def describe(model: Model) -> dict[str, Any]:
        name = model.row["dataset"]
        return of_model(config, model, *given[name], places[name])

    rows += [{**row, "map": called(row)} for row in experiment.side_by_side(parts, describe, by)]
    counts = {name: dimensions(config, name) for name in config.counted}
    experiment.report(
        config,
        parts[0][1].out,
        "Maps of manifolds",
        experiment.numbered(rows, by),
        by,
        MEASURES,
        lambda: figures(rows, places, counts),
        [sweep.result for _, sweep in parts],
        [
            f"distances: rank correlation of those along the data, over {config.neighbours} "
            "neighbours, with those on the map. knn: accuracy of 5 neighbours on the map, of "
            "classes, or of tenths of the first coordinate. Angles in degrees, the larger one of "
            "two. dimension: estimated of the map, for codes before t-SNE of those.",
            *(
                f"{name}: " + ", ".join(f"{k} {v:.2f}" for k, v in own.items())
                for name, own in counts.items()
            ),
        ],
    )


def train_all(config: Config, name: str, train: maps.Points, test: maps.Points) -> list[Any]:
    """Trains autoencoders of two latents and of more, and parametric t-SNE."""
    splits = Splits(*(data.stored(points.x) for points in (train, test, test)))
    kinds = {
        "narrow": (2, {"contractive_weight": config.contractive_weight}),
        "wide": (config.latent_size, {}),
        NETWORK: (2, {"perplexity": config.perplexity}),
    }
    return [
        ({"dataset": name, "kind": kind}, experiment.sweep(
            config,
            "manifolds",
            functools.partial(build, config, train.x.shape[1:], kind, size),
            splits,
            values,
            part=f"{name}-{kind}".replace(" ", "-").replace(":", "-"),
            schedules=[training.warmup_cosine(config.steps)],
        ))
        for kind, (size, values) in kinds.items()
    ]  # fmt: skip


def build(config: Config, shape: Sequence[int], kind: str, size: int) -> Method:
    """Returns an autoencoder, or the encoder that is trained on t-SNE's loss."""
    encoder = nets.mlp(size, config.widths, "tanh")
    if kind == NETWORK:
        return methods.parametric_tsne(encoder, size)
    return methods.autoencoder(
        encoder,
        nets.mlp(shape, config.widths[::-1], "tanh"),
        penalties=[penalties.contractive(0.0, "hutchinson")] if kind == "narrow" else [],
    )


def called(row: Mapping[str, Any]) -> str:
    """Returns what a lane's map is called."""
    if row["kind"] == "narrow":
        weight = row["contractive_weight"]
        return f"contractive {weight:g}" if weight else "autoencoder"
    return NETWORK if row["kind"] == NETWORK else "autoencoder, t-SNE"


def of_model(
    config: Config,
    model: Model,
    dataset: str,
    train: maps.Points,
    test: maps.Points,
    places: dict[str, Any],
) -> dict[str, float]:
    """What a trained encoder's map keeps, of new points as well, and its tangent planes."""
    dataset = model.row["dataset"]
    codes = np.asarray(model.encode({"image": train.x}))
    wide = model.row["kind"] == "wide"
    y = maps.tsne(codes, config.perplexity, model.row["seed"]) if wide else codes
    places.setdefault(called(model.row), (y, train.label))
    found = maps.kept(train, y, config.neighbours)
    if wide:
        found["dimension"] = metrics.intrinsic_dimension(codes, config.neighbours)
    else:
        new = np.asarray(model.encode({"image": test.x}))
        found |= maps.kept_of_new(train, test, y, new, config.neighbours)
    if train.coordinates is None or data.manifold(dataset).dimension != 2:
        return found
    some = slice(0, 100)
    true = metrics.tangent_planes(data.manifold(dataset).embed, train.coordinates[some], 2)
    planes = {
        "encoder_angle": metrics.tangent_planes(
            lambda x: model.encode({"image": x[None]})[0], train.x[some], 2, "input"
        )
    }
    if model.method.views.decode:
        planes["decoder_angle"] = metrics.tangent_planes(
            lambda z: model.decode(z[None])[0], codes[some], 2
        )
    angles = {name: metrics.tangent_angles(own, true)[:, -1] for name, own in planes.items()}
    return found | {name: float(np.degrees(own).mean()) for name, own in angles.items()}


def dimensions(config: Config, name: str) -> dict[str, float]:
    """Estimates the dimension of a surface, and of its images with hard edges."""
    own = data.subset(data.load(name), slice(0, config.counted_points))
    kinds = {"": own}
    if len(own.spec["image"].shape) > 1:
        kinds["binary "] = data.binarized(own)
    found = {"dimension": float(data.manifold(name).dimension)}
    for kind, part in kinds.items():
        x = np.unique(maps.flat(data.all_images(part)), axis=0)  # hard edges make copies
        found[f"{kind}estimate"] = metrics.intrinsic_dimension(x, config.neighbours)
        found[f"{kind}TwoNN"] = metrics.two_nn_dimension(x)
    return found


def listed(numbers: Mapping[str, float]) -> str:
    """Names and numbers in a line."""
    return ", ".join(f"{name} {number:.2f}" for name, number in numbers.items())


def figures(
    rows: Sequence[Mapping[str, Any]],
    places: Mapping[str, Mapping[str, Any]],
    counts: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Draws the maps side by side, what they keep, and dimensions."""
    drawn = {
        f"Maps of {name}, each by its first seed; colours are classes, or tenths of the first "
        "coordinate.": plots.scatters(own)
        for name, own in places.items()
    }
    words = {"trust": "trustworthiness", "continuity": "continuity", "new_trust": "on new points"}
    for name in places:
        own = experiment.where(rows, dataset=name)
        table = plots.mean_table(own, lambda row: row["map"], words)
        drawn[f"What maps of {name} keep of neighbours."] = plots.dots(table, "share", heading=name)
    table = {
        name: {key: value for key, value in own.items() if "TwoNN" not in key}
        for name, own in counts.items()
    }
    drawn["Dimensions estimated from neighbours."] = plots.dots(table, "dimension")
    return drawn


if __name__ == "__main__":
    cli.main(manifolds, PRESETS)
