"""Latents in a disc of negative curvature, for data that branch.

    python experiments/poincare_vae.py

Of noisy examples of a tree's nodes, a VAE of two latents has likelier test examples where its
latents lie in a Poincare disc than in the plane, which is the disc of curvature 0; and nodes lie in
the disc more nearly as far from each other as they are along the tree. Too much curvature takes
some of that back.

Reference: Mathieu et al. (2019), Continuous Hierarchical Representations with Poincare Variational
Auto-Encoders, section 5.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import POSITIVE, Batch, InputError, Method
from ae_jax.data.sources import trees
from ae_jax.experiment import Count, Model, Swept
from ae_jax.methods import observations, posteriors, priors
from ae_jax.probability import poincare

#: What latents follow, and the curvature c of where they lie: that of all discs is -1, as another
#: one is but another scale of the prior's.
POSTERIORS = {
    "normal": (posteriors.wrapped_normal, priors.wrapped_normal, 0.0),
    "wrapped": (posteriors.wrapped_normal, priors.wrapped_normal, 1.0),
    "riemannian": (posteriors.riemannian_normal, priors.riemannian_normal, 1.0),
}
TABLE = ("log_likelihood", "elbo", "kl", "distortion", "correlation")
#: The level whose nodes' descendants have a colour each.
COLOURED = 2


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "tree"
    """A tree, such as tree:3x4in20: three branches, four levels below the root, 20 dimensions."""
    curvature: Swept[Annotated[float, POSITIVE]] = (0.3, 1.0, 3.0)
    """c of discs of curvature -c in which the prior's scale is 1. They are trained side by side, as
    scales of sqrt(c) where the curvature is -1, which are the same discs; and the plane beside."""
    widths: tuple[Count, ...] = (64,)
    """Hidden layers of the encoder; the decoder's are as wide, the first of them distances from
    geodesics."""
    importance_samples: Count = 200
    """Of each test example's log-likelihood."""
    test_examples: Count = 1000
    learning_rate: Swept[float] = (3e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 3
    steps: Count = 2000


PRESETS = {
    "default": Config(),
    "smoke": Config(
        dataset="tree:2x2in6",
        curvature=(1.0,),
        widths=(8,),
        importance_samples=3,
        test_examples=20,
        seeds=1,
        steps=20,
    ),
    "paper": Config(
        dataset="tree:2x6in50",
        curvature=(0.1, 0.3, 0.8, 1.0, 1.2),
        widths=(200,),
        importance_samples=5000,
        learning_rate=(1e-3,),
        seeds=20,
        steps=100_000,
    ),
}


def build(config: Config, spec: Mapping[str, Any], posterior: str) -> Method:
    """Returns the VAE of one posterior, whose likelihood has the data's own noise."""
    if not config.widths:
        raise InputError("--widths has no layer: distances from geodesics are one")
    part, prior, curvature = POSTERIORS[posterior]
    (space,), first = spec["image"].shape, config.widths[-1]
    return methods.vae(
        nets.mlp(part(curvature).outputs(2), config.widths),
        nets.chain(nets.gyroplanes(first, curvature), nets.mlp(space, config.widths[-2::-1])),
        2,
        likelihood=observations.gaussian(trees.named(config.dataset).noise ** 2),
        posterior=part(curvature),
        prior=prior(curvature),
        importance_samples=config.importance_samples,
    )


def poincare_vae(config: Config) -> None:
    """Trains VAEs of the plane and of discs side by side, and reports them."""
    splits = experiment.load_splits(config, held_out=1000, kinds=("point",))
    tree = trees.named(config.dataset)
    scales = [curvature**0.5 for curvature in config.curvature]
    trained = experiment.sweep(
        config,
        "poincare_vae",
        functools.partial(build, config, splits.train.spec),
        splits,
        [
            {"posterior": "normal", "prior_scale": 1.0},
            {"posterior": ["wrapped", "riemannian"], "prior_scale": scales},
        ],
        schedules=[training.warmup_cosine(config.steps)],
        select="best",
    )
    test = data.head(splits.test, config.test_examples)
    rows = [
        {**row, "curvature": curvature_of(row)}
        for row in experiment.described(trained, lambda model: describe(model, test, tree))
    ]
    varied = experiment.varied(config, "learning_rate")
    experiment.report(
        config,
        trained.out,
        f"Poincare VAE on {config.dataset}",
        rows,
        ("posterior", "curvature", *varied),
        TABLE,
        lambda: figures(config, trained.result, rows, tree),
        trained.result,
        notes(config, rows, tree),
    )


def curvature_of(row: Mapping[str, Any]) -> float:
    """Returns c of the disc of curvature -c in which a lane's prior has a scale of 1."""
    return round(POSTERIORS[row["posterior"]][2] * row["prior_scale"] ** 2, 6)


def describe(model: Model, test: Batch, tree: trees.Tree) -> dict[str, float]:
    """Returns how likely test examples are, and how far nodes are from each other in the disc."""
    likelihood = jax.jit(model.method.views.log_likelihood)
    found = likelihood(jax.random.key(model.row["seed"]), model.state, test, model.hparams)
    places, curvature = nodes_in_disc(model, tree), POSTERIORS[model.row["posterior"]][2]
    apart = np.asarray(poincare.distance(places[:, None], places[None], curvature))
    return {"log_likelihood": float(jnp.mean(found))} | tree_fit(apart, tree)


def nodes_in_disc(model: Model, tree: trees.Tree) -> np.ndarray:
    """Returns the means of the posteriors of nodes without noise, [N, 2]."""
    places = jnp.asarray(tree.places, jnp.result_type(float))
    return np.asarray(model.encode({"image": places, "label": jnp.arange(len(places))}))


def tree_fit(apart: np.ndarray, tree: trees.Tree) -> dict[str, float]:
    """Returns how much distances of the nodes of a tree, [N, N], are like those along it."""
    from scipy.stats import spearmanr

    pairs, steps = np.triu_indices(len(apart), 1), tree.distances()
    varies = np.ptp(apart[pairs]) > 0
    return {
        "distortion": metrics.distortion(apart, steps),
        "correlation": float(spearmanr(apart[pairs], steps[pairs]).statistic) if varies else 0.0,
    }


def notes(config: Config, rows: Sequence[Mapping[str, Any]], tree: trees.Tree) -> list[str]:
    """Says what is measured, and how much likelier than in the plane test examples are."""
    own = tree_fit(np.linalg.norm(tree.places[:, None] - tree.places[None], axis=-1), tree)
    lines = [
        f"Examples are of {len(tree.places)} nodes, level 0 to {tree.level.max()}, and of noise "
        f"{tree.noise:.2f} in each of {tree.places.shape[1]} dimensions. A curvature of c is that "
        f"of a disc of curvature -c, 0 the plane. log_likelihood is by {config.importance_samples} "
        "samples of the posterior. Of nodes without noise: distortion "
        "is by which share distances of their posteriors' means, scaled, are off those along the "
        "tree, the mean over pairs; correlation, of ranks. Of the vectors themselves, in all "
        f"dimensions: {own['distortion']:.2f} and {own['correlation']:.2f}."
    ]
    by, found = ("learning_rate", "seed"), [row for row in rows if "distortion" in row]
    for value, words in (("log_likelihood", "nats"), ("distortion", "of distortion")):
        better = plots.gains(found, value, by, lambda row: row["posterior"] == "normal")
        for point in plots.aggregate(better, ("posterior", "curvature"), ["gain"]):
            lines.append(
                f"{point['posterior']}, curvature {point['curvature']:g}, less the plane: "
                f"{point['gain']:+.2f} {words} (seeds: {point['gain'].count})."
            )
    return lines


def figures(
    config: Config, result: training.Result, rows: Sequence[Mapping[str, Any]], tree: trees.Tree
) -> dict[str, Any]:
    """Draws what is measured against the curvature, and the tree in every disc."""
    drawn = {}
    for value, words in (
        ("log_likelihood", "Log-likelihood of test examples (nats)"),
        ("distortion", "By which share distances of nodes are off those along the tree"),
    ):
        curves = plots.mean_curves(rows, "curvature", value, lambda row: row["posterior"])
        lines = plots.lines(curves, "curvature", value.replace("_", "-"))
        drawn[f"{words}, against the curvature; the plane's is 0."] = lines
    lanes = experiment.firsts(result, lambda row: (row["posterior"], curvature_of(row)))
    discs = {
        f"{posterior}, {curvature:g}" if curvature else "plane": disc(lane, tree)
        for (posterior, curvature), lane in lanes.items()
    }
    drawn[
        "The tree in the plane, and in discs by posterior and curvature: nodes without noise, "
        f"joined to their parents by geodesics; a colour for each node of level {COLOURED} and "
        "what descends from it."
    ] = plots.paths(discs)
    return drawn


def disc(model: Model, tree: trees.Tree) -> dict[str, np.ndarray]:
    """Returns a tree's edges as lines [T, 2], broken between them, by what they are part of."""
    places, curvature = nodes_in_disc(model, tree), POSTERIORS[model.row["posterior"]][2]
    share = jnp.linspace(0, 1, 20)[:, None]
    ends = places[tree.parent[1:]][:, None], places[1:][:, None]
    edges = np.asarray(poincare.geodesic(*ends, share[None], curvature))
    parts = {name: [] for name in ("trunk", *(f"branch {i + 1}" for i in range(9)))}
    roots = list(np.flatnonzero(tree.level == min(COLOURED, tree.level.max())))
    for node, edge in enumerate(edges, 1):
        above = node
        while tree.level[above] > COLOURED:
            above = tree.parent[above]
        own = roots.index(above) % 9 + 1 if above in roots else 0
        parts["trunk" if not own else f"branch {own}"].append(edge)
    gap = np.full((1, 2), np.nan)
    lines = {
        name: np.concatenate([x for edge in found for x in (edge, gap)])
        for name, found in parts.items()
        if found
    }
    angle = np.linspace(0, 2 * np.pi, 200)
    boundary = np.concatenate([gap, np.stack([np.cos(angle), np.sin(angle)], axis=1)])
    return lines | ({"boundary": boundary} if curvature else {})


if __name__ == "__main__":
    cli.main(poincare_vae, PRESETS, description=__doc__)
