"""Letters translated to another typeface without pairs, measured against the true ones.

    python experiments/cycle_gan.py

What is learned of two heaps of letters, none of which is there in both typefaces, is nearer to the
same letters drawn in the other typeface than they are untranslated, and than the nearest training
letter is; without the loss of letters that go there and back it is not.

Reference: Zhu et al. (2017), Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Array, Batch, Dataset, InputError, Method, Network
from ae_jax.experiment import Count, Model, Outcome, Splits, Swept


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "letters"
    """Pairs, of which one half is seen as the first domain, the other as the second."""
    other: str = ""
    """A second domain of its own, where the data set is no pairs: nothing is then measured."""
    cycle_weight: Swept[float] = (0.0, 5.0)
    """Of the mean absolute error there and back."""
    identity_weight: Swept[float] = (0.0, 2.5)
    """Of that of what a translator makes of the domain that it translates to."""
    channels: tuple[Count, ...] = (16, 32)
    """Of the U-Nets' levels, each of which halves the image; not swept."""
    patch_channels: Count = 16
    patch_layers: experiment.Whole = 1
    """Strided layers of the discriminators; their logits see 16, 34, 70 pixels at 1, 2, 3."""
    pool_size: experiment.Whole = 50
    learning_rate: Swept[float] = (1e-3,)
    """Of the translators and, the first of them, of the discriminators; both fall to 0."""
    seeds: Count = 2
    steps: Count = 900
    batch_size: Count = 8


PRESETS = {
    "default": Config(),
    "smoke": Config(
        cycle_weight=(5.0,), identity_weight=(2.5,), channels=(2, 2), patch_channels=2, pool_size=4,
        seeds=1, steps=20,
    ),
    "paper": Config(
        cycle_weight=(0.0, 1.0, 5.0, 25.0), channels=(32, 64), patch_channels=32,
        learning_rate=(2e-4,), seeds=5, steps=100_000,
    ),
}  # fmt: skip


class Reference(NamedTuple):
    """What translations are compared with.

    Attributes:
      test: pairs.
      training: images of the second domain, with their labels where there are any.
      nearest: to each test image, among those of them that translators see.
      found: measures of what needs no translator.
    """

    test: Batch
    training: Batch
    nearest: Array
    found: Mapping[str, Mapping[str, float]] = {}

    def measured(self, made: Array) -> dict[str, float]:
        """Compares what was made of test images with the truth."""
        found = {"translation_error": float(jnp.mean(jnp.abs(made - self.test["target"])))}
        if len(np.unique(self.training.get("label", 0))) > 1:
            known = self.training["image"], self.training["label"]
            found["class_kept"] = metrics.svm_accuracy(*known, made, self.test["label"])
        return found


def domains(pairs: Dataset) -> Dataset:
    """Returns two domains without pairs: one half of each."""
    first, second = (data.subset(pairs, slice(at, None, 2)) for at in (0, 1))
    return data.unpaired(first, data.swapped(second))


def load(config: Config) -> Splits:
    """Loads two domains."""
    splits = experiment.load_splits(config)
    if config.other:
        others = experiment.load_splits(dataclasses.replace(config, dataset=config.other))
        return Splits(*(data.unpaired(*both) for both in zip(splits, others, strict=True)))
    if "target" not in splits.train.spec:
        raise InputError(
            f"{config.dataset} is one domain: give a second one with --other, or pairs such as "
            f"letters or turned:{config.dataset}"
        )
    return Splits(*map(domains, splits))


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the translators of both ways, U-Nets, and their patch discriminators."""
    shapes = spec["image"].shape, spec["other"].shape
    there, back = (nets.unet(shape[-1], config.channels, dropout=0.0) for shape in shapes[::-1])
    judges = [nets.patch(config.patch_channels, config.patch_layers) for _ in range(2)]
    return methods.cycle_gan(
        from_identity(there),
        from_identity(back),
        *judges,
        pool_size=config.pool_size,
        discriminator_learning_rate=config.learning_rate[0],
    )


def from_identity(network: Network) -> Network:
    """What a network adds to the logits of an image, of which 0 and 1 count as -4 and 4."""

    def apply(params: Any, x: Array) -> Array:
        return network.apply(params, x) + 8 * (x - 0.5)

    return Network(network.init, apply)


def reference(config: Config, splits: Splits) -> Reference | None:
    """Finds what translations are compared with, where the truth is known."""
    if config.other:
        return None
    load = functools.partial(data.load, config.dataset, value_range=config.value_range)
    train, test = load("train"), load("test")
    half = data.subset(data.swapped(train), slice(1, None, 2))  # that of `domains`
    pairs, seen = data.head(test, 1000), data.head(half, 5000)["image"]
    flat = [np.reshape(x, (len(x), -1)) for x in (pairs["image"], seen)]
    nearest = seen[metrics.nearest_examples(*flat)[0][:, 0]]
    found = Reference(pairs, data.head(data.swapped(train), 5000), nearest)
    by = {"no translation": pairs["image"], "nearest": nearest, "truth": pairs["target"]}
    return found._replace(found={name: found.measured(images) for name, images in by.items()})


def describe(model: Model, outcome: Outcome) -> dict[str, float]:
    """Measures the translations of test images, there and back to where they came from."""
    if outcome.reference is None:
        return {}
    test, key = outcome.reference.test, jax.random.key(0)
    back = model.generate(key, {"other": test["target"]})
    return {
        **outcome.reference.measured(model.generate(key, {"image": test["image"]})),
        "back_error": float(jnp.mean(jnp.abs(back - test["image"]))),
    }


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    rates = ("learning_rate", "discriminator_a_learning_rate", "discriminator_b_learning_rate")
    return {"schedules": [training.warmup_cosine(config.steps, name=name) for name in rates]}


def named(row: Mapping[str, Any]) -> str:
    """Returns what a lane is called in figures."""
    return f"cycle {row['cycle_weight']:g}, identity {row['identity_weight']:g}"


def figures(outcome: Outcome) -> dict[str, Any]:
    """Draws translations of both ways, and their errors beside those of no translator."""
    models = experiment.firsts(outcome.result, named)
    found, key = outcome.reference, jax.random.key(0)
    test = data.head(outcome.splits.test, 1000) if found is None else found.test
    images = {"image": test["image"], "other": test.get("target", test.get("other"))}
    some, drawn = np.linspace(0, len(test["image"]) - 1, 13).astype(int), {}
    for entry, truth, way in (("image", "other", "there"), ("other", "image", "back")):
        table = {entry: images[entry]}
        table |= {name: m.generate(key, {entry: images[entry]}) for name, m in models.items()}
        if found is not None:
            table |= {"nearest": found.nearest} if entry == "image" else {}
            table["truth"] = images[truth]
        drawn[f"Test images, and what they are translated to, {way}."] = plots.image_rows(
            {name: rows[some] for name, rows in table.items()}
        )
    points = [{**row, "weights": named(row)} for row in outcome.rows if row["status"] == "ok"]
    for column, words in (
        ("translation_error", "absolute error of a pixel"),
        ("class_kept", "part of the letters read as what they were"),
    ):
        own = [row for row in points if column in row]
        if own:
            means = plots.aggregate(own, ["weights"], [column])
            bars = {point["weights"]: {"": point[column]} for point in means}
            bars |= {name: {"": values[column]} for name, values in found.found.items()}
            drawn[f"The {words}, beside what needs no translator."] = plots.bars(bars, words)
    return drawn


def notes(found: Reference | None) -> list[str]:
    """Says what is measured, and how good it is of what needs no translator."""
    lines = ["cycle_error and identity_error are sums over the pixels of both domains."]
    if found is None:
        return lines
    lines.append(
        "translation_error and back_error are mean absolute differences from the same image in the "
        "other domain; class_kept is the part of the translations that a support vector machine on "
        "training images of that domain takes for what they were."
    )
    for name, values in found.found.items():
        said = ", ".join(f"{column} {value:.4f}" for column, value in values.items())
        lines.append(f"{name}: {said}")
    return lines


study = experiment.Study(
    "cycle_gan",
    "CycleGAN",
    build,
    table=["translation_error", "class_kept", "back_error", "cycle_error", "identity_error"],
    figures=figures,
    options=options,
    load=load,
    reference=reference,
    describe=describe,
)


def cycle_gan(config: Config) -> None:
    """Sweeps the weights of both losses of pixels."""
    outcome = study.train(config)
    experiment.report(
        config,
        outcome.out,
        f"{study.title} on {config.dataset}",
        outcome.rows,
        ("cycle_weight", "identity_weight", "learning_rate"),
        study.table,
        lambda: figures(outcome),
        outcome.result,
        notes(outcome.reference),
    )


if __name__ == "__main__":
    cli.main(cycle_gan, PRESETS, description=__doc__)
