"""Robust autoencoders: trained on contaminated images, tested on clean ones.

    python experiments/robust_ae.py

After training on images of which many pixels were turned black or white, or have heavy-tailed
noise, correntropy has about half the squared error on clean test images that squared error has;
without noise the two are equal.

Reference: Liu, Pokharel and Principe (2007), Correntropy; Qi, Wang, Zheng and Wu (2014), Robust
Feature Learning by Stacked Autoencoder with Maximum Correntropy Criterion.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, nets, plots, training
from ae_jax.core import InputError
from ae_jax.recipes import greedy

Kind = Literal["heavy_tailed", "salt_and_pepper", "gaussian_noise", "masking", "occlusion"]
Criterion = Literal["squared_error", "absolute_error", "correntropy"]


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    contamination: tuple[Kind, ...] = ("heavy_tailed", "salt_and_pepper")
    """What spoils the training images, once and for all."""
    level: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)
    """The noise's scale, a pixel's probability, or a block's side over the image's."""
    fraction: tuple[float, ...] = (1.0,)
    """Of the training images that are contaminated."""
    contamination_seed: int = 0
    """All lanes have the same contaminated images."""
    criterion: tuple[Criterion, ...] = ("squared_error", "absolute_error", "correntropy")
    """How reconstructions are compared with the images; each is compiled on its own."""
    sigma: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Kernel width of correntropy, in grey levels: errors well above it hardly count."""
    latent_size: int = 16
    widths: tuple[int, ...] = (64,)
    """Hidden layers before the latent; not swept."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Of hidden layers."""
    stack_criterion: tuple[Criterion, ...] = ("squared_error", "correntropy")
    """Of stacks, on the first contamination's last level and fraction; none for no stack."""
    stack_widths: tuple[int, ...] = (64, 10)
    """Sigmoid layers of a stack; not swept."""
    layer_steps: int = 1000
    """For each layer of a stack, which is then fine-tuned for `steps`."""
    learning_rate: tuple[float, ...] = (3e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: int = 1500


PRESETS = {
    "default": Config(),
    "smoke": Config(
        contamination=("salt_and_pepper",),
        level=(0.0, 0.4),
        criterion=("squared_error", "correntropy"),
        sigma=(0.5,),
        stack_criterion=(),
        widths=(),
        seeds=2,
        steps=40,
    ),
    "paper": Config(
        dataset="mnist",
        latent_size=100,
        widths=(500, 200),
        stack_widths=(500, 200, 100),
        layer_steps=50_000,
        steps=50_000,
        batch_size=100,
    ),
}


class Condition(NamedTuple):
    """How training images are contaminated."""

    contamination: str
    level: float
    fraction: float


class Compared(NamedTuple):
    """A row per lane, and its lane, by the row's number."""

    rows: list[dict[str, Any]]
    models: dict[int, experiment.Model]


def robust_ae(config: Config) -> None:
    """Sweeps criteria of reconstruction over contaminations of the training images."""
    check(config)
    splits = experiment.load(config)
    conditions = {
        condition: contaminated(config, condition, splits)
        for condition in itertools.starmap(
            Condition, itertools.product(config.contamination, config.level, config.fraction)
        )
    }
    found = Compared([], {})
    for criterion in config.criterion:
        trained = sweep(config, criterion, splits, conditions, found)
    condition = Condition(config.contamination[0], config.level[-1], config.fraction[-1])
    for criterion in config.stack_criterion:
        stack(config, criterion, condition, conditions[condition], found)
    rows = found.rows
    best = chosen(rows)
    experiment.report(
        config,
        trained.out,
        f"Robust autoencoders on {config.dataset}",
        rows,
        (*Condition._fields, "model", "criterion", "sigma", "learning_rate"),
        ("squared_error", "psnr", "validation_error"),
        lambda: figures(config, conditions, found, best),
        notes=[
            "squared_error and psnr (dB) are of clean test images; validation_error is the mean "
            "absolute error of a pixel of contaminated validation images, by which the figures' "
            "settings are chosen: no clean image is needed for that.",
            *words(best),
        ],
    )


def check(config: Config) -> None:
    """Raises InputError for values that cannot be used."""
    for name in ("contamination", "level", "fraction", "criterion", "sigma", "stack_criterion"):
        values = getattr(config, name)
        if not (values or name == "stack_criterion") or len(set(values)) < len(values):
            raise InputError(f"{name} needs values, each once")
    experiment.at_least(config, 0, "level", "fraction", "contamination_seed")
    experiment.at_least(config, 1, "latent_size", "widths", "stack_widths", "layer_steps")
    if config.stack_criterion and not config.stack_widths:
        raise InputError("stack_widths must name at least one layer")
    if max(config.fraction) > 1 or max(config.level) == math.inf:
        raise InputError("a fraction is from 0 to 1, and a level is finite")
    bounded = not {"heavy_tailed", "gaussian_noise"}.issuperset(config.contamination)
    if bounded and max(config.level) > 1:
        raise InputError("a level is from 0 to 1; that of heavy_tailed and gaussian_noise from 0")
    if not min(config.sigma) > 0:
        raise InputError(f"sigma is {min(config.sigma):g}: use values above 0")
    experiment.grid(config, {"sigma": config.sigma})


def contaminated(config: Config, condition: Condition, splits: experiment.Splits) -> Any:
    """Returns splits with training and validation images as a condition leaves them."""
    keys = jax.random.split(jax.random.key(config.contamination_seed))
    spoiled = [
        data.contaminate(
            key,
            part,
            corruptions.CORRUPTIONS[condition.contamination],
            condition.level,
            condition.fraction,
        )
        for key, part in zip(keys, splits[:2], strict=True)
    ]
    return experiment.Splits(*spoiled, splits.test)


def sweep(
    config: Config,
    criterion: str,
    splits: experiment.Splits,
    conditions: Mapping[Condition, experiment.Splits],
    found: Compared,
) -> experiment.Sweep:
    """Trains a criterion's autoencoders, those of all conditions at once."""
    trained = experiment.sweep(
        config,
        "robust_ae",
        methods.one_of_several(
            methods.autoencoder(
                nets.mlp(config.latent_size, config.widths, config.activation),
                nets.mlp(splits.image_shape, config.widths[::-1], config.activation),
                reconstruction=methods.observations.OBSERVATIONS[criterion](),
            )
        ),
        experiment.Splits(*map(data.side_by_side, zip(*conditions.values(), strict=True))),
        {"condition": range(len(conditions)), **swept(config, criterion)},
        part=criterion,
        schedules=[training.warmup_cosine(config.steps)],
    )
    describe(trained, "autoencoder", criterion, conditions, found)
    return trained


def stack(
    config: Config,
    criterion: str,
    condition: Condition,
    splits: experiment.Splits,
    found: Compared,
) -> None:
    """Trains stacks layer by layer and then as a whole, all by the same criterion."""
    part = f"stack-{criterion}"
    values = swept(config, criterion)
    stacked = experiment.pretrain(
        config,
        "robust_ae",
        layers(config, criterion, splits.image_shape),
        splits,
        values,
        config.layer_steps,
        part=f"{part}/layers",
    )
    method = methods.autoencoder(
        stacked.encoder,
        stacked.decoder,
        reconstruction=methods.observations.OBSERVATIONS[criterion](),
    )
    trained = experiment.sweep(
        config,
        "robust_ae",
        method,
        splits,
        values,
        part=f"{part}/fine-tuned",
        schedules=[training.warmup_cosine(config.steps)],
        start=stacked.start,
    )
    describe(trained, "stack", criterion, {condition: splits}, found)


def layers(config: Config, criterion: str, shape: tuple[int, ...]) -> list[greedy.Layer]:
    """Returns the layers of a stack, each of which is trained by the criterion."""
    found = []
    for width in config.stack_widths:
        encoder = nets.mlp(width, (), output_activation="sigmoid")
        decoder = nets.mlp(shape, (), output_activation="sigmoid" if found else "linear")
        method = methods.autoencoder(
            encoder, decoder, reconstruction=methods.observations.OBSERVATIONS[criterion]()
        )
        found.append(greedy.Layer(encoder, decoder, method, lambda state: state.params))
        shape = (width,)
    return found


def swept(config: Config, criterion: str) -> dict[str, Any]:
    """Returns what is swept of a criterion."""
    return {"sigma": config.sigma} if criterion == "correntropy" else {}


def describe(
    trained: experiment.Sweep,
    model: str,
    criterion: str,
    conditions: Mapping[Condition, experiment.Splits],
    found: Compared,
) -> None:
    """Adds a sweep's lanes to what is compared, with the quality of their reconstructions."""
    names, first = list(conditions), len(found.rows)
    spoiled = [experiment.first_batch(part.validation, 5000) for part in conditions.values()]
    clean = experiment.first_batch(conditions[names[0]].test, 5000)

    def quality(lane: experiment.Model) -> dict[str, float]:
        found.models[first + lane.row["lane"]] = lane
        noisy = spoiled[lane.row.get("condition", 0)]
        error = jnp.mean((lane.reconstruct(clean) - clean["image"]) ** 2)
        missed = jnp.mean(jnp.abs(lane.reconstruct(noisy) - noisy["image"]))
        return {"psnr": float(-10 * jnp.log10(error)), "validation_error": float(missed)}

    for row in experiment.described(trained, quality):
        condition = names[row.pop("condition", 0)]
        own = {"model": model, "criterion": criterion, "sigma": row.pop("sigma", None)}
        lane = first + row.pop("lane")
        found.rows.append({"lane": lane, **condition._asdict(), **own, **row})


def chosen(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns, for each condition, model and criterion, the rows of its best settings.

    That is, of the kernel width and learning rate with the least validation error.
    """
    groups: dict[tuple, dict[tuple, list]] = {}
    for row in rows:
        if row["status"] == "ok":
            key = tuple(row[name] for name in (*Condition._fields, "model", "criterion"))
            settings = groups.setdefault(key, {})
            settings.setdefault((row["sigma"], row["learning_rate"]), []).append(row)
    return [
        row
        for settings in groups.values()
        for row in min(
            settings.values(), key=lambda own: np.mean([row["validation_error"] for row in own])
        )
    ]


def words(best: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says for each condition and model what the criteria's best settings come to."""
    lines: dict[str, list[str]] = {}
    for point in plots.aggregate(
        best, (*Condition._fields, "model", "criterion", "sigma"), ["squared_error"]
    ):
        error = point["squared_error"]
        name = point["criterion"].replace("_", " ")
        sigma = "" if point["sigma"] is None else f" (sigma {point['sigma']:g})"
        lines.setdefault(
            f"{point['contamination']} {point['level']:g}, {point['fraction']:.0%} of the images, "
            f"{point['model']}: ",
            [],
        ).append(f"{name}{sigma} {error:.2f}")
    return [start + ", ".join(parts) for start, parts in lines.items()]


def figures(
    config: Config,
    conditions: Mapping[Condition, experiment.Splits],
    found: Compared,
    best: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Draws errors by contamination and kernel width, contaminated images, reconstructions."""
    drawn = {}
    for kind in config.contamination:
        own = [row for row in best if row["contamination"] == kind]
        drawn |= errors(config, kind, own)
        drawn |= kernel_widths(config, kind, found.rows)
        drawn |= pictures(config, kind, conditions, found, own)
    if config.stack_criterion:
        drawn |= stacks(config, best)
    return drawn


def errors(config: Config, kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Draws the criteria's errors against the level, or the fraction where it alone is swept."""
    x, other = ("level", "fraction") if len(config.level) > 1 else ("fraction", "level")
    last = getattr(config, other)[-1]
    own = [row for row in rows if (row["model"], row[other]) == ("autoencoder", last)]
    series = plots.mean_curves(
        own, x, "squared_error", lambda row: row["criterion"].replace("_", " ")
    )
    name = kind.replace("_", " ")
    return {
        f"Squared error of clean test images by the criterion of training, at a {other} of "
        f"{last:g} of {name} training images.": plots.lines(
            series, f"{x} of contamination", "squared error", heading=name
        )
    }


def kernel_widths(config: Config, kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Draws the error against the kernel width, where it is swept."""
    own = [
        row
        for row in rows
        if (row["contamination"], row["model"], row["criterion"], row["fraction"])
        == (kind, "autoencoder", "correntropy", config.fraction[-1])
    ]
    if not own or len(config.sigma) < 2:
        return {}
    name = kind.replace("_", " ")
    series = plots.mean_curves(own, "sigma", "squared_error", lambda row: row["level"])
    return {
        f"Squared error of clean test images against the kernel width, {name}.": plots.lines(
            series, "kernel width", "squared error", name="level", log_x=True, heading=name
        )
    }


def pictures(
    config: Config,
    kind: str,
    conditions: Mapping[Condition, experiment.Splits],
    found: Compared,
    best: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Draws contaminated training images, and test images as first lanes reconstruct them."""
    name, fraction = kind.replace("_", " "), config.fraction[-1]
    own = {level: conditions[kind, level, fraction] for level in config.level}
    shown = {
        f"level {level:g}": experiment.first_batch(splits.train, 10)["image"]
        for level, splits in own.items()
    }
    test = experiment.first_batch(own[config.level[-1]].test, 10)
    models = {
        (row["model"], row["criterion"]): found.models[row["lane"]]
        for row in reversed(best)
        if row["level"] == config.level[-1]
        and row["fraction"] == fraction
        and row["lane"] in found.models
    }
    outputs = {
        ("stack, " if model == "stack" else "") + criterion.replace("_", " "): lane.reconstruct(
            test
        )
        for (model, criterion), lane in models.items()
    }
    first, *rest = shown
    return {
        f"Training images with {name}, {fraction:.0%} of them contaminated.": (
            plots.reconstructions(
                shown[first], {label: shown[label] for label in rest}, first, heading=name
            )
        ),
        f"Clean test images after training with {name} at {config.level[-1]:g}.": (
            plots.reconstructions(test["image"], outputs, "clean", heading=name)
        ),
    }


def stacks(config: Config, best: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Draws the errors of autoencoders trained as a whole and of stacks trained greedily."""
    kind, level = config.contamination[0], config.level[-1]
    place = Condition(kind, level, config.fraction[-1])
    own = [row for row in best if tuple(row[name] for name in Condition._fields) == place]
    found = {
        (point["model"], point["criterion"]): point["squared_error"]
        for point in plots.aggregate(own, ("model", "criterion"), ["squared_error"])
    }
    table = {
        model: {
            criterion.replace("_", " "): found[model, criterion]
            for criterion in dict.fromkeys((*config.criterion, *config.stack_criterion))
            if (model, criterion) in found
        }
        for model in ("autoencoder", "stack")
    }
    return {
        f"Squared error of clean test images after {kind.replace('_', ' ')} noise at {level:g}: "
        "autoencoders trained as a whole, and stacks trained layer by layer and then "
        "fine-tuned.": plots.bars(table, "squared error", name="criterion")
    }


if __name__ == "__main__":
    cli.main(robust_ae, PRESETS)
