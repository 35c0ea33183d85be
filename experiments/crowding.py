"""Why a plane has no room: balls in cubes, distances that are all alike, and what maps lose.

    python experiments/crowding.py

Of a cube the ball inside it fills next to nothing, and distances of its points differ the less the
more dimensions it has. Points at one distance from each other do not fit into a plane, and maps of
cubes lose neighbours: t-SNE keeps more of those that it shows than PCA and Isomap do.

Reference: Van der Maaten and Hinton (2008), Visualizing Data using t-SNE, on the crowding problem.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from ae_jax import cli, data, experiment, metrics, plots
from ae_jax.core import Domain, InputError
from ae_jax.experiment import Count, Swept

PERPLEXITY = 30.0
#: What a plane can be made of, and points that have a distance.
TwoOrMore = Annotated[int, Domain(2, whole=True)]
MEASURES = "ball_share", "spread", "expected_spread", "trust", "continuity"


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Numbers of dimensions, and points of each cube."""

    dimensions: Swept[TwoOrMore] = (2, 3, 5, 10, 20)
    points: Count = 400
    draws: Count = 3
    neighbours: Count = 10
    simplex: Swept[TwoOrMore] = (3, 4, 5, 7, 8, 10, 15, 20, 30)
    """Points at one distance from each other."""


PRESETS = {
    "default": Config(),
    "smoke": Config(dimensions=(2, 3), points=100, draws=1, simplex=(3, 4)),
    "paper": Config(dimensions=(2, 3, 5, 10, 20, 50, 100), points=2000, draws=10),
}


def crowding(config: Config) -> None:
    """Maps cubes, and reports what is lost beside what is known."""
    least = int(max(2 * config.neighbours, PERPLEXITY)) + 1
    if config.points < least:
        raise InputError(
            f"{config.points} points are too few for {config.neighbours} neighbours and t-SNE's "
            f"perplexity of {PERPLEXITY:g}: take {least} or more"
        )
    with experiment.claimed(config, "crowding") as out:
        rows = [
            {**common, "map": name, **kept(config, x, y)}
            for dimension in config.dimensions
            for draw in range(config.draws)
            for x, common in [cube(config, dimension, draw)]
            for name, y in maps(config, x, draw).items()
        ]
        stresses = {points: simplex(points) for points in config.simplex}
        listed = ", ".join(f"{n} {value:.4f}" for n, value in stresses.items())
        experiment.report(
            config,
            out,
            "The crowding problem",
            experiment.numbered(rows, ("dimension", "map")),
            ("dimension", "map"),
            MEASURES,
            lambda: figures(config, rows, stresses),
            notes=[
                "spread: deviation of squared distances over their mean, sqrt(7 / 5d) expected.",
                f"Stress of points at one distance from each other, in a plane: {listed}.",
            ],
        )


def cube(config: Config, dimension: int, draw: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Points of a cube, and what is known of it."""
    from scipy.spatial.distance import pdist

    whole = data.load(f"cube:{dimension}in{dimension}")
    first = draw * config.points
    x = data.all_images(data.subset(whole, slice(first, first + config.points)))
    squares = pdist(x.astype(np.float64), "sqeuclidean")
    return x, {
        **{"dimension": dimension, "seed": draw, "status": "ok"},
        "ball_share": float(np.exp(metrics.log_ball_share(dimension))),
        "spread": float(squares.std() / squares.mean()),
        # of two uniform numbers (u - v)^2 has mean 1/6 and variance 7/180
        "expected_spread": float(np.sqrt(7 / (5 * dimension))),
    }


def maps(config: Config, x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Maps points to a plane."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE, Isomap

    return {
        "PCA": PCA(2).fit_transform(x),
        "Isomap": Isomap(n_neighbors=config.neighbours).fit_transform(x),
        "t-SNE": TSNE(perplexity=PERPLEXITY, init="pca", random_state=seed).fit_transform(x),
    }


def kept(config: Config, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """What a map keeps of neighbours."""
    near = config.neighbours
    return {
        "trust": metrics.trustworthiness(x, y, near),
        "continuity": metrics.continuity(x, y, near),
    }


def simplex(points: int) -> float:
    """The least stress in a plane that majorisation finds, from several starts and a polygon."""
    from sklearn.manifold import smacof

    apart = 1.0 - np.eye(points)
    turn = 2 * np.pi * np.arange(points - 1) / (points - 1)
    middle = np.vstack([[0, 0], np.stack([np.cos(turn), np.sin(turn)], axis=1)])
    random = np.random.default_rng(0)
    starts = [middle, *(random.normal(size=(points, 2)) for _ in range(8))]
    found = [
        metrics.stress(np.eye(points), smacof(apart, init=start, n_init=1, max_iter=2000)[0])
        for start in starts
    ]
    return min(found)


def figures(
    config: Config, rows: Sequence[Mapping[str, Any]], stresses: Mapping[int, float]
) -> dict[str, Any]:
    """Draws balls, distances, stress, and what maps keep, against dimensions."""
    many = np.arange(1, max(config.dimensions) + 1)
    share = [np.exp(metrics.log_ball_share(int(d))) for d in many]
    drawn = {
        "The share of a cube that the ball inside it fills.": plots.lines(
            {"exact": (many, share, None)}, "dimensions d", "share", log_y=True
        ),
    }
    spread = plots.mean_curves(
        experiment.where(rows, map="PCA"), "dimension", "spread", lambda row: "points"
    )
    expected = np.sqrt(7 / (5 * many))
    drawn["How much squared distances in a cube differ, over their mean."] = plots.lines(
        spread,
        "dimensions d",
        "deviation over mean",
        formulas={"√(7 / 5d)": (many, expected)},
    )
    points = np.array(sorted(stresses))
    drawn["Stress of points at one distance from each other, in a plane and on a line."] = (
        plots.lines(
            {"in a plane": (points, [stresses[n] for n in points], None)},
            "points",
            "stress",
            formulas={
                name: (points, [metrics.simplex_stress(int(n), size) for n in points])
                for name, size in (("on a line", 1), ("polygon", 2))
            },
        )
    )
    for name, words in (("trust", "trustworthiness"), ("continuity", "continuity")):
        drawn[f"The {words} of maps of cubes to a plane."] = plots.lines(
            plots.mean_curves(rows, "dimension", name, lambda row: row["map"]),
            "dimensions d",
            words,
        )
    return drawn


if __name__ == "__main__":
    cli.main(crowding, PRESETS)
