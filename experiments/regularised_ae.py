"""Autoencoders without a prior, drawn from by densities of their codes, beside a VAE.

    python experiments/regularised_ae.py

Draws of a standard normal decode to digits only where training has put codes there: in a
Wasserstein autoencoder, and less so in a VAE. A mixture of Gaussians or a kernel density that is
fitted to codes afterwards makes samples of every model that are as near to test digits as training
digits are, up to standard errors: also of one that nothing regularises, so that on these digits the
penalties of the decoder are worth nothing beside it.

Reference: Ghosh et al. (2020), From Variational to Deterministic Autoencoders; Tolstikhin et al.
(2018), Wasserstein Auto-Encoders.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import NOT_NEGATIVE, Array, Method
from ae_jax.experiment import Count, Model, Splits, Swept
from ae_jax.methods import observations, penalties
from ae_jax.probability import priors
from ae_jax.recipes import samplers

NAME = "regularised_ae"
MODELS = {
    "none": "no penalty",
    "l2": "decoder's weights (L2)",
    "gradient": "decoder's Jacobian (GP)",
    "spectral": "spectral norm (SN)",
    "vae": "VAE",
    "wae": "WAE-MMD",
}
#: A column's prefix: how codes [N, Z] become the density that is drawn from.
SAMPLERS: Mapping[str, Callable[[np.ndarray, "Config"], priors.Prior]] = {
    "normal": lambda codes, config: priors.normal(),
    "gaussian": lambda codes, config: samplers.gaussian(codes, 1e-6),
    "mixture": lambda codes, config: samplers.gaussian_mixture(codes, config.components),
    "kernel": lambda codes, config: samplers.kernel_density(codes),
}
WORDS = {"normal": "standard normal", "gaussian": "Gaussian", "kernel": "kernel density"}
DISTANCES = tuple(f"{sampler}_distance" for sampler in SAMPLERS)
TABLE = ("squared_error", *DISTANCES, "mixture_coverage", "kernel_closer")
Weight = Annotated[float, NOT_NEGATIVE]


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    model: Swept[Literal[tuple(MODELS)]] = tuple(MODELS)
    """Each is compiled on its own."""
    latent_size: Count = 8
    widths: tuple[Count, ...] = (128,)
    """Hidden layers of the encoder; the decoder's are the same, backwards."""
    latent_norm: Weight = 0.02
    """Weight of half the codes' squared length, in all that have neither prior nor `none`."""
    weight_decay: Weight = 1e-3
    gradient: Weight = 0.02
    matching: Weight = 10.0
    """Weight of the discrepancy of a WAE's codes from a standard normal."""
    components: Count = 10
    """Of the mixture of Gaussians."""
    samples: Count = 1000
    """Of each model by each sampler; as many as there are test images, at most, are compared."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 3000


PRESETS = {
    "default": Config(),
    "smoke": Config(
        model=("gradient", "wae"), widths=(16,), components=2, samples=40, seeds=2, steps=40
    ),
    "paper": Config(
        dataset="mnist",
        latent_size=16,
        widths=(1024, 1024),
        samples=10_000,
        learning_rate=(1e-3,),
        steps=60_000,
    ),
}


def build(config: Config, spec: Mapping[str, Any], model: str) -> Method:
    """Returns an autoencoder, of which all but the VAE's have a squared error."""
    shape, size = spec["image"].shape, config.latent_size
    encoder, decoder = nets.mlp(size, config.widths), nets.mlp(shape, config.widths[::-1])
    if model == "vae":
        return methods.vae(
            nets.mlp(2 * size, config.widths),
            nets.shared_scale(decoder, initial=-2.0),
            size,
            likelihood=observations.learned_gaussian(),
        )
    parts = {
        "none": [],
        "l2": [penalties.weight_decay(config.weight_decay, "decoder")],
        "gradient": [penalties.decoder_jacobian(config.gradient)],
        "spectral": [],
        "wae": [penalties.matching(config.matching)],
    }[model]
    if model in ("l2", "gradient", "spectral"):
        parts = [penalties.latent_norm(config.latent_norm), *parts]
    decoder = nets.spectral(decoder) if model == "spectral" else decoder
    return methods.autoencoder(encoder, decoder, penalties=parts)


def regularised_ae(config: Config) -> None:
    """Trains the autoencoders, and draws from each by all densities of its codes."""
    splits = experiment.load_splits(config, held_out=1000)
    builder = functools.partial(build, config, splits.train.spec)
    values, schedules = {"model": config.model}, [training.warmup_cosine(config.steps)]
    lanes = experiment.lanes(config, values)
    experiment.check(builder, lanes, schedules, splits, config.batch_size)
    train, test = (data.head(part, 10_000)["image"] for part in (splits.train, splits.test))
    count = min(len(test), config.samples)
    experiment.check_generated(count, len(test))
    encoder = nets.mlp(32, (64,), output_activation="relu")
    features, said = experiment.class_features(config, NAME, splits, encoder)
    trained = experiment.sweep(
        config, NAME, builder, splits, values, part="models", schedules=schedules
    )
    compare = functools.partial(
        experiment.generated, train=train, test=test[:count], features=features
    )
    kept: dict[tuple[str, str], Array] = {}
    describe = functools.partial(described, config, splits, count, compare, bool(features), kept)
    rows = experiment.described(trained, describe)
    seen = compare(jax.random.permutation(jax.random.key(0), train)[:count])
    said += notes(rows, seen, bool(features))
    draw = functools.partial(figures, rows, test, kept)
    title = f"Regularised autoencoders on {config.dataset}"
    by = ("model", "learning_rate")
    experiment.report(config, trained.out, title, rows, by, TABLE, draw, trained.result, said)


def described(
    config: Config,
    splits: Splits,
    count: int,
    compare: Callable[[Array], Mapping[str, float]],
    featured: bool,
    kept: dict[tuple[str, str], Array],
    model: Model,
) -> dict[str, float]:
    """Returns how far samples by each density are from test images; keeps some of a first seed."""
    codes = samplers.codes(model, splits.train)
    batch = data.head(splits.test, 10_000)
    error = metrics.mean_over_examples(
        jnp.sum((model.reconstruct(batch) - batch["image"]) ** 2, axis=(1, 2, 3))
    )
    columns = {"squared_error": float(error.mean)}
    fits = {name: functools.partial(fit, config=config) for name, fit in SAMPLERS.items()}
    for sampler, density in experiment.densities(codes, fits).items():
        key = jax.random.key(model.row["seed"])
        made = samplers.generated(key, model, density, (count, codes.shape[1]))
        made = jnp.clip(made, 0, 1)  # as they are shown
        found = compare(made)
        prefix = "feature_" if featured else ""
        columns[f"{sampler}_distance"] = found[f"{prefix}kernel_distance"]
        columns[f"{sampler}_error"] = found[f"{prefix}kernel_error"]
        columns[f"{sampler}_coverage"] = found["coverage"]
        columns[f"{sampler}_closer"] = found["closer"]
        kept.setdefault((model.row["model"], sampler), made[:16])
    return columns


def notes(
    rows: Sequence[Mapping[str, Any]], seen: Mapping[str, float], featured: bool
) -> list[str]:
    """Says what distances are of, and how far training images are."""
    prefix = "feature_" if featured else ""
    errors = [row[f"{s}_error"] for row in rows for s in SAMPLERS if f"{s}_error" in row]
    return [
        f"Distances are kernel distances of {'features' if featured else 'pixels'} from test "
        f"images, with a standard error of {np.mean(errors or [np.nan]):.4f} each; as many "
        f"training images are {seen[f'{prefix}kernel_distance']:.4f} away. Nothing but codes of "
        "training images is fitted; kernel_closer is the share of samples by the kernel density "
        "that are nearer to a training image than test images are.",
    ]


def figures(
    rows: Sequence[Mapping[str, Any]], test: Array, kept: Mapping[tuple[str, str], Array]
) -> dict[str, Any]:
    """Draws distances by model and sampler, and samples."""
    found = [row for row in rows if not row.keys().isdisjoint(DISTANCES)]
    columns = {f"{sampler}_distance": WORDS.get(sampler, sampler) for sampler in SAMPLERS}
    table = plots.mean_table(found, lambda row: MODELS[row["model"]], columns)
    drawn = {
        "How far samples are from test images, by model and by what codes are drawn from.": (
            plots.bars(table, "kernel distance from test images", name="codes drawn from")
        )
    }
    for sampler in SAMPLERS:
        made = {MODELS[model]: images for (model, own), images in kept.items() if own == sampler}
        words = WORDS.get(sampler, sampler)
        drawn[f"Test images, and what is decoded of draws of the {words}."] = plots.reconstructions(
            test[:16], made, "test"
        )
    return drawn


if __name__ == "__main__":
    cli.main(regularised_ae, PRESETS, description=__doc__)
