"""What an adversary adds where a hole in an image is filled, beside fills in closed form.

    python experiments/context_encoder.py
    python experiments/context_encoder.py --dataset npz:mnist.npz --side 0.43 --widths 512 512

CLAIM

Reference: Pathak et al. (2016), Context Encoders: Feature Learning by Inpainting.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import FRACTION, NOT_NEGATIVE, POSITIVE, Array, Batch, InputError, Method
from ae_jax.experiment import Count, Model, Splits, Swept
from ae_jax.methods import regularisers, shown

#: Images [N, H, W, C] -> their classes [N].
Predict = Callable[[Array], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    side: Annotated[float, FRACTION] = 0.5
    """Of the hole in the middle, over the image's: 12 of 28 pixels are 0.43."""
    adversarial_weight: Swept[Annotated[float, FRACTION]] = (0.0, 0.001, 0.01, 0.1)
    """Of the adversary; the rest of 1 is the squared error's."""
    r1_weight: Swept[float] = (1.0,)
    """Of the penalty of the discriminator's slope."""
    overlap: experiment.Whole = 0
    """Known pixels around the hole that are made too, at ten times the weight."""
    widths: tuple[Count, ...] = (256, 256)
    """Hidden layers of the generator; not swept."""
    discriminator_widths: tuple[Count, ...] = (128, 128)
    """Not swept."""
    learning_rate: Swept[float] = (1e-3,)
    """The generator's, at first; both fall to a twentieth as a half cosine."""
    rate_ratio: Annotated[float, POSITIVE] = 10.0
    """How many times the discriminator's learning rate it is."""
    ridge: Annotated[float, NOT_NEGATIVE] = 1e-2
    """Added to the variances of known pixels, of the Gaussian."""
    classifier_steps: Count = 1000
    """Of the classifier that reads what was filled."""
    steps: Count = 2000


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
    # Pathak et al. (2016), sections 3 and 5.1, at a smaller size and with dense networks
    "paper": Config(
        dataset="mnist",
        side=12 / 28,
        adversarial_weight=(0.0, 0.001),
        r1_weight=(0.0,),
        overlap=1,
        widths=(1024, 512, 1024),
        discriminator_widths=(512, 256),
        learning_rate=(2e-3,),
        classifier_steps=10_000,
        steps=100_000,
    ),
}
BY = ("fill", "adversarial_weight")
TABLE = ("hole_psnr", "sharpness", "accuracy")
ENCODER, RATES = "context encoder", ("learning_rate", "discriminator_learning_rate")


def context_encoder(config: Config) -> None:
    """Sweeps the adversary's weight, and measures fills of test images beside closed forms."""
    splits = experiment.load_splits(config)
    hole = Hole.of(config, splits)
    method = build(config, splits.train.spec)
    values = [
        {
            "adversarial_weight": weight,
            "reconstruction_weight": 1 - weight,
            "hole_level": config.side,
            "r1_weight": config.r1_weight,
            RATES[0]: rate,
            RATES[1]: rate / config.rate_ratio,
        }
        for weight in config.adversarial_weight
        for rate in config.learning_rate
    ]
    falling = [training.warmup_cosine(config.steps, final_fraction=0.05, name=n) for n in RATES]
    lanes = experiment.lanes(config, values)
    experiment.check(method, lanes, falling, splits, config.batch_size)
    predict, notes = reader(config, splits, hole)
    measure = functools.partial(measured, hole, predict)
    fills = closed_forms(hole, data.all_images(splits.train), config.ridge)
    rows = [{"fill": k, "seed": 0, "status": "ok", **measure(fill)} for k, fill in fills.items()]

    def describe(model: Model) -> dict[str, float]:
        return measure(model.reconstruct(hole.batch))

    trained = experiment.sweep(
        config, "context_encoder", method, splits, values, part="fills", schedules=falling
    )
    by = (*BY, *experiment.varied(config, "r1_weight", "learning_rate"))
    own = experiment.side_by_side([({"fill": ENCODER}, trained)], describe, by)
    rows = experiment.numbered([*rows, *own], by)
    experiment.report(
        config,
        trained.out,
        f"Holes of {config.dataset}, filled",
        rows,
        by,
        TABLE,
        lambda: figures(hole, fills, rows, trained.result),
        trained.result,
        notes,
    )


class Hole(NamedTuple):
    """Test images, 1000 at most, and the hole in their middle.

    Attributes:
      images: [N, H, W, C].
      label: [N]; None where there is none.
      known: bool [H, W], False in the hole.
    """

    images: np.ndarray
    label: np.ndarray | None
    known: np.ndarray

    @classmethod
    def of(cls, config: Config, splits: Splits) -> "Hole":
        """Refuses what is no hole, or has nothing around it."""
        batch = data.head(splits.test, 1000)
        images, label = np.asarray(batch["image"]), batch.get("label")
        known = ~np.asarray(corruptions.centre(jax.random.key(0), images[:1], config.side))[0]
        if known.all() or not known.any():
            raise InputError(
                f"a hole of {config.side:g} of {known.shape[0]}x{known.shape[1]} pixels has "
                f"{known.sum()} around it: give another --side"
            )
        return cls(images, None if label is None else np.asarray(label), known)

    @property
    def batch(self) -> Batch:
        """With what is known, as a context encoder sees it."""
        known = np.broadcast_to(self.known.astype(self.images.dtype), self.images.shape[:3])
        return {"image": self.images, "known": known}

    def inside(self, images: Array) -> np.ndarray:
        """What lies in the hole: [N, side, side, C]."""
        rows, columns = np.nonzero(~self.known)
        return np.asarray(images)[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]

    def completed(self, fill: Array) -> np.ndarray:
        """The images, with another's pixels in the hole, as they are shown."""
        return np.where(self.known[..., None], self.images, np.clip(fill, 0, 1))


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the context encoder."""
    return methods.context_encoder(
        nets.mlp(spec["image"].shape, config.widths),
        nets.mlp(1, config.discriminator_widths, "leaky_relu"),
        shown.holed(corruptions.centre),
        regularisers=[regularisers.r1()],
        overlap=config.overlap,
    )


def reader(config: Config, splits: Splits, hole: Hole) -> tuple[Predict | None, list[str]]:
    """Trains a classifier of whole images, where they have labels; and says what columns are."""
    notes = [
        f"Of {len(hole.images)} test images with a hole of {np.sum(~hole.known)} pixels: hole_psnr "
        "is that of all their pixels in it, sharpness the mean difference of neighbours in it over "
        "that of the images. Fills count as they are shown, clipped to [0, 1]."
    ]
    if hole.label is None:
        return None, notes
    classes = experiment.classes(config.dataset, splits)
    method = methods.classifier(nets.mlp(64, (128,), output_activation="relu"), classes)
    options = {"part": "reader", "everywhere": True, "steps": config.classifier_steps}
    rate = {"learning_rate": 1e-3}
    trained = experiment.sweep(config, "context_encoder", method, splits, rate, **options)

    def predict(images: Array) -> np.ndarray:
        return np.argmax(experiment.model(trained.result, 0).predict({"image": images}), axis=1)

    whole, empty = (
        100 * np.mean(predict(images) == hole.label)
        for images in (hole.images, hole.completed(np.zeros_like(hole.images)))
    )
    notes.append(
        f"accuracy is that of a classifier that was trained on whole images: {whole:.1f}% on whole "
        f"test images, {empty:.1f}% with the hole black."
    )
    return predict, notes


def closed_forms(hole: Hole, train: np.ndarray, ridge: float) -> dict[str, np.ndarray]:
    """Fills test images from training images, by what needs no training."""
    known = np.broadcast_to(hole.known[..., None], train.shape[1:]).ravel()
    flat, seen = (x.reshape(len(x), -1).astype(np.float64) for x in (train, hole.images))
    mean = flat.mean(axis=0)
    centred, gap = flat[:, known] - mean[known], seen[:, known] - mean[known]
    # of squared distances |a - b|^2 the part that differs between the b
    nearest = np.argmin(np.sum(centred**2, axis=1) - 2 * gap @ centred.T, axis=1)
    covariance = centred.T @ centred / len(flat) + ridge * np.eye(known.sum())
    # m_u + S_uk (S_kk + ridge I)^-1 (x_k - m_k)
    weights = np.linalg.solve(covariance, centred.T @ (flat - mean) / len(flat))
    fills = {"mean": np.tile(mean, (len(seen), 1)), "nearest": flat[nearest]}
    fills["Gaussian"] = mean + gap @ weights
    return {
        name: hole.completed(fill.reshape(hole.images.shape).astype(train.dtype))
        for name, fill in fills.items()
    }


def measured(hole: Hole, predict: Predict | None, fill: Array) -> dict[str, float]:
    """Measures completed test images."""
    whole = hole.completed(fill)
    made, true = hole.inside(whole), hole.inside(hole.images)
    found = {
        "hole_psnr": float(metrics.psnr(made[None], true[None])[0]),
        "sharpness": slope(made) / slope(true),
    }
    if predict is not None:
        found["accuracy"] = float(100 * np.mean(predict(whole) == hole.label))
    return found


def slope(images: np.ndarray) -> float:
    """Returns the mean absolute difference of neighbours, down and to the right."""
    differences = [np.abs(np.diff(images, axis=axis)).ravel() for axis in (1, 2)]
    return float(np.mean(np.concatenate(differences)))


def named(row: Mapping[str, Any]) -> str:
    """Returns what a lane is called in figures."""
    if row["fill"] != ENCODER:
        return row["fill"]
    weight = row["adversarial_weight"]
    return f"adversary {weight:g}" if weight else "squared error"


def figures(
    hole: Hole,
    fills: Mapping[str, np.ndarray],
    rows: Sequence[Mapping[str, Any]],
    result: training.Result,
) -> dict[str, Any]:
    """Draws test images with holes and what is put there, and what that is measured by."""
    models = experiment.firsts(result, lambda row: named({"fill": ENCODER, **row}))
    table = {"with a hole": hole.completed(np.full_like(hole.images, 0.35)), **fills}
    table |= {name: hole.completed(m.reconstruct(hole.batch)) for name, m in models.items()}
    table["test image"] = hole.images
    drawn = {
        "Test images with a hole, fills, and the images.": plots.image_rows(
            {name: images[:12] for name, images in table.items()}
        )
    }
    sound = [row for row in rows if row["status"] == "ok"]
    for column, words in (
        ("hole_psnr", "PSNR in the hole (dB)"),
        ("sharpness", "sharpness over that of test images"),
        ("accuracy", "completed images read right (%)"),
    ):
        if any(column in row for row in sound):
            points = plots.mean_table(sound, named, {column: words})
            drawn[f"The {words}."] = plots.dots(points, words)
    return drawn


if __name__ == "__main__":
    cli.main(context_encoder, PRESETS)
