"""What an adversary adds to a pixel loss, where a translation is not determined.

    python experiments/image_to_image.py

The left halves of digits are translated to right halves. The pixel loss alone answers with what is
in the middle of all that is possible: it has the least error of a pixel, and is blurred. The less
of it there is beside an adversary, the nearer are whole digits to the data, at a larger error.

Reference: Isola et al. (2017), Image-to-Image Translation with Conditional Adversarial Networks.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Array, Batch, InputError, Method
from ae_jax.experiment import Count, Model, Splits, Swept
from ae_jax.methods import regularisers


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "halves:digits"
    """Pairs: halves:NAME, edges:NAME, grey:NAME, turned:NAME of any data set, or letters."""
    l1_weight: Swept[float] = (100.0, 10.0, 1.0, 0.0)
    """Of the mean absolute error, beside the adversary; lanes without an adversary are added."""
    r1_weight: Swept[float] = (1.0,)
    """Of the penalty of the discriminator's slope."""
    architecture: Literal["mlp", "unet"] = "mlp"
    """Dense networks, or a U-Net and a patch discriminator."""
    widths: tuple[Count, ...] = (256, 256)
    """Hidden layers of dense networks, or channels of the U-Net's levels; not swept."""
    patch_layers: experiment.Whole = 1
    """Strided layers of the patch discriminator, of as many channels as the U-Net's first level."""
    dropout: float = 0.5
    """The generator's noise; lanes without it are added, at the least weight of the pixel loss."""
    learning_rate: Swept[float] = (1e-3,)
    """Of both players, at first; it falls to a twentieth as a half cosine."""
    steps: Count = 1200


PRESETS = {
    "default": Config(),
    "smoke": Config(l1_weight=(1.0,), widths=(16, 16), seeds=1, steps=40),
    # Isola et al. (2017), sections 3.3 and 6.2, at a smaller size
    "paper": Config(
        dataset="edges:coloured_shapes",
        architecture="unet",
        widths=(64, 128, 256),
        learning_rate=(2e-4,),
        steps=200_000,
        batch_size=16,
    ),
}
BY = ("adversarial_weight", "l1_weight", "noise", "r1_weight", "learning_rate")
TABLE = ("pixel_error", "variance_ratio", "kernel_distance", "coverage", "noise_effect")
PLAYERS = ("learning_rate", "discriminator_learning_rate")


def image_to_image(config: Config) -> None:
    """Sweeps the pixel loss beside an adversary, and trains with the pixel loss alone."""
    splits = load(config)
    method = functools.partial(build, config, splits.train.spec)
    weight = min(filter(None, config.l1_weight), default=1.0)
    kinds = [
        {"noise": config.dropout, "adversarial_weight": 0.0, "l1_weight": 100.0},
        {"noise": config.dropout, "adversarial_weight": 1.0},
        {"noise": 0.0, "adversarial_weight": 1.0, "l1_weight": weight},
    ]
    lanes = [
        {**lane, PLAYERS[1]: lane[PLAYERS[0]]}
        for values in kinds[: 3 if config.dropout else 2]
        for lane in experiment.lanes(config, {"noise": 0.0, **cli.swept(config), **values})
    ]
    falling = [training.warmup_cosine(config.steps, final_fraction=0.05, name=n) for n in PLAYERS]
    out = cli.directory(config, "image_to_image")
    options = experiment.run_options(config, splits)
    options |= {"schedules": falling, "experiment": "image_to_image"}
    run = functools.partial(training.run, method, splits.train, lanes, config.steps, out, **options)
    run(dry=True)
    reference = Reference.of(splits)
    notes = reference.notes()
    result = run()
    experiment.complete(result)
    trained = experiment.Sweep(result, out)
    rows = experiment.described(trained, functools.partial(describe, reference))
    experiment.report(
        config,
        out,
        f"Image to image on {config.dataset}",
        rows,
        BY,
        TABLE,
        lambda: figures(config, reference, rows, result),
        result,
        notes,
    )


def load(config: Config) -> Splits:
    """Loads pairs."""
    splits = experiment.load_splits(config, held_out=500)
    if "target" not in splits.train.spec:
        raise InputError(f"{config.dataset} has no pairs: use halves:{config.dataset}, say")
    return splits


def build(config: Config, spec: Mapping[str, Any], noise: float) -> Method:
    """Returns the translator of a level of noise."""
    shape, widths = spec["target"].shape, config.widths
    if not widths:
        raise InputError("a translator needs a hidden layer: give --widths a number or more")
    if config.architecture == "unet":
        generator = nets.unet(shape[-1], widths, dropout=noise)
        discriminator = nets.patch(widths[0], config.patch_layers)
    else:
        generator = nets.chain(
            nets.mlp(widths[0], (), output_activation="relu"),
            nets.dropout(noise),
            nets.mlp(shape, widths[1:]),
        )
        discriminator = nets.mlp(1, widths, "leaky_relu")
    return methods.image_to_image(generator, discriminator, regularisers=[regularisers.r1()])


class Reference(NamedTuple):
    """What translations are compared with.

    Attributes:
      test: pairs, 1000 at most.
      train: as many pairs, to see how far the data are from themselves.
      components: of training pairs, whose coordinates are the features.
    """

    test: Batch
    train: Batch
    components: metrics.PrincipalComponents

    @classmethod
    def of(cls, splits: Splits) -> "Reference":
        """Takes pairs of both splits."""
        test = data.head(splits.test, 1000)
        some = data.head(splits.train, 1000)
        pairs = joined(some, some["target"])
        components = metrics.pca(pairs, min(32, *pairs.shape))
        count = len(test["image"])
        return cls(test, {name: value[:count] for name, value in some.items()}, components)

    def features(self, batch: Batch, target: Array) -> np.ndarray:
        """Coordinates of images with what is to go with them."""
        return metrics.pca_encode(self.components, joined(batch, target))

    def notes(self) -> list[str]:
        """Says what the columns are, and how far training pairs are from test pairs."""
        real = self.features(self.test, self.test["target"])
        train = self.features(self.train, self.train["target"])
        floor, coverage = metrics.kernel_distance(real, train), covered(real, train)
        return [
            "pixel_error is the mean absolute difference from the target; variance_ratio, the "
            "variance of a pixel of translations over that of targets; kernel_distance and "
            f"coverage are of the first {train.shape[1]} principal components of pairs; "
            "noise_effect is the mean absolute difference of two translations of an image.",
            f"Training pairs have a kernel distance of {floor:.4f}, a coverage of {coverage:.3f}.",
        ]


def covered(real: np.ndarray, made: np.ndarray) -> float:
    """Returns the coverage by neighbourhoods of five, or of as many as there are."""
    return float(metrics.density_coverage(real, made, min(5, len(real) - 1))[1])


def joined(batch: Batch, target: Array) -> np.ndarray:
    """Images and what goes with them, as vectors."""
    return np.concatenate([np.reshape(x, (len(x), -1)) for x in (batch["image"], target)], axis=1)


def describe(reference: Reference, model: Model) -> dict[str, float]:
    """Measures the translations of test images."""
    test, target = reference.test, reference.test["target"]
    first, second = (model.generate(jax.random.key(i), test) for i in (0, 1))
    real, made = reference.features(test, target), reference.features(test, first)
    return {
        "pixel_error": float(jnp.mean(jnp.abs(first - target))),
        "variance_ratio": float(jnp.mean(jnp.var(first, 0)) / jnp.mean(jnp.var(target, 0))),
        "kernel_distance": float(metrics.kernel_distance(real, made).mean),
        "coverage": covered(real, made),
        "noise_effect": float(jnp.mean(jnp.abs(first - second))),
    }


def named(row: Mapping[str, Any]) -> str:
    """Returns what a lane is called in figures."""
    if not row["adversarial_weight"]:
        return "L1 alone"
    name = f"{row['l1_weight']:g} L1 + GAN" if row["l1_weight"] else "GAN alone"
    return name if row["noise"] else f"{name}, no noise"


def figures(
    config: Config, reference: Reference, rows: Sequence[Mapping], result: training.Result
) -> dict[str, Any]:
    """Draws translations, and what they cost and gain."""
    test, models = reference.test, experiment.firsts(result, named)
    apart = not config.dataset.startswith("halves:")

    def shown(target: Array) -> np.ndarray:
        """With the image, where that is its left half."""
        return np.asarray(target) if apart else np.concatenate([test["image"], target], axis=2)

    missing = jnp.full(test["target"].shape, 0.35)
    table = {"image": np.broadcast_to(test["image"], missing.shape) if apart else shown(missing)}
    table |= {name: shown(m.generate(jax.random.key(0), test)) for name, m in models.items()}
    if noisy := [(name, model) for name, model in models.items() if model.row["noise"]]:
        name, model = noisy[-1]
        table[f"{name}, again"] = shown(model.generate(jax.random.key(1), test))
    table["target"] = shown(test["target"])
    table = {name: images[:12] for name, images in table.items()}
    drawn = {"Test images, their translations, and the targets.": plots.image_rows(table)}
    points = [
        {**row, "weights": named(row)}
        for row in rows
        if row["status"] == "ok" and "pixel_error" in row
    ]
    for column, words in (
        ("pixel_error", "absolute error of a pixel"),
        ("variance_ratio", "variance over that of targets"),
        ("kernel_distance", "kernel distance from test pairs"),
    ):
        means = {p["weights"]: p[column] for p in plots.aggregate(points, ["weights"], [column])}
        bars = {name: {"": means[name]} for name in dict.fromkeys(p["weights"] for p in points)}
        drawn[f"The {words}, by the weight of the pixel loss."] = plots.bars(bars, words)
    return drawn


if __name__ == "__main__":
    cli.main(image_to_image, PRESETS)
