"""What an adversary adds where the middle of an image is missing, beside fills in closed form.

    python experiments/context_encoder.py

Squared error alone fills the middle of digits with the least error, and is blurred. The more weight
an adversary has, the nearer a fill's sharpness is to that of digits, at a larger error, and as many
are read right. The nearest training digit is as sharp as they are, and the farthest from the truth.

Reference: Pathak et al. (2016), Context Encoders: Feature Learning by Inpainting.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import FRACTION, NOT_NEGATIVE, POSITIVE, Array, InputError, Method
from ae_jax.experiment import Count, Splits, Swept
from ae_jax.inversion import fills
from ae_jax.methods import regularisers, shown


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    side: Annotated[float, FRACTION] = 0.75
    """Of the hole in the middle, over the image's; 12 of 28 pixels are 0.43."""
    adversarial_weight: Swept[Annotated[float, FRACTION]] = (0.0, 0.01, 0.1, 0.5)
    """Of the adversary; the rest of 1 is the squared error's."""
    r1_weight: Annotated[float, NOT_NEGATIVE] = 1.0
    """Of the penalty of the discriminator's slope; not swept."""
    overlap: experiment.Whole = 0
    """Known pixels around the hole that are made too, at ten times the weight."""
    widths: tuple[Count, ...] = (256, 256)
    """Hidden layers of the generator; not swept."""
    discriminator_widths: tuple[Count, ...] = (128, 128)
    """Not swept."""
    learning_rate: Swept[float] = (1e-3,)
    """The generator's, at first; both fall to a twentieth as a half cosine."""
    rate_ratio: Annotated[float, POSITIVE] = 10.0
    """The generator's learning rate over the discriminator's."""
    ridge: Annotated[float, NOT_NEGATIVE] = 1e-3
    """The variance of noise on known pixels, to the Gaussian: of validation digits a smaller one
    fills hardly better."""
    classifier_steps: Count = 1000
    """Of the classifier that reads what was filled."""
    steps: Count = 1500


PRESETS = {
    "default": Config(),
    "smoke": Config(
        adversarial_weight=(0.0, 0.1),
        widths=(16,),
        discriminator_widths=(16,),
        classifier_steps=20,
        seeds=1,
        steps=20,
    ),
    # Pathak et al. (2016), sections 3 and 5.1, of smaller images and with dense networks
    "paper": Config(
        dataset="mnist",
        side=12 / 28,
        adversarial_weight=(0.0, 0.001),
        r1_weight=0.0,
        ridge=1e-2,
        overlap=1,
        widths=(1024, 512, 1024),
        discriminator_widths=(512, 256),
        learning_rate=(2e-3,),
        classifier_steps=10_000,
        steps=100_000,
    ),
}
PLAYERS = ("learning_rate", "discriminator_learning_rate")
MEASURES = {
    "hole_psnr": "PSNR in the hole (dB)",
    "sharpness": "sharpness of fills over that of test images",
    "accuracy": "completed images read right (%)",
}


def context_encoder(config: Config) -> None:
    """Sweeps the adversary's weight, and measures fills of test images beside closed forms."""
    splits = experiment.load_splits(config)
    hole = Hole.of(config, splits)
    method = build(config, splits.train.spec)
    settings = [
        {
            "adversarial_weight": weight,
            "reconstruction_weight": 1 - weight,
            "hole_level": config.side,
            "learning_rate": rate,
            "discriminator_learning_rate": rate / config.rate_ratio,
        }
        for weight in config.adversarial_weight
        for rate in config.learning_rate
    ]
    falling = [training.warmup_cosine(config.steps, final_fraction=0.05, name=n) for n in PLAYERS]
    lanes = experiment.lanes(config, settings)
    experiment.check(method, lanes, falling, splits, config.batch_size)
    closed = closed_forms(hole, data.all_images(splits.train), config.ridge)
    hole, notes = read(config, splits, hole)
    rows = [{"fill": k, "seed": 0, "status": "ok", **hole.measured(x)} for k, x in closed.items()]
    same = config, "context_encoder", method, splits, settings
    trained = experiment.sweep(*same, part="fills", schedules=falling)
    rows += experiment.described(trained, lambda m: hole.measured(m.reconstruct(hole.batch)))
    by = ("fill", "adversarial_weight", *experiment.varied(config, "learning_rate"))
    rows = experiment.numbered([{"fill": "context encoder", **row} for row in rows], by)
    experiment.report(
        config,
        trained.out,
        f"Holes of {config.dataset}, filled",
        rows,
        by,
        tuple(MEASURES),
        lambda: figures(hole, closed, rows, trained.result),
        trained.result,
        notes,
    )


class Hole(NamedTuple):
    """Test images, 1000 at most, and the hole in their middle.

    Attributes:
      batch: what a context encoder fills: `image` [N, H, W, C], `known`, perhaps `label` [N].
      known: bool [H, W, 1], False in the hole.
      predict: images -> their classes [N]; None where nobody reads them.
    """

    batch: Mapping[str, Array]
    known: np.ndarray
    predict: Callable[[Array], np.ndarray] | None = None

    @classmethod
    def of(cls, config: Config, splits: Splits) -> "Hole":
        """Refuses what is no hole, or has nothing around it."""
        batch = data.head(splits.test, 1000)
        missing = corruptions.centre(jax.random.key(0), batch["image"], config.side)
        known = ~np.asarray(missing[0])[..., None]
        if known.all() or not known.any():
            raise InputError(
                f"--side {config.side:g} leaves {known.sum()} of {known.size} pixels known: a "
                "hole has some in it, and some around it"
            )
        return cls({**batch, "known": (~missing).astype(batch["image"].dtype)}, known)

    def completed(self, fill: Array) -> np.ndarray:
        """The images, with another's pixels in the hole as they are shown."""
        return np.where(self.known, self.batch["image"], np.clip(fill, 0, 1))

    def measured(self, fill: Array) -> dict[str, float]:
        """What the report says of completed images."""
        rows, columns = (slice(x.min(), x.max() + 1) for x in np.nonzero(~self.known)[:2])
        whole = self.completed(fill)
        made, true = (np.asarray(x)[:, rows, columns] for x in (whole, self.batch["image"]))
        slopes = [sum(np.abs(np.diff(x, axis=i)).mean() for i in (1, 2)) for x in (made, true)]
        found = {
            "hole_psnr": metrics.psnr(made[None], true[None])[0],
            "sharpness": slopes[0] / slopes[1],
        }
        if self.predict is not None:
            found["accuracy"] = 100 * np.mean(self.predict(whole) == self.batch["label"])
        return {name: float(value) for name, value in found.items()}


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the context encoder."""
    return methods.context_encoder(
        nets.mlp(spec["image"].shape, config.widths),
        nets.mlp(1, config.discriminator_widths, "leaky_relu"),
        shown.holed(corruptions.centre),
        regularisers=[regularisers.r1(config.r1_weight)],
        overlap=config.overlap,
    )


def read(config: Config, splits: Splits, hole: Hole) -> tuple[Hole, list[str]]:
    """Trains a classifier of whole images, where they have labels; and says what columns are."""
    images = hole.batch["image"]
    notes = [
        f"{len(images)} test images have a hole of {np.sum(~hole.known)} pixels: hole_psnr is of "
        "all pixels in it, sharpness the mean absolute difference of neighbours in it over that of "
        "the images. Fills count as they are shown, clipped to [0, 1]."
    ]
    if "label" not in hole.batch:
        return hole, notes
    classes = experiment.classes(config.dataset, splits)
    method = methods.classifier(nets.mlp(64, (128,), output_activation="relu"), classes)
    options = {"part": "reader", "everywhere": True, "steps": config.classifier_steps}
    same = config, "context_encoder", method, splits, {"learning_rate": 1e-3}
    reader = experiment.model(experiment.sweep(*same, **options).result, 0)
    hole = hole._replace(predict=lambda x: np.argmax(reader.predict({"image": x}), axis=1))
    whole, black = (hole.measured(x)["accuracy"] for x in (images, np.zeros_like(images)))
    notes.append(
        f"accuracy is that of a classifier that was trained on whole images: {whole:.1f}% on whole "
        f"test images, {black:.1f}% where the hole is black."
    )
    return hole, notes


def closed_forms(hole: Hole, train: np.ndarray, ridge: float) -> dict[str, Array]:
    """Fills test images from training images, by what needs no training."""
    given, mean = (hole.batch["image"], hole.known), train.mean(axis=0)
    covariance = np.cov(train.reshape(len(train), -1), rowvar=False, bias=True)
    return {
        "mean": fills.mean(*given, mean),
        "nearest": fills.nearest(*given, train),
        "Gaussian": fills.conditional_mean(*given, mean, covariance, ridge),
    }


def named(row: Mapping[str, Any]) -> str:
    """Returns what a lane is called in figures."""
    weight = row.get("adversarial_weight")
    return row["fill"] if weight is None else f"adversary {weight:g}" if weight else "squared error"


def figures(
    hole: Hole,
    closed: Mapping[str, np.ndarray],
    rows: Sequence[Mapping[str, Any]],
    result: training.Result,
) -> dict[str, Any]:
    """Draws test images with holes, what is put there, and what that is measured by."""
    images, models = hole.batch["image"], experiment.firsts(result, named)
    made = {name: model.reconstruct(hole.batch) for name, model in models.items()}
    fills = {"with a hole": np.full_like(images, 0.35), **closed, **made, "test image": images}
    table = {name: hole.completed(fill)[:12] for name, fill in fills.items()}
    drawn = {"Test images with a hole, fills, and the images.": plots.image_rows(table)}
    sound = [row for row in rows if row["status"] == "ok"]
    for column, words in MEASURES.items():
        if any(column in row for row in sound):
            points = plots.mean_table(sound, named, {column: words})
            drawn[f"The {words}."] = plots.dots(points, words)
    return drawn


if __name__ == "__main__":
    cli.main(context_encoder, PRESETS)
