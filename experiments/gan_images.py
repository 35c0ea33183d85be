"""Digits from GANs, measured beside held-out digits, a VAE, an RBM and a Gaussian.

    python experiments/gan_images.py
    python experiments/gan_images.py --dataset shapes32 --architecture dcgan --batch-size 32

With a penalty of the discriminator's slope GANs come nearest to held-out digits by the Frechet
distance of a classifier's features, and copy no training digit. The means that a VAE decodes are
precise and reach little of the data. A Gaussian is near by its pixels' moments, all that it has.

Reference: Radford et al. (2016), Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks; Huang et al. (2024), The GAN is dead; long live the GAN!
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import optax

from ae_jax import cli, data, experiment, losses, methods, nets, plots, training
from ae_jax.core import Array, Method, Network
from ae_jax.experiment import Count, Model, Swept
from ae_jax.experiment.generation import COLUMNS, SHARES
from ae_jax.methods import boltzmann, regularisers

#: Each game's objective and the penalties of its discriminator, whose weights are options.
GAMES = {
    "rpgan_r1_r2": (losses.adversarial.paired, ("r1", "r2")),
    "gan_r1": (losses.adversarial.non_saturating, ("r1",)),
    "gan": (losses.adversarial.non_saturating, ()),
    "wgan_gp": (losses.adversarial.wasserstein, ("gradient_penalty",)),
}
MODELS = (*GAMES, "VAE", "RBM")
RATES = ("learning_rate", "discriminator_learning_rate")
WEIGHTS = ("r1_weight", "r2_weight", "gradient_penalty_weight")


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    model: Swept[Literal[MODELS]] = MODELS
    """Each is a run of its own; the first one is shown over training too."""
    shown: tuple[Count, ...] = (64, 8)
    """When it is measured: at the end, and at these parts of the steps, by training anew."""
    architecture: Literal["mlp", "dcgan", "residual"] = "mlp"
    """Of both players. Batches are normalised in convolutional generators, and nowhere else."""
    widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of the MLPs; the VAE's are the same."""
    channels: Count = 32
    """Of the convolutional players' largest hidden images."""
    latent_size: Count = 16
    """Of the VAE too."""
    r1_weight: Swept[float] = (1.0,)
    r2_weight: Swept[float] = (1.0,)
    gradient_penalty_weight: Swept[float] = (10.0,)
    critic_steps: Count = 5
    """Of the Wasserstein critic in a step, each on a batch of its own; the generator's has all."""
    learning_rate: Swept[float] = (1e-3,)
    """At first, of the generators and the VAE; all fall to a twentieth as a half cosine."""
    discriminator_learning_rate: Swept[float] = (1e-3,)
    ema_decay: float = 0.99
    """Of the generator's average, which makes the samples."""
    hidden_size: Count = 128
    """Units of the machine."""
    rbm_learning_rate: float = 0.1
    sample_steps: Count = 1000
    """Of Gibbs sampling before the machine's samples are measured."""
    seeds: Count = 2
    steps: Count = 2000
    """Of everything that is trained."""
    batch_size: Count = 100
    samples: Count = 1000
    """Of each model, and never more than there are validation images."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        model=("rpgan_r1_r2",),
        shown=(4,),
        widths=(16,),
        hidden_size=16,
        sample_steps=10,
        samples=50,
        seeds=1,
        steps=20,
    ),
    "paper": Config(
        dataset="mnist",
        architecture="dcgan",
        channels=64,
        widths=(500, 500),
        latent_size=100,
        learning_rate=(2e-4,),
        discriminator_learning_rate=(2e-4,),
        ema_decay=0.999,
        hidden_size=500,
        steps=50_000,
        samples=10_000,
    ),
}


def gan_images(config: Config) -> None:
    """Trains GANs and what they are compared with, and measures samples of all."""
    splits, parts = experiment.load_splits(config), []
    phases = {name: phase(config, name) for name in config.model}
    builder = functools.partial(build, config, splits.train.spec)
    for values, options in phases.values():
        lanes = experiment.lanes(config, values)
        experiment.check(builder, lanes, options["schedules"], splits, options["batch_size"])
    train, validation, test = (data.head(part, 10_000)["image"] for part in splits)
    count = min(config.samples, len(validation))
    experiment.check_generated(count, len(test))
    encoder = nets.mlp(32, (64,), output_activation="relu")
    encoders, said = experiment.class_features(config, "gan_images", splits, encoder)
    measure = functools.partial(experiment.generated, train=train, test=test, features=encoders)
    normal = experiment.gaussian_images(jax.random.key(0), train, count)
    given = {"held-out images": validation, "training images": train, "Gaussian": normal}
    rows = [{"model": k, "seed": 0, "status": "ok", **measure(x[:count])} for k, x in given.items()]
    drawn = {"test": test[:16], "Gaussian": normal[:16]}

    def describe(model: Model) -> dict[str, float]:
        images = model.sample(jax.random.key(model.row["seed"]), count)
        drawn.setdefault(model.row["model"], images[:16])
        return measure(images)

    same = config, "gan_images", builder, splits
    for name, (values, options) in phases.items():
        parts.append(({}, experiment.sweep(*same, values, part=name, **options)))
    by = ("model", *experiment.varied(config, *WEIGHTS, *RATES))
    rows = experiment.numbered(rows + experiment.side_by_side(parts, describe, by, timed=True), by)
    first = config.model[0]
    steps = [-(-config.steps // part) for part in config.shown]
    course, (values, options) = [], phases[first]
    for step, lane in experiment.earlier(*same, values, steps, part=first, **options):
        images = lane.sample(jax.random.key(lane.row["seed"]), count)
        course.append({**lane.row, "step": step, **measure(images)})
    experiment.report(
        config,
        parts[0][1].out,
        f"Generated images of {config.dataset}",
        rows,
        by,
        (*COLUMNS, "seconds"),
        lambda: figures(config, rows, course, drawn, parts[0][1].result),
        [found.result for _, found in parts],
        [
            f"{count} images of each model beside {len(test)} test images, by pixels where nothing "
            "is said of features. A kernel distance's error is that of one lane's. Splits of equal "
            "shares of classes, as of digits, are nearer to each other than chance has them.",
            *said,
            f"A test image is {rows[0]['test_distance']:.3f} from the nearest training image; "
            "copies would nearly all be nearer (closer). VAE and RBM give means; in wgan_gp each "
            f"of {config.critic_steps} critic steps sees a batch of its own.",
        ],
    )


def build(config: Config, spec: Mapping[str, Any], model: str) -> Method:
    """Returns the GAN of a game, the VAE or the machine."""
    shape = spec["image"].shape
    if model == "RBM":
        estimator = boltzmann.persistent(chains=config.batch_size)
        return methods.rbm(
            config.hidden_size, estimator=estimator, sample_steps=config.sample_steps
        )
    if model == "VAE":
        encoder = nets.mlp(2 * config.latent_size, config.widths)
        return methods.vae(encoder, nets.mlp(shape, config.widths[::-1]), config.latent_size)
    objective, penalties = GAMES[model]
    game = methods.gan(
        *players(config, shape),
        config.latent_size,
        objective=objective(),
        regularisers=[getattr(regularisers, penalty)() for penalty in penalties],
        discriminator_steps=config.critic_steps if model == "wgan_gp" else 1,
        optimizer=optax.scale_by_adam(b1=0.0, b2=0.99),
        average=True,
        ema_decay=config.ema_decay,
    )
    return methods.filmed(game, count=32, times=experiment.film_times(config.steps))


def players(config: Config, shape: Sequence[int]) -> tuple[Network, Network]:
    """Returns a generator and a discriminator, which judges each image alone."""
    if config.architecture == "mlp":
        hidden = config.widths, "leaky_relu"
        return nets.mlp(shape, *hidden), nets.mlp(1, *hidden)
    own = shape, config.channels
    if config.architecture == "dcgan":
        return nets.dcgan_generator(*own), nets.dcgan_discriminator(*own, "none")
    return nets.residual_generator(*own), nets.residual_critic(*own)


def phase(config: Config, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what of a game, or of what it is compared with, is swept; and how it is trained."""
    rates = RATES if name in GAMES else RATES[:1]
    weights = [f"{penalty}_weight" for penalty in GAMES[name][1]] if name in GAMES else []
    schedules = [training.warmup_cosine(config.steps, 0, 0.05, rate) for rate in rates]
    values = {"model": name, **{each: getattr(config, each) for each in (*rates, *weights)}}
    if name == "RBM":
        values["learning_rate"] = config.rbm_learning_rate
    size = config.batch_size * (config.critic_steps if name == "wgan_gp" else 1)
    return values, {"validation": None, "schedules": schedules, "batch_size": size}


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    course: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, Array],
    result: training.Result,
) -> dict[str, Any]:
    """Draws distances, shares, samples side by side and over training."""
    first, featured = config.model[0], "feature_frechet_distance" in rows[0]
    column = "feature_frechet_distance" if featured else "frechet_distance"
    what = f"Frechet distance of {'features' if featured else 'pixels'}"

    def table(columns: Sequence[str]) -> Any:
        models = [row for row in rows if row["model"] != "training images"]
        return plots.mean_table(models, lambda row: row["model"], columns)

    last = [{"step": config.steps, **row} for row in rows if row["model"] == first]
    course = [row for row in (*course, *last) if column in row]
    curve = plots.mean_curves(course, "step", column, lambda row: first)
    found = {
        f"The {what} between samples and test images.": plots.dots(table([column]), what),
        "Precision says how real samples are, recall how much of the data they reach.": (
            plots.dots(table(SHARES[:2]), "share of pixels' neighbourhoods")
        ),
        "Test images, and samples of the first lane of each model.": plots.image_rows(drawn),
        f"The {what} of the {first} over training; dashed: of held-out images.": plots.lines(
            curve, "training step", what, log_x=True, level=rows[0][column]
        ),
    }
    for lane in experiment.firsts(result, "model").values() if first in GAMES else ():
        frames = dict(zip(experiment.film_times(config.steps), lane.state.frames, strict=True))
        strip = {f"step {step}": frames[step][:16] for step in [*frames][::-6][::-1]}
        found[f"Samples of {first} over training, of the same latents."] = plots.image_rows(strip)
        moving = plots.animation([*frames.values()], name="moving_samples")
        found[f"The same, moving: {len(frames)} frames, ever further apart."] = moving
    return found


if __name__ == "__main__":
    cli.main(gan_images, PRESETS)
