"""Robust autoencoders: trained on contaminated images, tested on clean ones.

    python experiments/robust_ae.py

After training on images of which many pixels were turned black or white, or with heavy tails,
correntropy has half the error on clean ones that squared error has; without noise they are equal.

Reference: Liu, Pokharel and Principe (2007), Correntropy; Qi, Wang, Zheng and Wu (2014), Robust
Feature Learning by Stacked Autoencoder with Maximum Correntropy Criterion.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp

from ae_jax import cli, data, experiment, methods, nets, plots, training
from ae_jax.core import FRACTION, NOT_NEGATIVE, POSITIVE, InputError, Method
from ae_jax.experiment import Count, Model, Splits, Sweep, Swept
from ae_jax.recipes import greedy

Kind = Literal["heavy_tailed", "salt_and_pepper", "gaussian_noise", "masking", "occlusion"]
Criterion = Literal["squared_error", "absolute_error", "correntropy"]


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    contamination: Swept[Kind] = ("heavy_tailed", "salt_and_pepper")
    """What spoils the training images, once and for all."""
    level: Swept[Annotated[float, NOT_NEGATIVE]] = (0.0, 0.1, 0.2, 0.4)
    """The noise's scale, a pixel's probability, or a block's side over the image's."""
    fraction: Swept[Annotated[float, FRACTION]] = (1.0,)
    """Of the training images that are contaminated."""
    contamination_seed: experiment.Whole = 0
    """All lanes have the same contaminated images."""
    criterion: Swept[Criterion] = ("squared_error", "absolute_error", "correntropy")
    """How reconstructions are compared with the images; each is compiled on its own."""
    sigma: Swept[Annotated[float, POSITIVE]] = (0.25, 0.5, 1.0)
    """Kernel width of correntropy, in grey levels: errors well above it hardly count."""
    latent_size: Count = 16
    widths: tuple[Count, ...] = (64,)
    """Hidden layers before the latent; not swept."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Of hidden layers."""
    stack_criterion: tuple[Criterion, ...] = ("squared_error", "correntropy")
    """Of stacks, on the first contamination's last level and fraction; none for no stack."""
    stack_widths: tuple[Count, ...] = (64, 10)
    """Sigmoid layers of a stack; not swept."""
    layer_steps: Count = 1000
    """For each layer of a stack, which is then fine-tuned for `steps`."""
    learning_rate: Swept[float] = (3e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 1500


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
#: What is trained, and what the table has a row for each combination of.
TRAINED = (*data.Condition._fields, "model", "criterion")
BY = (*TRAINED, "sigma", "learning_rate")


def robust_ae(config: Config) -> None:
    """Sweeps criteria of reconstruction over contaminations of the training images."""
    if config.stack_criterion and not config.stack_widths:
        raise InputError("--stack-widths has no layer: give one, or --stack-criterion none")
    clean, key = experiment.load_splits(config), jax.random.key(config.contamination_seed)
    swept = (config.contamination, config.level, config.fraction)
    splits = {
        condition: Splits(*spoiled, clean.test)
        for condition, spoiled in data.conditions(key, clean[:2], *swept).items()
    }
    conditions = list(splits)
    shown = conditions.index((config.contamination[0], config.level[-1], config.fraction[-1]))
    sweeps = [whole(config, criterion, list(splits.values())) for criterion in config.criterion]
    sweeps += [
        stack(config, criterion, shown, splits[conditions[shown]])
        for criterion in dict.fromkeys(config.stack_criterion)
    ]
    test = data.head(clean.test, 5000)
    noisy = [data.head(part.validation, 5000) for part in splits.values()]
    models: dict[int, Model] = {}

    def describe(model: Model) -> dict[str, float]:
        models[model.row["lane"]] = model
        spoiled = noisy[model.row["condition"]]
        error = jnp.mean((model.reconstruct(test) - test["image"]) ** 2)
        missed = jnp.mean(jnp.abs(model.reconstruct(spoiled) - spoiled["image"]))
        return {"psnr": float(-10 * jnp.log10(error)), "validation_error": float(missed)}

    rows = experiment.side_by_side(sweeps, describe, BY)
    for row in rows:
        row |= conditions[row.pop("condition")]._asdict()
    best = experiment.best_settings(rows, BY, TRAINED, "validation_error", least=True)
    experiment.report(
        config,
        sweeps[0][1].out,
        f"Robust autoencoders on {config.dataset}",
        rows,
        BY,
        ("squared_error", "psnr", "validation_error"),
        lambda: figures(config, splits, rows, best, models),
        [found.result for _, found in sweeps],
        [
            "squared_error and psnr (dB) are of clean test images; validation_error, which chooses "
            "settings, is the mean absolute error of a pixel of contaminated validation images.",
            *words(best),
        ],
    )


def compared(config: Config, criterion: str) -> tuple[Any, dict[str, Any]]:
    """Returns how a criterion compares reconstructions with images, and what is swept of it."""
    own = {"sigma": config.sigma} if criterion == "correntropy" else {}
    return methods.observations.OBSERVATIONS[criterion](), own


def build(config: Config, spec: Mapping[str, Any], criterion: str) -> Method:
    """Returns the autoencoder of a criterion, on images of all conditions side by side."""
    return methods.one_of_several(
        methods.autoencoder(
            nets.mlp(config.latent_size, config.widths, config.activation),
            nets.mlp(spec["image"].shape[1:], config.widths[::-1], config.activation),
            reconstruction=compared(config, criterion)[0],
        ),
        spec["image"].shape[0],
    )


def whole(config: Config, criterion: str, conditions: Sequence[Splits]) -> tuple[dict, Sweep]:
    """Trains a criterion's autoencoders, those of all conditions at once."""
    splits = Splits(*map(data.side_by_side, zip(*conditions, strict=True)))
    return {"model": "autoencoder", "criterion": criterion}, experiment.sweep(
        config,
        "robust_ae",
        build(config, splits.train.spec, criterion),
        splits,
        {"condition": range(len(conditions)), **compared(config, criterion)[1]},
        part=criterion,
        schedules=[training.warmup_cosine(config.steps)],
    )


def stack(config: Config, criterion: str, place: int, splits: Splits) -> tuple[dict, Sweep]:
    """Trains stacks layer by layer and then as a whole, all by the same criterion."""
    loss, values = compared(config, criterion)
    layers = greedy.autoencoder_layers(config.stack_widths, splits.image_shape, reconstruction=loss)
    part, steps = f"stack-{criterion}", config.layer_steps
    trained = experiment.pretrain(
        config, "robust_ae", layers, splits, values, steps, part=f"{part}/layers"
    )
    return {"model": "stack", "criterion": criterion, "condition": place}, experiment.sweep(
        config,
        "robust_ae",
        methods.autoencoder(trained.encoder, trained.decoder, reconstruction=loss),
        splits,
        values,
        part=f"{part}/fine-tuned",
        schedules=[training.warmup_cosine(config.steps)],
        start=trained.start,
    )


def words(best: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says for each condition and model what the criteria's best settings come to."""
    lines: dict[str, list[str]] = {}
    for point in plots.aggregate(best, (*TRAINED, "sigma"), ["squared_error"]):
        name, level, fraction, model, criterion, sigma, _, _, error = point.values()
        kernel = "" if sigma is None else f" (sigma {sigma:g})"
        start = f"{name} {level:g}, {fraction:.0%} of the images, {model}: "
        lines.setdefault(start, []).append(f"{criterion}{kernel} {error:.2f}")
    return [start + ", ".join(parts) for start, parts in lines.items()]


def figures(
    config: Config, splits: Mapping, rows: Sequence[Mapping], best: Sequence, models: Mapping
) -> dict[str, Any]:
    """Draws errors by contamination and kernel width, contaminated images, reconstructions."""
    drawn: dict[str, Any] = {}
    best = [{**row, "criterion": row["criterion"].replace("_", " ")} for row in best]
    x, other = ("level", "fraction") if len(config.level) > 1 else ("fraction", "level")
    level, fraction = config.level[-1], config.fraction[-1]
    last = {"level": level, "fraction": fraction}
    for kind in config.contamination:
        name, own = kind.replace("_", " "), experiment.where(best, contamination=kind)
        whole = experiment.where(own, model="autoencoder", **{other: last[other]})
        curves = plots.mean_curves(whole, x, "squared_error", lambda row: row["criterion"])
        drawn[
            f"Squared error of clean test images by the criterion of training, at a {other} of "
            f"{last[other]:g} of {name} training images."
        ] = plots.lines(curves, f"{x} of contamination", "squared error", heading=name)
        kernels = experiment.where(rows, contamination=kind, model="autoencoder", fraction=fraction)
        kernels = experiment.where(kernels, criterion="correntropy")
        if kernels and len(config.sigma) > 1:
            curves = plots.mean_curves(kernels, "sigma", "squared_error", lambda row: row["level"])
            drawn[f"Squared error of clean test images by the kernel width, {name}."] = plots.lines(
                curves, "kernel width", "squared error", name="level", log_x=True, heading=name
            )
        shown = {
            f"level {one:g}": data.head(splits[kind, one, fraction].train, 10)["image"]
            for one in config.level
        }
        drawn[f"Training images, {fraction:.0%} with {name}."] = plots.image_rows(shown, name)
        test = data.head(splits[kind, level, fraction].test, 10)
        outputs = {
            f"{row['model']}, {row['criterion']}": models[row["lane"]].reconstruct(test)
            for row in experiment.where(own, seed=0, **last)
            if row["lane"] in models
        }
        drawn[f"Clean test images after training with {name} at {level:g}."] = (
            plots.reconstructions(test["image"], outputs, "clean", heading=name)
        )
    if config.stack_criterion:
        table: dict[str, dict[str, Any]] = {}
        own = experiment.where(best, contamination=config.contamination[0], **last)
        for point in plots.aggregate(own, ("model", "criterion"), ["squared_error"]):
            table.setdefault(point["model"], {})[point["criterion"]] = point["squared_error"]
        drawn[
            f"Squared error of clean test images after {config.contamination[0]} at {level:g}, of "
            "autoencoders trained as a whole, and stacks trained layer by layer, then fine-tuned."
        ] = plots.bars(table, "squared error", name="criterion")
    return drawn


if __name__ == "__main__":
    cli.main(robust_ae, PRESETS)
