"""Images as maps of codes: quantisers side by side, and a distribution of codes that is sampled.

    python experiments/vq_vae.py

Every quantiser gives a place one of as many values. What an image costs in bits is bounded by its
codes, under the autoregressive distribution that a second stage learns of them, and its pixels
given them; k-means of patches are the codes without a network, and a variational autoencoder of the
same network has Gaussian latents in their place.

Reference: Van den Oord, Vinyals and Kavukcuoglu (2017), Neural Discrete Representation Learning;
Lee et al. (2022), Autoregressive Image Generation using Residual Quantization; Mentzer et al.
(2023), Finite Scalar Quantization.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, losses, methods, nets, plots, training
from ae_jax.core import BELOW_ONE, NOT_NEGATIVE, Array, Domain, InputError, Method, Network
from ae_jax.experiment import Count, Model, Splits, Swept, Whole
from ae_jax.methods import observations, priors, quantisers

CODES = ("averages", "restarts", "gradient", "residual", "scalars", "k-means")
SEVERAL = Annotated[int, Domain(2, whole=True)]
BY = ("latents",)
TABLE = (
    "squared_error",
    "perplexity",
    "codes_used",
    "reconstruction",
    "code_nats",
    "bits_per_dimension",
    "uniform_bits",
    "kernel_distance",
)


class Plan(NamedTuple):
    """A first stage; and of codes, as many at a place as the quantiser is large, a second one."""

    name: str
    first: Method
    coding: quantisers.Coding | None = None
    size: int = 0
    second: Method | None = None


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latents: Swept[Literal[(*CODES, "gaussian")]] = (*CODES, "gaussian")
    """Codes of a codebook that follows averages, with or without restarts, or the gradient; of one
    that quantises residuals too; rounded scalars; k-means of patches; or Gaussian ones of a VAE."""
    size: SEVERAL = 64
    """Entries of a codebook."""
    residual_size: SEVERAL = 8
    residual_levels: Count = 2
    """Of the residual quantiser, whose codes of a place are as many as size to the power levels."""
    scalars: tuple[SEVERAL, ...] = (8, 8)
    """Values of each rounded number."""
    latent_size: Count = 8
    """Numbers at each place, but for the scalars."""
    commitment: Annotated[float, NOT_NEGATIVE] = 0.25
    """Weight of the encoder's distance from its codes."""
    restart: Annotated[float, BELOW_ONE] = 0.1
    """Entries with fewer latents in a batch, on average, begin again."""
    widths: tuple[Count, ...] = (32,)
    """Channels of convolutions, each of which halves the image; the decoder's are the same,
    backwards."""
    blocks: Whole = 1
    """Residual ones behind them."""
    prior_channels: Count = 32
    prior_layers: Count = 3
    """Of the network that knows the codes before."""
    learning_rate: Swept[float] = (2e-3,)
    """Of both stages, at first; it falls to 0 as a half cosine."""
    steps: Count = 1500
    prior_steps: Count = 1000
    """Of the second stage. Both keep their best state by the validation loss."""
    samples: Annotated[int, Domain(16, whole=True)] = 500
    """Of each model, to be measured."""
    importance_samples: Count = 100
    """Of each test image, for the bits of the VAE."""
    seeds: Count = 2


PRESETS = {
    "default": Config(),
    "smoke": Config(
        latents=("residual", "k-means", "gaussian"),
        size=4,
        residual_size=2,
        latent_size=2,
        widths=(4,),
        prior_channels=4,
        prior_layers=1,
        steps=20,
        prior_steps=20,
        samples=16,
        importance_samples=2,
        seeds=1,
    ),
    # Van den Oord et al. (2017) have 512 entries of 64 numbers and 256 channels, of larger images.
    "paper": Config(
        dataset="mnist",
        size=512,
        residual_size=32,
        scalars=(8, 8, 8),
        latent_size=64,
        widths=(128, 256),
        blocks=2,
        prior_channels=128,
        prior_layers=12,
        learning_rate=(2e-4,),
        steps=250_000,
        prior_steps=250_000,
        batch_size=128,
        samples=10_000,
        seeds=5,
    ),
}


def vq_vae(config: Config) -> None:
    """Trains every quantiser and a distribution of its codes, and a VAE of the same network."""
    splits = Splits(*map(data.binarized, experiment.load_splits(config)))
    test, shape = data.head(splits.test, 5000), splits.image_shape
    plans = {name: plan(config, shape, name) for name in config.latents}
    sweeps = [({"latents": name}, trained(config, own, splits)) for name, own in plans.items()]
    drawn: dict[str, dict[str, Array]] = {"again": {}, "sample": {}}

    def describe(model: Model) -> dict[str, float]:
        name, key = model.row["latents"], jax.random.key(model.row["seed"])
        sample_key, likelihood_key = jax.random.split(key)
        made = jax.jit(lambda key: model.sample(key, config.samples))(sample_key)
        nats = jax.jit(model.log_likelihood)(likelihood_key, test)
        if name == "gaussian":
            again, columns = model.reconstruct(test), {}
        else:
            again, columns = of_codes(plans[name], model, test["image"])
        for kind, images in (("again", again), ("sample", made)):
            drawn[kind].setdefault(name, images[:16])
        found = experiment.generated(made, data.head(splits.train, 1000)["image"], test["image"])
        return {
            "squared_error": float(jnp.mean(losses.squared_error(again, test["image"]))),
            **columns,
            "bits_per_dimension": bits(-jnp.mean(nats), shape),
            "kernel_distance": found["kernel_distance"],
        }

    rows = experiment.side_by_side(sweeps, describe, BY, best=True)
    experiment.report(
        config,
        cli.directory(config, "vq_vae"),
        f"Codes of images of {config.dataset}",
        rows,
        (*BY, *experiment.varied(config, "learning_rate")),
        TABLE,
        lambda: figures(rows, drawn, test["image"][:16]),
        [found.result for _, found in sweeps],
        [
            "Images are black and white, cut at half. bits_per_dimension bounds what a pixel "
            "costs: of all the codes that an image might have, log p(x) = log sum_c p(c) p(x | c), "
            "it counts the encoder's own alone, (code_nats + reconstruction) / (pixels log 2); of "
            f"the VAE it is the bound of {config.importance_samples} importance samples. With "
            "codes that are all alike in probability it is uniform_bits.",
            "perplexity and codes_used are of the values of a code over the places of all test "
            "images, of several levels their means.",
        ],
    )


def quantiser(config: Config, name: str) -> quantisers.Quantiser:
    """Returns what makes the codes."""
    if name == "scalars":
        return quantisers.finite_scalar(config.scalars)
    restart = config.restart if name in ("restarts", "residual") else 0.0
    options: dict[str, Any] = {"commitment": config.commitment, "restart": restart}
    if name == "residual":
        return quantisers.codebook(config.residual_size, config.residual_levels, **options)
    return quantisers.codebook(config.size, ema=name != "gradient", **options)


def plan(config: Config, shape: Sequence[int], name: str) -> Plan:
    """Returns the stages of a model."""
    side, widths = 2 ** len(config.widths), config.widths
    if shape[0] % side or shape[1] % side:
        raise InputError(
            f"images of {shape[0]}x{shape[1]} cannot be halved {len(widths)} times: use fewer "
            "--widths"
        )
    sizes = {"scalars": len(config.scalars), "k-means": side**2 * shape[2]}
    size, likelihood = sizes.get(name, config.latent_size), observations.bernoulli()
    latent_shape = (shape[0] // side, shape[1] // side, size)
    encoder = nets.map_encoder(size * (2 if name == "gaussian" else 1), widths, config.blocks)
    decoder = nets.map_decoder(shape[2], widths[::-1], config.blocks)
    if name == "gaussian":
        flat = Network(lambda key, x: {}, lambda params, x: x.reshape(len(x), -1))
        mapped = Network(lambda key, z: {}, lambda params, z: z.reshape(-1, *latent_shape))
        encoder, decoder = nets.chain(encoder, flat), nets.chain(mapped, decoder)
        size, own = math.prod(latent_shape), {"importance_samples": config.importance_samples}
        return Plan(name, methods.vae(encoder, decoder, size, **own))
    if name == "k-means":
        logit = Network(lambda key, z: {}, lambda params, z: jax.scipy.special.logit(z))
        encoder, decoder = nets.patch_encoder(side), nets.chain(logit, nets.patch_decoder(side))
    made = quantiser(config, name)
    options = {"quantiser": made, "reconstruction": likelihood}
    first = methods.vq_vae(encoder, decoder, latent_shape, **options)
    grid = (*latent_shape[:2], made.levels)
    network = nets.pixel_cnn(made.size, config.prior_channels, config.prior_layers)
    codes = methods.density_model(priors.autoregressive(network, grid), grid)
    coding = quantisers.coding(encoder, decoder, made, latent_shape)
    second = methods.stage(coding.encoder, codes, coding.decoder, likelihood=likelihood)
    return Plan(name, first, coding, made.size, second)


def trained(config: Config, plan: Plan, splits: Splits) -> experiment.Sweep:
    """Trains a first stage, and of codes a second one, of which the sweep then is."""

    def sweep(part: str, method: Method, steps: int, start: Any = None) -> experiment.Sweep:
        options = {"part": part, "steps": steps, "schedules": [training.warmup_cosine(steps)]}
        options |= {"start": start, "select": "best", "everywhere": True}
        return experiment.sweep(config, "vq_vae", method, splits, {}, **options)

    if plan.name == "k-means":
        params = [clusters(config, plan, splits, **lane) for lane in experiment.lanes(config, {})]
    else:
        first = sweep(plan.name, plan.first, config.steps)
        if plan.second is None:
            return first
        known, lanes = training.known_lanes(first.result), range(len(first.result.rows))
        params = [
            experiment.model(first.result, lane, best=True).state.params if lane in known else None
            for lane in lanes
        ]
    start = [own and plan.coding.parts(own) for own in params]
    return sweep(f"{plan.name}-codes", plan.second, config.prior_steps, start)


def clusters(config: Config, plan: Plan, splits: Splits, seed: int, **_: Any) -> dict[str, Any]:
    """Returns the parameters that k-means of training patches has in the place of a first stage."""
    from sklearn.cluster import KMeans

    images = jnp.asarray(data.all_images(splits.train))
    params = plan.first.init(jax.random.key(seed), {"image": images[:2]}, {}).params
    x = np.asarray(nets.patch_encoder(2 ** len(config.widths)).apply({}, images))
    x = x.reshape(-1, x.shape[-1])
    found = KMeans(plan.size, n_init=1, random_state=seed).fit(x)
    counts = np.bincount(found.labels_, minlength=plan.size)[:, None]
    # no pixel is certain: half a white and half a black one more in each cluster
    book = (found.cluster_centers_ * counts + 0.5) / (counts + 1)
    own = {**params["quantiser"], "codebook": jnp.asarray(book, x.dtype)[None]}
    return {**params, "quantiser": own}


def of_codes(plan: Plan, model: Model, x: Array) -> tuple[Array, dict[str, float]]:
    """Returns reconstructions by the codes of images, and what these come to."""
    codes = plan.coding.encoder.apply(model.state.frozen["encoder"], x)
    logits = plan.coding.decoder.apply(model.state.frozen["decoder"], codes)
    nats = float(jnp.mean(losses.bernoulli_nll(logits, x)))
    uniform = math.prod(codes.shape[1:]) * math.log(plan.size)
    usage = {name: float(value) for name, value in quantisers.usage(codes, plan.size).items()}
    columns = {**usage, "reconstruction": nats, "code_nats": model.row["loss"]}
    return jax.nn.sigmoid(logits), {**columns, "uniform_bits": bits(nats + uniform, x.shape[1:])}


def bits(nats: Array | float, shape: Sequence[int]) -> float:
    """Returns bits for each dimension of nats of an image."""
    return float(nats / (math.prod(shape) * math.log(2)))


def figures(
    rows: Sequence[Mapping[str, Any]], drawn: Mapping[str, Mapping[str, Array]], test: Array
) -> dict[str, Any]:
    """Draws what a pixel costs, reconstructions, and samples."""
    columns = {"uniform_bits": "codes alike in probability", "bits_per_dimension": "learned"}
    table = plots.mean_table(rows, lambda row: row["latents"], columns)
    return {
        "Bits for each pixel of test images, at most, of learned latents and of codes that are all "
        "alike in probability.": plots.dots(table, "bits per dimension"),
        "Test images, and what is decoded of their latents.": plots.reconstructions(
            test, drawn["again"], first="test"
        ),
        "Samples: latents drawn from what was learned of them, decoded.": plots.image_rows(
            {"test": test, **drawn["sample"]}
        ),
    }


if __name__ == "__main__":
    cli.main(vq_vae, PRESETS)
