"""Latents on a sphere beside latents in a plane, at equal degrees of freedom.

    python experiments/hyperspherical_vae.py

With two degrees of freedom the sphere has binarised test digits likelier than normal latents, and
neighbours of their class more often; with many it is the other way round. Dimensions that are of no
use collapse to the normal prior one by one, where on the sphere one concentration serves all.

Reference: Davidson et al. (2018), Hyperspherical Variational Auto-Encoders; De Cao and Aziz (2020),
The Power Spherical distribution.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Array, Batch, Domain, Method
from ae_jax.experiment import Count, Model, Outcome, Splits, Swept
from ae_jax.methods import posteriors, priors

POSTERIORS = {
    "normal": posteriors.gaussian,
    "von_mises_fisher": posteriors.von_mises_fisher,
    "power_spherical": posteriors.power_spherical,
}
PRIORS = {"plane": priors.normal, "sphere": priors.sphere}
NEIGHBOURS = 5
BOUNDS = ("log_likelihood", "importance_error", "elbo", "reconstruction", "kl")
TABLE = (*BOUNDS, "dimensions_used", "knn")


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    posterior: Swept[Literal[tuple(POSTERIORS)]] = tuple(POSTERIORS)
    latent_size: Swept[Count] = (2, 5, 20)
    """Degrees of freedom: a sphere lies in one dimension more. Each is compiled on its own."""
    widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of the encoder; the decoder's are the same, backwards."""
    importance_samples: Count = 500
    """Of each test image's log-likelihood."""
    test_images: Count = 1000
    """How many are measured, at most."""
    labels: Annotated[int, Domain(NEIGHBOURS, whole=True)] = 100
    """How many training images a classifier by nearest neighbours sees with their labels."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 2
    steps: Count = 2000
    """The best state by the validation loss is kept."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        posterior=("normal", "power_spherical"),
        latent_size=(2,),
        widths=(16,),
        importance_samples=5,
        test_images=40,
        seeds=2,
        steps=40,
    ),
    # Davidson et al. (2018), table 1: 10 runs, until 50 epochs bring nothing.
    "paper": Config(
        dataset="mnist",
        latent_size=(2, 5, 10, 20, 40),
        widths=(256, 128),
        test_images=10_000,
        learning_rate=(1e-3,),
        seeds=10,
        steps=200_000,
    ),
}


def build(config: Config, spec: Mapping[str, Any], posterior: str, latent_size: int) -> Method:
    """Returns the VAE of binary images that are drawn anew at every step."""
    return methods.prepared(vae(config, spec, posterior, latent_size), methods.binarized)


def vae(config: Config, spec: Mapping[str, Any], posterior: str, latent_size: int) -> Method:
    """Returns the VAE of images as they are, whose likelihood has one importance sample."""
    part = POSTERIORS[posterior]()
    dimensions = latent_size + (part.support == "sphere")
    return methods.vae(
        nets.mlp(part.outputs(dimensions), config.widths),
        nets.mlp(spec["image"].shape, config.widths[::-1]),
        dimensions,
        posterior=part,
        prior=PRIORS[part.support](),
        importance_samples=1,
    )


def labelled(config: Config, splits: Splits) -> list[Batch]:
    """Returns the training images whose labels each seed sees, where there are labels."""
    if "label" not in splits.train.spec:
        return []
    orders, _ = experiment.label_orders(config, splits, [config.labels])
    return [splits.train.fetch(splits.train.arrays, order) for order in orders]


def describe(model: Model, outcome: Outcome) -> dict[str, float]:
    """Returns how likely test images are, and what the means of the posteriors are good for."""
    config, row = outcome.config, model.row
    test = data.head(outcome.splits.test, config.test_images)
    drawn = methods.binarized(jax.random.key(0), test)["image"]
    own = config, row["posterior"], row["latent_size"]
    weights = log_weights(*own, jax.random.key(row["seed"]), model.state, drawn, model.hparams)
    found = metrics.importance_log_likelihood(weights)
    latents = np.asarray(model.encode(test), np.float64)
    columns = {
        "log_likelihood": float(jnp.mean(found.log_likelihood)),
        "importance_error": float(jnp.sqrt(jnp.sum(found.error**2))) / len(drawn),
        "dimensions_used": effective_dimensions(latents),
    }
    for seen in outcome.reference[row["seed"] : row["seed"] + 1]:
        known = model.encode(seen), seen["label"]
        right = metrics.knn_accuracy(*known, latents, test["label"], neighbours=NEIGHBOURS)
        columns["knn"] = 100 * right
    return columns


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def log_weights(
    config: Config, posterior: str, latent_size: int, key: Array, state: Any, x: Array, hparams: Any
) -> Array:
    """Returns log p(x, z) - log q(z | x) of draws of z, [K, N]."""
    view = vae(config, {"image": x[0]}, posterior, latent_size).views.log_likelihood
    keys = jax.random.split(key, config.importance_samples)
    return jax.lax.map(lambda key: view(key, state, {"image": x}, hparams), keys)


def effective_dimensions(latents: np.ndarray) -> float:
    """Returns (sum v)^2 / sum v^2 of the variances v along principal axes of latents [N, Z]."""
    covariance = np.cov(latents, rowvar=False, ddof=0).reshape(latents.shape[1], -1)
    return float(np.trace(covariance) ** 2 / (np.sum(covariance**2) or 1.0))


def hammer(points: Array) -> np.ndarray:
    """Returns the sphere in space [N, 3] as a plane [N, 2] where areas are what they are."""
    x, y, z = np.asarray(points, np.float64).T
    half, level = np.arctan2(y, x) / 2, np.sqrt(np.maximum(1 - z**2, 0))
    scale = math.sqrt(2) / np.sqrt(1 + level * np.cos(half))
    return np.stack([2 * level * np.sin(half), z], axis=1) * scale[:, None]


def notes(outcome: Outcome) -> list[str]:
    """Says what is compared, and how much more likely the sphere has test images."""
    config, rows = outcome.config, outcome.rows
    lines = [
        "Degrees of freedom are equal: a sphere's latents have one number more, and length 1. "
        "log_likelihood is of test images of zeros and ones, drawn once, by "
        f"{config.importance_samples} samples of the posterior; importance_error is the standard "
        "error that so few samples leave to its mean, over these images. dimensions_used is the "
        "participation ratio of the means of the posteriors, at most the dimensions that latents "
        "lie in; knn the test images (%) that "
        f"{NEIGHBOURS} nearest neighbours among {config.labels} labelled ones are right about."
    ]
    found = [row for row in rows if "log_likelihood" in row]
    by = ("latent_size", "learning_rate", "seed")
    better = plots.gains(found, "log_likelihood", by, lambda row: row["posterior"] == "normal")
    for point in plots.aggregate(better, ("latent_size", "posterior", "learning_rate"), ["gain"]):
        lines.append(
            f"{point['latent_size']} degrees of freedom, {words(point['posterior'])} less normal: "
            f"{point['gain']:+.2f} nats (seeds: {point['gain'].count})."
        )
    return lines


def words(posterior: str) -> str:
    """Returns what a posterior is called."""
    return {"von_mises_fisher": "von Mises-Fisher"}.get(posterior, posterior.replace("_", " "))


def figures(outcome: Outcome) -> dict[str, Any]:
    """Draws what is measured against the latent size, two-dimensional latents and samples."""
    rows = [{**row, "posterior": words(row["posterior"])} for row in outcome.rows]
    drawn = {
        "Log-likelihood of test images against degrees of freedom.": plots.against(
            rows, "latent_size", "log_likelihood"
        ),
        "KL divergence from the prior: what the posterior says of an image.": plots.against(
            rows, "latent_size", "kl"
        ),
        "Dimensions over which the means of the posteriors spread (participation ratio): those of "
        "normal latents that collapse are not among them.": plots.against(
            rows, "latent_size", "dimensions_used"
        ),
    }
    if outcome.reference:
        drawn[
            f"Test images (%) that {NEIGHBOURS} of {outcome.config.labels} labelled images, the "
            "nearest ones, are right about."
        ] = plots.against(rows, "latent_size", "knn")
    lanes = experiment.firsts(outcome.result, lambda row: (row["posterior"], row["latent_size"]))
    test = data.head(outcome.splits.test, 1000)
    planes = {}
    for (posterior, size), lane in lanes.items():
        if size == 2 and "label" in test:
            latents = np.asarray(lane.encode(test))
            planes[words(posterior)] = latents if posterior == "normal" else hammer(latents)
    if planes and len(np.unique(test["label"])) <= plots.MOST_CLASSES:
        drawn[
            "Means of the posteriors of test images, two degrees of freedom; the spheres by "
            "Hammer's map, which keeps areas."
        ] = plots.scatters({name: (at, test["label"]) for name, at in planes.items()})
    made = {
        f"{words(posterior)}, {size}": lane.sample(jax.random.key(0), 16)
        for (posterior, size), lane in lanes.items()
    }
    drawn["Test images and samples, by posterior and degrees of freedom."] = plots.reconstructions(
        test["image"][:16], made, first="test"
    )
    return drawn


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    return {"schedules": [training.warmup_cosine(config.steps)], "select": "best"}


hyperspherical_vae = experiment.Study(
    "hyperspherical_vae",
    "Hyperspherical VAE",
    build,
    table=TABLE,
    figures=figures,
    options=options,
    reference=labelled,
    describe=describe,
    notes=notes,
)

if __name__ == "__main__":
    cli.main(hyperspherical_vae, PRESETS, description=__doc__)
