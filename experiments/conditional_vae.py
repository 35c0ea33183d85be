"""VAEs that are told the class, beside one that is not and one that finds classes by itself.

    python experiments/conditional_vae.py

Told the label, a VAE has an image likelier than without it, and no less likely when labels are
summed over. Its latents keep the style and leave the class out: a probe reads it from them less
often than from those of a VAE that is told nothing. So one latent, decoded with every label, is one
hand writing all of them. A part of the JointVAE's latents is categories, and it is told nothing: as
their capacity rises slowly, at a weight that leaves the reconstruction a say, it finds some that
tell classes apart. At a heavy weight one category for all images fills the capacity, which is of
each image's divergence, and says nothing about the class.

Reference: Sohn, Lee and Yan (2015), Learning Structured Output Representation using Deep
Conditional Generative Models; Dupont (2018), Learning Disentangled Joint Continuous and Discrete
Representations.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import NOT_NEGATIVE, POSITIVE, Array, Batch, Method
from ae_jax.experiment import Count, Model, Splits, Swept
from ae_jax.methods import latent_regularisers, posteriors, priors


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latent_size: Count = 8
    """Numbers of the latents, but for the categories of a JointVAE; not swept."""
    widths: tuple[Count, ...] = (128,)
    """Hidden layers of the encoder, reversed in the decoder; not swept."""
    capacity_weight: Swept[Annotated[float, NOT_NEGATIVE]] = (2.0, 30.0)
    """Of a JointVAE: what a nat of either part costs beside its capacity. The paper's 30 is for
    images of 32x32 pixels: as much for each pixel as 2 for the 64 of digits."""
    continuous_capacity: Annotated[float, NOT_NEGATIVE] = 5.0
    """Of a JointVAE, nats; raised from 0 over the first half of the training, and so the next."""
    discrete_capacity: Annotated[float, NOT_NEGATIVE] = 2.3
    temperatures: tuple[Annotated[float, POSITIVE], Annotated[float, POSITIVE]] = (2 / 3, 2 / 3)
    """Of a JointVAE's categories, at first and from half of the training on: the paper's does not
    change."""
    importance_samples: Count = 100
    """Of each test image's log-likelihood, with each label."""
    test_images: Count = 300
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 3
    steps: Count = 3000


PRESETS = {
    "default": Config(),
    "smoke": Config(
        latent_size=2, widths=(8,), importance_samples=2, test_images=40, seeds=1, steps=20
    ),
    "paper": Config(
        dataset="mnist",
        capacity_weight=(30.0,),
        latent_size=20,
        widths=(500, 500),
        importance_samples=1000,
        test_images=2000,
        learning_rate=(1e-3,),
        steps=200_000,
        batch_size=100,
    ),
}
PLAIN, TOLD, JOINT = "told nothing", "told the label", "JointVAE"
WAYS = (PLAIN, TOLD, JOINT)
TABLE = (
    *("log_likelihood", "log_likelihood_given_label", "kl", "probe", "category_accuracy"),
    *("continuous_kl", "discrete_kl"),
)


def build(config: Config, spec: Mapping[str, Any], classes: int, way: str) -> Method:
    """Returns a VAE of binary images that are drawn anew at every step."""
    return methods.prepared(vae(config, spec, classes, way), methods.binarized)


def vae(config: Config, spec: Mapping[str, Any], classes: int, way: str) -> Method:
    """Returns the VAE of images as they are."""
    own: dict[str, Any] = {"classes": classes} if way == TOLD else {}
    outputs, size = 2 * config.latent_size, config.latent_size
    if way == JOINT:
        kinds = posteriors.concrete(classes, temperature=config.temperatures[1])
        posterior = posteriors.joint(continuous=posteriors.gaussian(), discrete=kinds)
        outputs, size = outputs + classes, size + classes
        nats = {"continuous": config.continuous_capacity, "discrete": config.discrete_capacity}
        own = {
            "posterior": posterior,
            "prior": priors.joint(continuous=priors.normal(), discrete=priors.concrete(classes)),
            "regularisers": [latent_regularisers.capacities(**nats)],
            "beta": 0.0,
        }
    return methods.vae(
        nets.mlp(outputs, config.widths),
        nets.mlp(spec["image"].shape, config.widths[::-1]),
        size,
        importance_samples=config.importance_samples,
        **own,
    )


def conditional_vae(config: Config) -> None:
    """Trains the three kinds of VAE, and reports what their latents are good for."""
    splits = experiment.load_splits(config)
    classes = experiment.classes(config.dataset, splits)
    built = {way: build(config, splits.train.spec, classes, way) for way in WAYS}
    values = {JOINT: {"capacity_weight": config.capacity_weight}}
    for way, method in built.items():
        experiment.check(method, experiment.lanes(config, values.get(way, {})))
    half = config.steps // 2
    of_joint = [training.ramp(half, f"{part}_capacity") for part in ("continuous", "discrete")]
    of_joint.append(training.geometric(half, "temperature", config.temperatures[0]))
    trained = {}
    for way, method in built.items():
        schedules = [training.warmup_cosine(config.steps), *(of_joint if way == JOINT else [])]
        options = {"part": way.replace(" ", "_"), "schedules": schedules}
        given = method, splits, values.get(way, {})
        trained[way] = experiment.sweep(config, "conditional_vae", *given, **options)
    views = {way: vae(config, splits.train.spec, classes, way).views for way in WAYS}
    likelihoods = {way: jax.jit(own.log_likelihood) for way, own in views.items()}
    rows = experiment.side_by_side(
        [({"way": way}, sweep) for way, sweep in trained.items()],
        lambda model: describe(config, model, splits, classes, likelihoods[model.row["way"]]),
        ("way",),
    )
    varied = experiment.varied(config, "capacity_weight", "learning_rate")
    rows = [{**dict.fromkeys(varied), **row} for row in rows]
    results = {way: sweep.result for way, sweep in trained.items()}
    experiment.report(
        config,
        trained[PLAIN].out,
        f"VAEs that are told the class on {config.dataset}",
        rows,
        ("way", *varied),
        TABLE,
        lambda: figures(config, results, splits, classes),
        [*results.values()],
        notes(config, rows, classes, varied),
    )


def describe(
    config: Config, model: Model, splits: Splits, classes: int, view: Callable[..., Array]
) -> dict[str, float]:
    """Returns how likely test images are, and how much of the class is in the latents."""
    way = model.row["way"]
    train, test = data.head(splits.train, 2000), data.head(splits.test, config.test_images)
    key, drawing = jax.random.split(jax.random.key(model.row["seed"]))
    drawn = methods.binarized(drawing, test)

    def likelihood(batch: Batch) -> np.ndarray:
        return np.asarray(view(key, model.state, batch, model.hparams), np.float64)

    if way == TOLD:
        each = np.stack([likelihood({**drawn, "label": labels(k, test)}) for k in range(classes)])
        given = np.take_along_axis(each, np.asarray(test["label"])[None], axis=0)
        columns = {
            # log p(x) = log (1/C) sum_y p(x | y)
            "log_likelihood": float(np.mean(np.logaddexp.reduce(each) - math.log(classes))),
            "log_likelihood_given_label": float(np.mean(given)),
        }
    else:
        columns = {"log_likelihood": float(np.mean(likelihood(drawn)))}
    codes = [np.asarray(model.encode(batch), np.float64) for batch in (train, test)]
    latents = [code[:, : config.latent_size] for code in codes]
    probe = metrics.linear_probe(latents[0], train["label"], latents[1], test["label"])
    columns["probe"] = 100 * probe
    if way == JOINT:
        found = np.argmax(codes[1][:, config.latent_size :], axis=1)
        accuracy = metrics.cluster_accuracy(found, np.asarray(test["label"]))
        columns["category_accuracy"] = 100 * float(accuracy)
    return columns


def labels(k: int, batch: Batch) -> Array:
    """Returns the label k for every example."""
    return jnp.full_like(batch["label"], k)


def notes(
    config: Config, rows: Sequence[Mapping[str, Any]], classes: int, varied: Sequence[str]
) -> list[str]:
    """Says what is measured, and what being told comes to."""
    lines = [
        "log_likelihood is of test images of zeros and ones, drawn once, by "
        f"{config.importance_samples} samples of the posterior; of the VAE that is told the label "
        "labels are summed over, all alike, and beside it stands that given the label. probe is "
        "the share (%) of test images whose class logistic regression reads from the continuous "
        f"latents, {100 / classes:.0f} by chance. category_accuracy is the share of test images "
        "that are of the class that their category has most of, categories matched one to one. "
        "The JointVAE is trained on the divergence of categories, and its likelihood is that of "
        "the relaxed ones that it draws."
    ]
    by = ("learning_rate", "seed")
    for value, words in (("log_likelihood", "nats"), ("probe", "points of the probe")):
        found = [row for row in rows if value in row]
        better = plots.gains(found, value, by, lambda row: row["way"] == PLAIN)
        for point in plots.aggregate(better, ("way", *varied), ["gain"]):
            name, gain = experiment.named(point["way"], point, varied), point["gain"]
            lines.append(f"{name}, less {PLAIN}: {gain:+.2f} {words} (seeds: {gain.count}).")
    return lines


def figures(
    config: Config, results: Mapping[str, training.Result], splits: Splits, classes: int
) -> dict[str, Any]:
    """Draws styles with every label and category, and test images with other labels."""
    firsts = {
        way: next(iter(experiment.firsts(result, "seed").values()), None)
        for way, result in results.items()
    }
    styles = jax.random.normal(jax.random.key(0), (12, config.latent_size))
    drawn = {}
    for way, words in ((TOLD, "label"), (JOINT, "category")):
        if (model := firsts[way]) is not None:
            drawn[f"Styles, one in each column, drawn with every {words} by the VAE {way}."] = (
                plots.image_rows(with_every(model, styles, classes))
            )
    if (model := firsts[TOLD]) is not None:
        batch = data.head(splits.test, 12)
        code = model.encode(batch)[:, : config.latent_size]
        rows = {"test": batch["image"]} | with_every(model, code, classes)
        drawn["Test images, and what the same latent is with every label: style transfer."] = (
            plots.image_rows(rows)
        )
    return drawn


def with_every(model: Model, latents: Array, classes: int) -> dict[str, Array]:
    """Returns what latents [N, Z] are with each class behind them."""
    ones = jnp.eye(classes, dtype=latents.dtype)
    told = [jnp.tile(ones[k : k + 1], (len(latents), 1)) for k in range(classes)]
    return {str(k): model.decode(jnp.concatenate([latents, y], 1)) for k, y in enumerate(told)}


if __name__ == "__main__":
    cli.main(conditional_vae, PRESETS, description=__doc__)
