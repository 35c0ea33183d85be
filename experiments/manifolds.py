"""Maps of what lies on a surface: classical ones beside autoencoders and parametric t-SNE.

    python experiments/manifolds.py

Of digits t-SNE keeps neighbours best, and takes no new ones; a network that lowers its loss loses
some, and of new digits keeps more than PCA, Isomap, LLE and autoencoders do. Autoencoders of two
latents, trained as shortly as here, keep less than PCA. Images have as many dimensions as factors,
estimated from their neighbours, and about twice as many with hard edges. Encoders' planes are far
from the true tangent planes of images, those of contractive ones less so, decoders' nearer, and
principal components of neighbours much nearer than all of them. Of few points of a roll
(`--dataset swiss_roll3d`) graphs have edges across its layers: take some thousands.

Reference: Van der Maaten (2009), Learning a Parametric Embedding by Preserving Local Structure;
Rifai et al. (2011), The Manifold Tangent Classifier; Donoho and Grimes (2005), Image manifolds
which are isometric to Euclidean space.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from ae_jax import cli, data, experiment, methods, nets, plots, training
from ae_jax.core import NOT_NEGATIVE, Domain, InputError, Method
from ae_jax.experiment import Count, Model, Splits, Swept, maps
from ae_jax.methods import penalties

AUTOENCODER, CONTRACTIVE = "autoencoder", "contractive"
WIDE, NETWORK = "t-SNE of codes", "parametric t-SNE"
TRAINED = AUTOENCODER, CONTRACTIVE, WIDE, NETWORK
ANGLES = "encoder_angle", "decoder_angle", "neighbour_angle"
MEASURES = (
    *("trust", "continuity", "knn", "distances", "new_trust", "new_knn", "dimension"),
    *ANGLES,
)


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Every data set is mapped in every way."""

    dataset: Swept[str] = ("digits", "discs2")
    """Data sets that ae_jax.data knows, with classes or coordinates."""
    points: Count = 500
    new_points: Count = 170
    """Of the test split, for maps that take new points."""
    neighbours: Annotated[int, Domain(low=3, whole=True)] = 7
    """Of Isomap, LLE and all measures."""
    perplexity: float = 30.0
    """Of t-SNE among all points, and of parametric t-SNE within a batch."""
    latent_size: Annotated[int, Domain(low=2, whole=True)] = 16
    """Of the autoencoder whose codes t-SNE maps; of others it is 2."""
    contractive_weight: Annotated[float, NOT_NEGATIVE] = 1e-2
    """For each number of an example, over all of which errors are summed."""
    widths: tuple[Count, ...] = (64, 32)
    """Hidden layers of the encoders, reversed in decoders; not swept."""
    counted: Swept[str] = ("discs1", "discs2", "discs3", "swiss_roll3d", "sphere:2in20")
    """Surfaces whose dimension is estimated; of images also with hard edges."""
    counted_points: Count = 5000
    learning_rate: Swept[float] = (3e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 5
    steps: Count = 500
    batch_size: Count = 128


PRESETS = {
    "default": Config(),
    "smoke": Config(
        dataset=("discs2",), points=60, new_points=30, perplexity=5.0, latent_size=3, widths=(4,),
        counted=("discs1",), counted_points=100, seeds=1, steps=3, batch_size=16,
    ),
    # Van der Maaten (2009), section 4: 500-500-2000 units, batches of 5000
    "paper": Config(
        dataset=("mnist",), points=10_000, new_points=10_000, latent_size=30,
        widths=(500, 500, 2000), steps=20_000, batch_size=5000,
    ),
}  # fmt: skip


def manifolds(config: Config) -> None:
    """Maps every data set in every way, and estimates dimensions."""
    check(config)
    counts = config.points, config.new_points, config.neighbours
    given = {name: maps.points(config, name, *counts) for name in config.dataset}
    places: dict[str, dict[str, Any]] = {name: {} for name in given}
    lanes, schedules = {"map": TRAINED}, [training.warmup_cosine(config.steps)]
    tasks = {}
    for name, (train, test) in given.items():
        splits = Splits(*(data.stored(part.x) for part in (train, test, test)))
        method = functools.partial(build, config, splits.train.spec)
        every = experiment.lanes(config, lanes)
        experiment.check(method, every, schedules, splits, config.batch_size)
        tasks[name] = method, splits, lanes
    parts = []
    for at, (name, task) in enumerate(tasks.items()):
        part = f"{at}-" + re.sub(r"\W+", "-", name)[-30:]
        trained = experiment.sweep(config, "manifolds", *task, part=part, schedules=schedules)
        parts.append(({"dataset": name}, trained))
    by = ("dataset", "map", *experiment.varied(config, "learning_rate"))
    rows = of_classical(config, given, places) + experiment.side_by_side(
        parts, lambda model: of_model(config, model, given, places), by
    )
    rows = experiment.numbered(rows, by)
    counts = config.counted_points, config.neighbours
    estimates = {name: maps.dimensions(name, *counts) for name in config.counted}
    experiment.report(
        config,
        cli.directory(config, "manifolds"),
        "Maps of manifolds",
        rows,
        by,
        MEASURES,
        lambda: figures(rows, places, estimates),
        [trained.result for _, trained in parts],
        [
            "knn: the share whose class the five nearest on the map tell. distances: rank "
            "correlation with those along the data. Angles to true planes in degrees.",
            *maps.compared(rows, TRAINED),
            *(
                f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in own.items())
                for name, own in estimates.items()
            ),
        ],
    )


def check(config: Config) -> None:
    """Refuses what would be refused after training."""
    if config.perplexity >= config.batch_size - 1:
        raise InputError(
            f"a perplexity of {config.perplexity:g} takes more neighbours than a batch of "
            f"{config.batch_size} has: lower it, or take larger batches"
        )
    if config.counted_points <= config.neighbours:
        raise InputError(
            f"{config.counted_points} counted points do not have {config.neighbours} neighbours: "
            "take more"
        )
    for name in config.counted:
        data.manifold(name)


def build(config: Config, spec: Mapping[str, Any], map: str) -> Method:
    """Returns an autoencoder, or the encoder that is trained on t-SNE's loss."""
    size = config.latent_size if map == WIDE else 2
    encoder = nets.mlp(size, config.widths, "tanh")
    if map == NETWORK:
        return methods.parametric_tsne(encoder, size, perplexity=config.perplexity)
    weight = config.contractive_weight * math.prod(spec["image"].shape)
    penalty = penalties.contractive(weight, "hutchinson")
    return methods.autoencoder(
        encoder,
        nets.mlp(spec["image"].shape, config.widths[::-1], "tanh"),
        penalties=[penalty] if map == CONTRACTIVE else [],
    )


def of_classical(
    config: Config, given: Mapping[str, Any], places: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """What classical maps keep, and what the data tell without a map."""
    rows, near = [], config.neighbours
    for name, (train, test) in given.items():
        for way, (y, new) in maps.classical(train, test, near, config.perplexity).items():
            found = maps.kept(train, test, y, new, near)
            if way != maps.DATA:
                places[name][way] = y, train.label
            else:
                found |= maps.dimension(y, near)
                if train.planes is not None:
                    planes = maps.neighbour_planes(train, near)
                    found["neighbour_angle"] = maps.angle(planes, train.planes)
            rows.append({"dataset": name, "map": way, "seed": 0, "status": "ok", **found})
    return rows


def of_model(
    config: Config, model: Model, given: Mapping[str, Any], places: Mapping[str, dict[str, Any]]
) -> dict[str, float]:
    """What a trained encoder's map keeps, of new points as well, and its planes."""
    name, way, near = model.row["dataset"], model.row["map"], config.neighbours
    train, test = given[name]
    y, new = maps.codes(model, train.x), maps.codes(model, test.x)
    found = {}
    if train.planes is not None and way != WIDE:
        planes = maps.model_planes(model, train, y)
        found = {f"{side}_angle": maps.angle(own, train.planes) for side, own in planes.items()}
    if way == WIDE:
        found |= maps.dimension(y, near)
        y, new = maps.tsne(y, config.perplexity, model.row["seed"]), None
    places[name].setdefault(way, (y, train.label))
    if way == NETWORK:
        places[name].setdefault(f"{NETWORK}, new points", (new, test.label))
    return found | maps.kept(train, test, y, new, near)


def figures(
    rows: Sequence[Mapping[str, Any]],
    places: Mapping[str, Mapping[str, Any]],
    estimates: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Draws the maps side by side, what they keep, angles and dimensions."""
    kept = {
        "trust": "trustworthiness",
        "new_trust": "trustworthiness, new points",
        "continuity": "continuity",
    }
    angles = dict(zip(ANGLES, ("of encoders", "of decoders", "of neighbours"), strict=True))
    drawn = {}
    for name, own in places.items():
        if all(len(np.unique(label)) <= plots.MOST_CLASSES for _, label in own.values()):
            drawn[
                f"Maps of {name}, each by its first seed. Colours are classes, or tenths of the "
                "first coordinate."
            ] = plots.scatters(own)
        found = experiment.where(rows, dataset=name)
        table = plots.mean_table(found, lambda row: row["map"], kept)
        del table[maps.DATA]
        drawn[f"What maps of {name} keep of neighbours."] = plots.dots(
            table, "neighbours kept", heading=name
        )
        found = [row for row in found if not angles.keys().isdisjoint(row)]
        if found:
            table = plots.mean_table(found, lambda row: row["map"], angles)
            drawn[f"Angles between planes and the true tangent planes of {name}."] = plots.dots(
                table, "angle (degrees)", name="planes", heading=name
            )
    table = {
        name: {key: value for key, value in own.items() if "TwoNN" not in key}
        for name, own in estimates.items()
    }
    drawn["Dimensions estimated from neighbours."] = plots.dots(table, "dimension")
    return drawn


if __name__ == "__main__":
    cli.main(manifolds, PRESETS, description=__doc__)
