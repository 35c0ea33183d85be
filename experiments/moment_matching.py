"""Generators that match the data without an adversary, in pixels and in an autoencoder's codes.

    python experiments/moment_matching.py
    python experiments/moment_matching.py --preset ring     # or grid: mixtures in the plane

A matching network lowers a discrepancy of its samples from the data: the maximum mean discrepancy,
whose kernels' scale is swept as a traced number, a sliced Wasserstein distance or a Sinkhorn
divergence. In the codes of an autoencoder, trained before, it covers more of the test digits than
in pixels with as many steps of its own; a Gaussian with the data's moments covers less.

Reference: Li, Swersky and Zemel (2015), Generative Moment Matching Networks.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import POSITIVE, Array, Method, Network
from ae_jax.data.sources import densities
from ae_jax.experiment import Count, Swept
from ae_jax.methods import discrepancies

PARTS = {
    "mmd": discrepancies.mmd,
    "sliced": discrepancies.sliced_wasserstein,
    "sinkhorn": discrepancies.sinkhorn,
}
BY = ("sampler", "kernel_scale", "sinkhorn_epsilon")
TABLE = (
    *("modes", "high_quality", "mode_kl", "coverage", "density", "precision", "recall"),
    *("feature_kernel_distance", "feature_kernel_error", "kernel_distance", "kernel_error"),
    *("sample_distance", "closer", "parzen"),
)
#: Deviations of the Gaussians around samples, of which validation images choose one.
DEVIATIONS = np.geomspace(0.05, 0.5, 13)


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    space: Swept[Literal["data", "codes"]] = ("data", "codes")
    """What is matched: examples, or their codes by an autoencoder that is trained before."""
    discrepancy: Swept[Literal[*PARTS]] = ("mmd",)
    kernel_scale: Swept[float] = (1.0, 0.1, 10.0)
    """Multiplies the variances of mmd's kernels, 0.02 to 1 mean squared distances of examples."""
    sinkhorn_epsilon: Swept[float] = (0.02,)
    """In mean squared distances of examples."""
    latent_size: Count = 8
    widths: tuple[Count, ...] = (64, 256, 256)
    """Hidden layers of the generator."""
    code_size: Count = 16
    """Sigmoid units of the autoencoder's code."""
    code_widths: tuple[Count, ...] = (128,)
    """Hidden layers of its encoder; its decoder's are the same, backwards."""
    code_learning_rate: Annotated[float, POSITIVE] = 3e-3
    code_steps: Count = 3000
    steps: Count = 1500
    batch_size: Count = 256
    samples: Count = 1000
    """Of each model; as many as there are test images, at most, are compared with them."""
    seeds: Count = 2


# Two latents, as a plane has: of eight, most of what is generated lies between the modes.
PLANE = Config(space=("data",), discrepancy=tuple(PARTS), kernel_scale=(0.1, 1.0), seeds=5)
PLANE = dataclasses.replace(PLANE, latent_size=2, learning_rate=(5e-3,), steps=3000, samples=2500)
PRESETS = {
    "default": Config(),
    "smoke": Config(
        kernel_scale=(1.0,), widths=(16,), code_steps=30, steps=30, samples=40, seeds=1
    ),
    "ring": dataclasses.replace(PLANE, dataset="ring"),
    "grid": dataclasses.replace(PLANE, dataset="grid"),
    "paper": Config(
        dataset="mnist",
        latent_size=10,
        widths=(64, 256, 256, 1024),
        code_size=32,
        code_widths=(1024,),
        code_steps=50_000,
        steps=50_000,
        batch_size=1000,
        samples=10_000,
        seeds=1,
    ),
}


def moment_matching(config: Config) -> None:
    """Trains matching networks, in an autoencoder's codes too, and compares what they make."""
    kinds = ("image",) if "codes" in config.space else ("image", "point")
    splits = experiment.load_splits(config, held_out=1000, kinds=kinds)
    planar = len(splits.train.spec["image"].shape) == 1
    builder = functools.partial(build, config, splits.train.spec)
    schedules, size, parts = [training.warmup_cosine(config.steps)], config.batch_size, {}
    for space, kind in itertools.product(config.space, config.discrepancy):
        own = {number: getattr(config, number) for number in PARTS[kind]().hparams}
        values = {"space": space, "discrepancy": kind, **own}
        parts[kind if space == "data" else f"{kind} in codes"] = values
        experiment.check(builder, experiment.lanes(config, values), schedules, splits, size)
    train, validation, test = (data.head(part, 10_000)["image"] for part in splits)
    count = min(len(test), config.samples)
    features, said = {}, []
    if not planar:
        experiment.check_generated(count, len(test))
        encoder = nets.mlp(32, (64,), output_activation="relu")
        features, said = experiment.class_features(config, "moment_matching", splits, encoder)
    codes = coder(config, splits) if "codes" in config.space else {}
    sweeps = {}
    for sampler, values in parts.items():
        options = {"part": sampler.replace(" ", "-"), "schedules": schedules}
        if values["space"] == "codes":
            lanes = experiment.lanes(config, values)
            options["start"] = [codes[lane["seed"]] for lane in lanes]
        sweeps[sampler] = experiment.sweep(
            config, "moment_matching", builder, splits, values, **options
        )
    drawn: dict[str, Array] = {}

    def measure(row: Mapping[str, Any], made: Array) -> dict[str, float]:
        drawn.setdefault(label(row), made)
        if planar:
            return of_modes(config, made)
        found = experiment.generated(made[:count], train, test[:count], features)
        flat, seen, unseen = (x.reshape(len(x), -1) for x in (made, validation, test[:count]))
        width = metrics.parzen_deviation(flat, seen[:1000], DEVIATIONS)
        likely = metrics.parzen_log_likelihood(flat, unseen, width)
        return found | {"parzen": float(jnp.mean(likely))}

    def describe(model: experiment.Model) -> dict[str, float]:
        return measure(model.row, model.sample(jax.random.key(model.row["seed"]), config.samples))

    named = [({"sampler": sampler}, found) for sampler, found in sweeps.items()]
    rows = experiment.side_by_side(named, describe, BY)
    others = {
        "training examples": jax.random.permutation(jax.random.key(0), train)[: config.samples],
        "Gaussian": experiment.gaussian_images(jax.random.key(0), train, config.samples),
    }
    given = [{"sampler": sampler, "seed": 0, "status": "ok"} for sampler in others]
    rows += [row | measure(row, others[row["sampler"]]) for row in given]
    if not planar:
        said.append(
            f"A test image is {rows[-1]['test_distance']:.3f} from the nearest training image; in "
            "`closer` of the cases a sample is nearer. Parzen log-likelihoods are for rank only."
        )
    rows = experiment.numbered(rows, BY)
    title, out = f"Matching networks on {config.dataset}", cli.directory(config, "moment_matching")
    draw = functools.partial(figures, config, rows, drawn, train, test, sweeps)
    results = [found.result for found in sweeps.values()]
    experiment.report(config, out, title, rows, BY, TABLE, draw, results, said)


def build(config: Config, spec: Mapping[str, Any], space: str, discrepancy: str) -> Method:
    """Returns the matching network of a space, which in that of codes has an autoencoder."""
    shape = spec["image"].shape
    given = {"latent_size": config.latent_size, "discrepancy": PARTS[discrepancy]()}
    if space == "codes":
        encoder, decoder = coding(config, shape)
        generator = nets.mlp(config.code_size, config.widths)
        return methods.stage(encoder, methods.matching_network(generator, **given), decoder)
    if len(shape) == 1:
        given["output"] = jnp.asarray
    return methods.matching_network(nets.mlp(shape, config.widths), **given)


def coding(config: Config, shape: Sequence[int]) -> tuple[Network, Network]:
    """Returns an encoder to sigmoid units, and the decoder of pixels."""
    encoder = nets.mlp(config.code_size, config.code_widths, output_activation="sigmoid")
    return encoder, nets.mlp(shape, config.code_widths[::-1], output_activation="sigmoid")


def coder(config: Config, splits: experiment.Splits) -> dict[int, Any]:
    """Trains an autoencoder for each seed, and returns their parameters."""
    method = methods.autoencoder(*coding(config, splits.image_shape))
    steps, values = config.code_steps, {"learning_rate": config.code_learning_rate}
    options = {"steps": steps, "batch_size": min(64, config.batch_size), "everywhere": True}
    options |= {"part": "autoencoder", "schedules": [training.warmup_cosine(steps)]}
    result, _ = experiment.sweep(config, "moment_matching", method, splits, values, **options)
    lanes = [experiment.model(result, row["lane"]) for row in result.rows]
    return {lane.row["seed"]: lane.state.params for lane in lanes}


def of_modes(config: Config, points: Array) -> dict[str, float]:
    """Returns how many modes a quarter of their share of points is near, and how many are near."""
    density = densities.density(config.dataset)
    if density.centres is None:
        return {}
    least = max(1, len(points) // (4 * len(density.centres)))
    found = metrics.mode_coverage(points, density.centres, density.deviation, least=least)
    return {column: float(value) for column, value in found.items()}


def label(row: Mapping[str, Any]) -> str:
    """Returns what a row's sampler and settings are called."""
    return experiment.named(row["sampler"], {**dict.fromkeys(BY), **row}, BY[1:])


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, Array],
    train: Array,
    test: Array,
    sweeps: Mapping[str, experiment.Sweep],
) -> dict[str, Any]:
    """Draws samples of the first seed, how good they are, and the losses over training."""
    found: dict[str, Any] = {}
    value, firsts = "high_quality", {name.partition(",")[0]: name for name in reversed(drawn)}
    if test.ndim > 2:
        value, flat, beside = "coverage", train.reshape(len(train), -1), {}
        shown = {name: made[:16] for name, made in drawn.items()}
        found["Test images, and samples."] = plots.reconstructions(test[:16], shown, "test")
        for sampler, name in reversed(firsts.items()):
            places, _ = metrics.nearest_examples(shown[name].reshape(16, -1), flat)
            if sampler != "training examples":
                beside |= {sampler: shown[name], f"nearest to {sampler}": train[places[:, 0]]}
        found["Samples, and the training image next to each."] = plots.image_rows(beside)
    else:
        panels = {name: {"test": test[:1000], "samples": x[:1000]} for name, x in drawn.items()}
        found["Test points, and samples."] = plots.clouds(panels)
    rows, words = [row for row in rows if value in row], plots.label(value)
    means = plots.mean_table(rows, label, [value])
    scaled = [row for row in rows if row["kernel_scale"] is not None]
    if scaled and len(config.kernel_scale) > 1:
        curves = plots.mean_curves(scaled, "kernel_scale", value, lambda row: row["sampler"])
        for name in firsts.keys() - curves.keys():
            level = [means[firsts[name]][words].mean] * len(config.kernel_scale)
            curves[name] = (sorted(config.kernel_scale), level, None)
        found["What samples cover of the test data, by the scale of the kernels."] = plots.lines(
            curves, "scale of the kernels", words, log_x=True
        )
    elif rows:
        found["How good samples are."] = plots.bars(means, words)
    for sampler, (result, out) in sweeps.items():
        records = experiment.records(out / sampler.replace(" ", "-"))
        curves = plots.learning_curves(records, "loss", result.rows)
        found[f"The loss over training, {sampler}."] = curves
    return found


if __name__ == "__main__":
    cli.main(moment_matching, PRESETS)
