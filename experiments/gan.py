"""Generative adversarial networks on mixtures in the plane: which modes they find, and how well.

    python experiments/gan.py
    python experiments/gan.py --dataset grid --momentum 0 --steps 8000

Without momentum in Adam a non-saturating GAN covers all modes of the ring, with a penalty of the
discriminator's slope on data (R1) and without. With momentum and without the penalty the shares of
the modes drift apart as training goes on, down to the loss of one; the penalty keeps them even.

Reference: Goodfellow et al. (2014), Generative Adversarial Nets; Mescheder, Geiger and Nowozin
(2018), Which Training Methods for GANs do actually Converge?; Srivastava et al. (2017), VEEGAN, for
the mixtures and what is counted.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import numpy as np
import optax

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import BELOW_ONE, NOT_NEGATIVE, Array, Method
from ae_jax.data.sources import densities
from ae_jax.experiment import Count, Swept
from ae_jax.losses.adversarial import OBJECTIVES
from ae_jax.methods import regularisers

#: Points and samples that are compared.
SAMPLES = 2500
#: Of the samples that a mode should have: fewer of high quality do not count as found.
FOUND = 0.08
DIRECTIONS = 64  # of the sliced Wasserstein distance
FLOORS = 4  # samples of the data themselves that a model's are compared with
FILMED, SHOWN = 500, 4  # samples that are looked at over training, of the first settings


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "ring"
    """A density in the plane: ring, grid, swiss_roll, two_moons, spirals or checkerboard."""
    objective: Swept[Literal[tuple(OBJECTIVES)]] = ("non_saturating",)
    """What the players lower; each is compiled on its own."""
    momentum: Swept[Annotated[float, BELOW_ONE]] = (0.0, 0.9)
    """Of both players' Adam, its b1; each is compiled on its own."""
    r1_weight: Swept[float] = (0.0, 0.02)
    """Of the penalty of the discriminator's slope on data: gamma."""
    gradient_penalty_weight: Swept[Annotated[float, NOT_NEGATIVE]] = (0.0,)
    """Of WGAN-GP's, of slopes other than 1 between data and samples; each compiled on its own."""
    spectral: Swept[bool] = (False,)
    """Whether the discriminator's kernels are divided by their norms; each compiled on its own."""
    learning_rate: Swept[float] = (2e-3,)
    """The generator's, which falls to a twentieth as a half cosine."""
    discriminator_learning_rate: Swept[float] = (2e-3,)
    """Likewise."""
    latent_size: Count = 2
    widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of both networks."""
    seeds: Count = 5
    steps: Count = 4000
    batch_size: Count = 256


PRESETS = {
    "default": Config(),
    "smoke": Config(momentum=(0.0,), widths=(16,), seeds=1, steps=40, batch_size=64),
    # The mixtures of Srivastava et al. (2017) have deviations of 0.01 and 0.05; these are wider.
    "paper": Config(
        objective=tuple(OBJECTIVES), r1_weight=(0.0, 0.02, 0.1, 1.0), steps=25_000, seeds=10
    ),
}


def load(config: Config) -> experiment.Splits:
    """Returns points of a density that is known, as many held out as are compared."""
    densities.density(config.dataset)  # refuses what is none
    splits = experiment.load_splits(config, held_out=SAMPLES, kinds=("point",))
    return splits._replace(test=data.subset(splits.test, slice(0, SAMPLES)))


def coverage(config: Config, samples: Array) -> dict[str, Array]:
    """Returns which modes some samples find, and how well, where the density has modes."""
    density = densities.density(config.dataset)
    if density.centres is None:
        return {}
    least = round(FOUND * SAMPLES / len(density.centres))
    return metrics.mode_coverage(samples, density.centres, density.deviation, least=least)


def distance(splits: experiment.Splits, samples: Array) -> float:
    """Returns the sliced Wasserstein distance of samples and test data."""
    real = data.head(splits.test, SAMPLES)["image"]
    directions = metrics.random_directions(jax.random.key(0), DIRECTIONS, real.shape[1])
    return float(metrics.sliced_wasserstein(samples, real, directions))


def build(
    config: Config,
    spec: Mapping[str, Any],
    objective: str,
    momentum: float,
    gradient_penalty_weight: float,
    spectral: bool,
) -> Method:
    """Returns the GAN of what is static, measured and filmed while it learns."""
    discriminator = nets.mlp(1, config.widths, "leaky_relu_0.2")
    penalties = [regularisers.r1()]
    if gradient_penalty_weight:
        penalties.append(regularisers.gradient_penalty(gradient_penalty_weight))
    method = methods.gan(
        nets.mlp(spec["image"].shape, config.widths, "leaky_relu_0.2"),
        nets.spectral(discriminator) if spectral else discriminator,
        config.latent_size,
        objective=OBJECTIVES[objective](),
        regularisers=penalties,
        output=lambda x: x,
        optimizer=optax.scale_by_adam(b1=momentum, b2=0.99),
    )
    method = methods.measured(method, lambda real, samples: coverage(config, samples), SAMPLES)
    return methods.filmed(method, FILMED, experiment.film_times(config.steps))


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    rates = ("learning_rate", "discriminator_learning_rate")
    return {
        "schedules": [
            training.warmup_cosine(config.steps, final_fraction=0.05, name=rate) for rate in rates
        ]
    }


def floor(config: Config, splits: experiment.Splits) -> dict[str, float]:
    """Returns what a perfect sampler comes to: points of the data in the place of samples."""
    points = data.head(splits.train, FLOORS * SAMPLES)["image"]
    found = [
        {**coverage(config, part), "sliced_wasserstein": distance(splits, part)}
        for part in points.reshape(FLOORS, SAMPLES, -1)
    ]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def samples(model: experiment.Model) -> Array:
    """Returns a lane's samples."""
    return model.sample(jax.random.key(model.row["seed"]), SAMPLES)


def notes(outcome: experiment.Outcome) -> list[str]:
    """Says what to compare with, and how the worst seed of each setting did."""
    known = ", ".join(f"{name} {x:.4g}" for name, x in outcome.reference.items())
    lanes: dict[str, list[Mapping[str, Any]]] = {}
    for row in outcome.rows:
        if "modes" in row:
            lanes.setdefault(setting(row, outcome.config), []).append(row)
    return [
        f"{SAMPLES} samples each. Points of the data themselves in their place: {known}.",
        *(
            f"{name}, in the worst seed: {min(row['modes'] for row in own):g} modes, "
            f"high_quality {min(row['high_quality'] for row in own):.3f}."
            for name, own in lanes.items()
        ),
    ]


def setting(row: Mapping[str, Any], config: Config) -> str:
    """What a lane is called, by what the sweep varies."""
    words = {
        "objective": "{}",
        "spectral": "spectral {}",
        "gradient_penalty_weight": "gradient penalty {:g}",
        "momentum": "b1 {:g}",
        "r1_weight": "R1 {:g}",
    }
    varied: Sequence[str] = experiment.varied(config, *words) or ["r1_weight"]
    return ", ".join(words[name].format(row[name]) for name in varied).replace("_", "-")


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws the samples of each setting's first lane, and how they became what they are."""
    config = outcome.config
    real = data.head(outcome.splits.test, SAMPLES)["image"]
    models = experiment.firsts(outcome.result, lambda row: setting(row, config))
    panels = {name: {"data": real, "generated": samples(model)} for name, model in models.items()}
    drawn = {}
    if panels:
        drawn["Samples of each setting's first lane, over the data."] = plots.clouds(panels)
        drawn |= films(dict(list(models.items())[:SHOWN]), config, real)
    curves = {
        "mode_kl": "How unevenly the samples are spread over the modes, over training.",
        "high_quality": "The share of samples within three deviations of a mode, over training.",
        "discriminator_loss": "The discriminator's loss over training: log 4, 1.386, where it can "
        "tell nothing. In training it has the penalty in it.",
    }
    for value, caption in curves.items():
        if any(value in row for row in outcome.rows):
            drawn[caption] = outcome.learning_curves("r1_weight", value)
    return drawn


def films(models: Mapping[str, experiment.Model], config: Config, real: Array) -> dict[str, Any]:
    """Draws what the same latents became over training, as a strip and as a film."""
    when = experiment.film_times(config.steps)
    frames = {name: model.state.frames for name, model in models.items()}
    few = sorted({len(when) * part // 4 for part in (1, 2, 3)} | {len(when) - 1})
    strip = plots.clouds(
        {
            f"{name}, step {when[place]}": {"data": real[:FILMED], "generated": made[place]}
            for name, made in list(frames.items())[-2:]
            for place in few
        },
        columns=len(few),
    )
    strip.set_label("film_strip")
    moving = {name: {"data": real[:FILMED], "generated": made} for name, made in frames.items()}
    return {
        "What the same latents became over training; a setting's first lane in each row.": strip,
        f"The same of each setting, moving: {len(when)} frames, ever further apart.": (
            plots.moving_clouds(moving, [f"step {step}" for step in when])
        ),
    }


gan = experiment.Study(
    "gan",
    "Generative adversarial networks",
    build,
    table=["modes", "high_quality", "mode_kl", "sliced_wasserstein"],
    figures=figures,
    options=options,
    load=load,
    reference=floor,
    describe=lambda model, outcome: {
        "sliced_wasserstein": distance(outcome.splits, samples(model))
    },
    notes=notes,
)

if __name__ == "__main__":
    cli.main(gan, PRESETS, description=__doc__)
