"""What latents of a VAE are drawn from: its prior, or what is fitted to them afterwards.

    python experiments/two_stage.py

A VAE whose likelihood has learned its variance leaves latents that are not as the prior has them.
What a Gaussian, a mixture of them, a flow or a second VAE makes, fitted to draws of the posteriors
with the VAE frozen, is several times nearer to test digits than what the prior makes; the second
VAE is no better than the simpler ones. Whether it sees draws or means of the posteriors makes no
difference that seeds would show: they are narrow here.

Reference: Dai and Wipf (2019), Diagnosing and Enhancing VAE Models.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from ae_jax import cli, data, experiment, methods, nets, plots, training
from ae_jax.core import Array, Method, Network
from ae_jax.experiment import Count, Model, Splits, Swept
from ae_jax.methods import flows, observations, posteriors
from ae_jax.methods import priors as prior_parts
from ae_jax.probability.priors import Prior
from ae_jax.recipes import samplers

NAME = "two_stage"
STAGES = {
    "second_vae": "second VAE",
    "second_vae_of_means": "second VAE of means",
    "flow": "flow",
}
#: Fitted to draws [N, Z] on the host.
FITTED: Mapping[str, Callable[[Any], Prior]] = {
    "Gaussian": lambda codes: samplers.gaussian(codes, 1e-6),
    "mixture": lambda codes: samplers.gaussian_mixture(codes, min(10, len(codes))),
}
TABLE = (
    *("feature_kernel_distance", "feature_kernel_error", "kernel_distance", "kernel_error"),
    *("coverage", "density", "precision", "recall", "sample_distance", "closer"),
)


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    stage: Swept[Literal[tuple(STAGES)]] = tuple(STAGES)
    """What is trained on latents; each is compiled on its own."""
    latent_size: Count = 8
    """Of both stages."""
    widths: tuple[Count, ...] = (128,)
    """Hidden layers of the first encoder; its decoder's are the same, backwards."""
    second_widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of the second VAE's encoder, and of its decoder."""
    flow_steps: Count = 4
    """Masked autoregressive steps of the flow."""
    samples: Count = 1000
    """As many as there are test images, at most, are compared with them."""
    learning_rate: Swept[float] = (2e-3,)
    """Of all stages at first; it falls to 0 as a half cosine."""
    steps: Count = 3000
    """Of each stage."""
    batch_size: Count = 128


PRESETS = {
    "default": Config(),
    "smoke": Config(
        stage=("second_vae", "flow"),
        latent_size=2,
        widths=(16,),
        second_widths=(8,),
        flow_steps=1,
        samples=40,
        seeds=2,
        steps=40,
    ),
    "paper": Config(
        dataset="mnist",
        latent_size=32,
        widths=(1024, 1024),
        second_widths=(1024, 1024),
        samples=10_000,
        learning_rate=(1e-4,),
        steps=200_000,
    ),
}


def first_networks(config: Config, spec: Mapping[str, Any]) -> tuple[Network, Network]:
    """Returns the encoder, of means and log-variances, and the decoder, of means and one scale."""
    decoder = nets.mlp(spec["image"].shape, config.widths[::-1])
    return nets.mlp(2 * config.latent_size, config.widths), nets.shared_scale(decoder, initial=-2.0)


def first_stage(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the VAE of images."""
    likelihood = observations.learned_gaussian()
    return methods.vae(*first_networks(config, spec), config.latent_size, likelihood=likelihood)


def build(config: Config, spec: Mapping[str, Any], stage: str) -> Method:
    """Returns what is trained on latents of the first stage."""
    encoder, decoder = first_networks(config, spec)
    size, likelihood = config.latent_size, observations.learned_gaussian()
    if stage == "second_vae":
        return samplers.two_stage(
            encoder, decoder, size, likelihood=likelihood, widths=config.second_widths
        )
    drawing = posteriors.encoding(encoder, size)
    back = observations.decoding(decoder, likelihood)
    if stage == "flow":
        through = flows.masked_autoregressive(config.flow_steps)
        density = methods.density_model(prior_parts.flow(through), size)
        return methods.stage(drawing, density, back, noisy=True)
    return methods.stage(drawing, samplers.second_stage(size, config.second_widths), back)


def two_stage(config: Config) -> None:
    """Trains a VAE, and then on its latents; compares what samples are decoded to."""
    splits = experiment.load_splits(config, held_out=1000)
    spec, schedules = splits.train.spec, [training.warmup_cosine(config.steps)]
    builder = functools.partial(build, config, spec)
    values = [{"stage": stage} for stage in config.stage]
    for own in values:
        lanes = experiment.lanes(config, own)
        experiment.check(builder, lanes, schedules, splits, config.batch_size)
    train, test = (data.head(part, 10_000)["image"] for part in (splits.train, splits.test))
    count = min(len(test), config.samples)
    experiment.check_generated(count, len(test))
    encoder = nets.mlp(32, (64,), output_activation="relu")
    features, said = experiment.class_features(config, NAME, splits, encoder)
    options = {"schedules": schedules, "everywhere": True}
    first = experiment.sweep(
        config, NAME, first_stage(config, spec), splits, {}, part="first", **options
    )
    begun = [experiment.model(first.result, row["lane"]) for row in first.result.rows]
    start = [{name: lane.state.params[name] for name in ("encoder", "decoder")} for lane in begun]
    sweeps = {
        STAGES[own["stage"]]: experiment.sweep(
            config, NAME, builder, splits, own, part=own["stage"], start=start, **options
        )
        for own in values
    }
    parts = [({"sampler": name}, sweeps.get(name, first)) for name in ("prior", *FITTED, *sweeps)]
    kept: dict[str, Array] = {}

    def describe(model: Model) -> dict[str, float]:
        made = jnp.clip(sampled(config, splits, model, count), 0, 1)  # as they are shown
        kept.setdefault(model.row["sampler"], made[:16])
        return experiment.generated(made, train, test[:count], features)

    by = ("sampler", "learning_rate")
    rows = experiment.side_by_side(parts, describe, by)
    seen = experiment.generated(
        jax.random.permutation(jax.random.key(0), train)[:count], train, test[:count], features
    )
    prefix = "feature_" if features else ""
    said.append(
        f"As many training images are {seen[f'{prefix}kernel_distance']:.4f} from test images, and "
        f"cover {seen['coverage']:.2f} of them. Nothing is fitted to test images."
    )
    draw = functools.partial(figures, rows, test, kept, f"{prefix}kernel_distance")
    title = f"What latents of a VAE are drawn from, on {config.dataset}"
    results = [first.result, *(trained.result for trained in sweeps.values())]
    experiment.report(config, first.out, title, rows, by, TABLE, draw, results, said)


def sampled(config: Config, splits: Splits, model: Model, count: int) -> Array:
    """Returns samples of a lane, by its row's sampler."""
    sampler, key = model.row["sampler"], jax.random.key(model.row["seed"])
    if sampler not in FITTED:
        return model.sample(key, count)
    encoder, _ = first_networks(config, splits.train.spec)
    drawing = posteriors.encoding(encoder, config.latent_size)
    codes = samplers.drawn_codes(key, model, splits.train, drawing)
    return samplers.generated(key, model, FITTED[sampler](codes), (count, config.latent_size))


def figures(
    rows: Sequence[Mapping[str, Any]], test: Array, kept: Mapping[str, Array], distance: str
) -> dict[str, Any]:
    """Draws distances from test images by sampler, and samples."""
    found = [row for row in rows if distance in row]
    means = plots.mean_table(found, lambda row: row["sampler"], {distance: "distance"})
    return {
        "How far samples are from test images, by what latents are drawn from.": plots.bars(
            means, "kernel distance from test images"
        ),
        "Test images, and samples.": plots.reconstructions(test[:16], kept, "test"),
    }


if __name__ == "__main__":
    cli.main(two_stage, PRESETS, description=__doc__)
