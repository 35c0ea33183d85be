"""Adversarial autoencoders: codes that look like draws of whatever prior one likes.

    python experiments/adversarial_ae.py

Eight codes are made standard normal, which a test of two samples then cannot tell from the prior,
at little cost to the reconstruction; the plain autoencoder's codes are not. Two codes go onto a
ring or a swiss roll; told the labels, the discriminator gives each digit a place of its own.

Reference: Makhzani et al. (2016), Adversarial Autoencoders.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import NOT_NEGATIVE, InputError, Method
from ae_jax.methods import regularisers
from ae_jax.probability import priors


class Form(NamedTuple):
    """A prior, what is known of it, and what its encoder was found to need on validation digits.

    Attributes:
      prior: of the codes.
      latent_size: how many there are.
      labelled: whether the discriminator sees labels.
      encoder_learning_rate: against the discriminator.
      noise: on the encoder's inputs in training, of this deviation: in the plane it keeps places
        of classes from being learned by heart.
    """

    prior: priors.Prior
    latent_size: int = 2
    labelled: bool = False
    encoder_learning_rate: float = 6e-3
    noise: float = 0.25


CLASSES = 10
RING, ROLL = priors.ring(CLASSES, 4.0, 0.5), priors.swiss_roll(CLASSES, 6.0, 0.3)
#: What is trained; each is compiled on its own. The plain autoencoder has no adversary.
FORMS = {
    "plain": Form(priors.normal(), 8, noise=0.0),
    "normal": Form(priors.normal(), 8, encoder_learning_rate=2e-3, noise=0.0),
    "ring": Form(RING),
    "ring labelled": Form(RING, labelled=True),
    "swiss roll labelled": Form(ROLL, labelled=True),
}


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    form: experiment.Swept[str] = tuple(FORMS)
    """The prior of the codes, and whether the discriminator sees labels."""
    widths: tuple[experiment.Count, ...] = (128,)
    """Hidden layers of the encoder, reversed in the decoder; not swept."""
    discriminator_widths: tuple[experiment.Count, ...] = (128, 128)
    """Hidden layers of the discriminator; not swept."""
    learning_rate: experiment.Swept[float] = (3e-3,)
    """Of encoder and decoder against the reconstruction's error."""
    discriminator_learning_rate: Annotated[float, NOT_NEGATIVE] = 3e-3
    """Not swept."""
    r1_weight: Annotated[float, NOT_NEGATIVE] = 0.1
    """Of the squared slope of the discriminator at the prior; not swept."""
    steps: experiment.Count = 2500
    batch_size: experiment.Count = 128


PRESETS = {
    "default": Config(),
    "smoke": Config(
        form=("ring labelled",), widths=(8,), discriminator_widths=(8,), seeds=1, steps=20
    ),
    "paper": Config(
        dataset="mnist",
        widths=(1000, 1000),
        discriminator_widths=(1000, 1000),
        steps=100_000,
        batch_size=100,
    ),
}


def load(config: Config) -> experiment.Splits:
    """Loads images, with a label for each place of a prior where a discriminator sees them."""
    splits = experiment.load_splits(config)
    if any(FORMS[form].labelled for form in config.form if form in FORMS):
        found = experiment.classes(config.dataset, splits)
        if found != CLASSES:
            raise InputError(
                f"labelled forms have places for {CLASSES} classes, and {config.dataset} has "
                f"{found}: choose others by --form"
            )
    return splits


def build(config: Config, spec: Mapping[str, Any], form: str) -> Method:
    """Returns the autoencoder of one form."""
    if form not in FORMS:
        raise InputError(f"unknown form {form!r}; choose from {', '.join(FORMS)}")
    own = FORMS[form]
    encoder = nets.chain(nets.noise(own.noise), nets.mlp(own.latent_size, config.widths))
    decoder = nets.mlp(spec["image"].shape, config.widths[::-1], output_activation="sigmoid")
    if form == "plain":
        return methods.autoencoder(encoder, decoder)
    return methods.adversarial_autoencoder(
        encoder,
        decoder,
        nets.mlp(1, config.discriminator_widths, activation="leaky_relu"),
        own.latent_size,
        prior=own.prior,
        classes=CLASSES if own.labelled else None,
        regularisers=[regularisers.r1(config.r1_weight)],
        discriminator_learning_rate=config.discriminator_learning_rate,
        encoder_learning_rate=own.encoder_learning_rate,
    )


def describe(model: experiment.Model, outcome: experiment.Outcome) -> dict[str, float]:
    """Returns how a lane's codes of test images differ from draws of its prior."""
    test = data.head(outcome.splits.test, 1000)
    prior, size, labelled, *_ = FORMS[model.row["form"]]
    codes = model.encode(test)
    key, permuting = jax.random.split(jax.random.key(model.row["seed"]))
    found = metrics.kernel_two_sample_test(permuting, codes, prior(key, (len(codes), size)))
    deviations = jnp.std(codes, axis=0)
    columns = {
        "least_deviation": float(jnp.min(deviations)),
        "largest_deviation": float(jnp.max(deviations)),
        "p_value": float(found.p_value),
        "rejected": float(found.p_value < 0.01),
    }
    if labelled:
        label = test["label"]
        drawn = prior(key, codes.shape, label)  # places overlap: a match is as good as these
        for name, latent in (("own_place", codes), ("prior_own_place", drawn)):
            found = priors.likeliest_class(prior, latent) == label
            columns[name] = 100 * float(jnp.mean(found))
    return columns


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws codes, what is decoded along the priors, and samples."""
    batch = data.head(outcome.splits.test, 1000)
    models = outcome.firsts("form")
    planes = {form: model for form, model in models.items() if FORMS[form].latent_size == 2}
    drawn: dict[str, Any] = {}
    if told := [row for row in outcome.rows if row["form"] != "plain"]:
        drawn[
            "The discriminator's loss over training, with its penalty in training (dashed); where "
            "it can tell nothing it is log 4 = 1.39."
        ] = plots.learning_curves(
            experiment.records(outcome.out), "discriminator_loss", told, "form"
        )
    if planes and "label" in batch and len(np.unique(batch["label"])) <= plots.MOST_CLASSES:
        drawn["Codes of test digits in the plane, coloured by class."] = plots.scatters(
            {form: (model.encode(batch), batch["label"]) for form, model in planes.items()},
            dimensions=("z1", "z2"),
        )
    if planes:
        drawn["What is decoded along the priors: around the ring, along the roll from inside."] = (
            plots.image_rows({form: along(model) for form, model in planes.items()})
        )
    samples = {form: model for form, model in models.items() if FORMS[form].latent_size > 2}
    if samples:
        drawn[
            "Test digits, and what is decoded from draws of the standard normal distribution."
        ] = plots.image_rows(
            {"test": batch["image"][:16], **{f: drawings(m) for f, m in samples.items()}}
        )
    return drawn


def along(model: experiment.Model, count: int = 20) -> Any:
    """Returns what is decoded at places along a lane's prior."""
    centres = FORMS[model.row["form"]].prior.centres.reshape(-1, 2)
    places = np.linspace(0, len(centres), count, endpoint=False)
    ends = places.astype(int), (places.astype(int) + 1) % len(centres)
    part = (places % 1)[:, None]
    latent = (1 - part) * centres[ends[0]] + part * centres[ends[1]]
    return model.decode(jnp.asarray(latent, jnp.float32))


def drawings(model: experiment.Model, count: int = 16) -> Any:
    """Returns what is decoded from draws of a lane's prior."""
    prior, size, *_ = FORMS[model.row["form"]]
    return model.decode(prior(jax.random.key(0), (count, size)))


adversarial_ae = experiment.Study(
    "adversarial_ae",
    "Adversarial autoencoders",
    build,
    table=[
        "squared_error",
        "least_deviation",
        "largest_deviation",
        "p_value",
        "rejected",
        "own_place",
        "prior_own_place",
        "discriminator_loss",
    ],
    figures=figures,
    load=load,
    options=lambda config: {
        "schedules": [training.all_rates(training.warmup_cosine(config.steps, config.steps / 20))]
    },
    describe=describe,
)

if __name__ == "__main__":
    cli.main(adversarial_ae, PRESETS, description=__doc__)
