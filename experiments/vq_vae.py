"""Images as maps of codes: quantisers side by side, and a distribution of codes that is sampled.

    python experiments/vq_vae.py

Every quantiser gives a place one of as many values, beside k-means of patches and a VAE of the same
network. What an image costs in bits is bounded by its codes, under the autoregressive distribution
that a second stage learns of them, and its pixels given them.

Reference: Van den Oord, Vinyals and Kavukcuoglu (2017), Neural Discrete Representation Learning;
Lee et al. (2022), for residual quantisation; Mentzer et al. (2023), for finite scalars.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, losses, methods, metrics, nets, plots, training
from ae_jax.core import BELOW_ONE, NOT_NEGATIVE, Array, Domain, InputError, Method, Network
from ae_jax.experiment import Count, Model, Splits, Swept, Whole
from ae_jax.methods import observations, priors, quantisers

CODES = ("averages", "restarts", "gradient", "residual", "scalars", "k-means")
SEVERAL = Annotated[int, Domain(2, whole=True)]
USED, BITS = ("perplexity", "codes_used"), ("bits_per_dimension", "uniform_bits")
TABLE = ("squared_error", *USED, "reconstruction", "code_nats", *BITS, "kernel_distance")
#: A first stage; and of codes what encodes to them, and a second stage.
Plan = tuple[Method, quantisers.Coding | None, Method | None]


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latents: Swept[Literal[(*CODES, "gaussian")]] = ("restarts", *CODES[3:], "gaussian")
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
    gaussian_size: Count = 32
    """Latents of the VAE, of which a dense layer makes the map."""
    commitment: Annotated[float, NOT_NEGATIVE] = 0.25
    """Weight of the encoder's distance from its codes."""
    restart: Annotated[float, BELOW_ONE] = 0.1
    """Entries with fewer latents in a batch, on average, begin again."""
    widths: tuple[Count, ...] = (16, 32)
    """Channels of convolutions, each of which halves the image; the decoder's are the same,
    backwards."""
    blocks: Whole = 0
    """Residual ones, behind these; of the decoder before them."""
    prior_channels: Count = 16
    """Of each of the layers of the network that is told the codes before."""
    prior_layers: Count = 3
    learning_rate: Swept[float] = (2e-3,)
    """Of both stages, at first; it falls to 0 as a half cosine."""
    steps: Count = 600
    prior_steps: Count = 300
    """Of the second stage. Both keep their best state by the validation loss."""
    samples: Annotated[int, Domain(16, whole=True)] = 500
    """Of each model, to be measured."""
    seeds: Count = 2


PRESETS = {
    "default": Config(),
    "smoke": Config(
        latents=("residual", "k-means", "gaussian"), size=4, widths=(4, 4), prior_channels=4,
        steps=20, prior_steps=20, samples=16, seeds=1,
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
        seeds=5,
    ),
}  # fmt: skip


def vq_vae(config: Config) -> None:
    """Trains every quantiser and a distribution of its codes, and a VAE of the same network."""
    splits = Splits(*map(data.binarized, experiment.load_splits(config)))
    test, shape = data.head(splits.test, 5000), splits.image_shape
    x, flat = test["image"], (-1, math.prod(shape))
    plans = {name: plan(config, shape, name) for name in config.latents}
    patches = splits.train.size * math.prod(shape[:2]) // 4 ** len(config.widths)
    if "k-means" in config.latents and patches < config.size:
        raise InputError(
            f"--size is {config.size}: k-means finds no more clusters than {patches}, "
            "as many as training images have patches"
        )
    sweeps = [({"latents": own}, trained(config, own, plans[own], splits)) for own in plans]
    drawn: dict[str, dict[str, Array]] = {"again": {}, "sample": {}}

    def describe(model: Model) -> dict[str, Any]:
        name, keys = model.row["latents"], jax.random.split(jax.random.key(model.row["seed"]))
        made = model.sample(keys[0], config.samples)
        nats = model.log_likelihood(keys[1], test)
        _, coding, _ = plans[name]
        again, columns = of_codes(coding, model, x) if coding else (model.reconstruct(test), {})
        for kind, images in (("again", again), ("sample", made)):
            drawn[kind].setdefault(name, images[:16])
        apart, _ = metrics.kernel_distance(made.reshape(flat), x.reshape(flat))
        return {
            "squared_error": float(jnp.mean(losses.squared_error(again, x))),
            **columns,
            "bits_per_dimension": metrics.bits_per_dimension(-jnp.mean(nats), shape),
            "kernel_distance": float(apart),
        }

    rows = experiment.side_by_side(sweeps, describe, ["latents"], best=True)
    experiment.report(
        config,
        cli.directory(config, "vq_vae"),
        f"Codes of images of {config.dataset}",
        rows,
        ("latents", *experiment.varied(config, "learning_rate")),
        TABLE,
        lambda: figures(rows, drawn, x[:16]),
        [found.result for _, found in sweeps],
        [
            "Images are black and white, cut at half. bits_per_dimension bounds what a pixel "
            "costs: of all the codes that an image might have, log p(x) = log sum_c p(c) p(x | c), "
            "it counts the encoder's own alone, (code_nats + reconstruction) / (pixels log 2); of "
            "the VAE it is that of importance samples. uniform_bits has all codes alike in "
            "probability. perplexity and codes_used are over all places of test images.",
        ],
    )


def quantiser(config: Config, name: str) -> quantisers.Quantiser:
    """Returns what makes the codes."""
    if name == "scalars":
        return quantisers.finite_scalar(config.scalars)
    restart: dict[str, Any] = {"restart": config.restart}
    own = restart if name in ("restarts", "residual") else {"ema": name == "averages"}
    many = (config.residual_size, config.residual_levels) if name == "residual" else (config.size,)
    return quantisers.codebook(*many, commitment=config.commitment, **own)


def plan(config: Config, shape: Sequence[int], name: str) -> Plan:
    """Returns the stages of a model."""
    side, widths, likelihood = 2 ** len(config.widths), config.widths, observations.bernoulli()
    sizes = {"scalars": len(config.scalars), "k-means": side**2 * shape[2]}
    latent_shape = (shape[0] // side, shape[1] // side, sizes.get(name, config.latent_size))
    encoder = nets.map_encoder(latent_shape[2], widths, blocks=config.blocks)
    decoder = nets.map_decoder(shape[2], widths[::-1], blocks=config.blocks)
    if name == "gaussian":
        encoder = nets.chain(encoder, nets.mlp(2 * config.gaussian_size, ()))
        decoder = nets.chain(nets.mlp(latent_shape, ()), decoder)
        return methods.vae(encoder, decoder, config.gaussian_size), None, None
    if name == "k-means":
        logit = Network(lambda key, z: {}, lambda params, z: jax.scipy.special.logit(z))
        encoder, decoder = nets.patch_encoder(side), nets.chain(logit, nets.patch_decoder(side))
    made = quantiser(config, name)
    options = {"quantiser": made, "reconstruction": likelihood}
    first = methods.vq_vae(encoder, decoder, latent_shape, **options)
    coding = quantisers.coding(encoder, decoder, made, latent_shape)
    grid = (*latent_shape[:2], made.levels)
    network = nets.pixel_cnn(made.size, config.prior_channels, config.prior_layers)
    codes = methods.density_model(priors.autoregressive(network, grid), grid)
    second = methods.stage(coding.encoder, codes, coding.decoder, likelihood=likelihood)
    return first, coding, second


def trained(config: Config, name: str, plan: Plan, splits: Splits) -> experiment.Sweep:
    """Trains a first stage, and of codes a second one, of which the sweep then is."""
    first, coding, second = plan

    def sweep(part: str, method: Method, steps: int, start: Any = None) -> experiment.Sweep:
        options = {"part": part, "steps": steps, "schedules": [training.warmup_cosine(steps)]}
        options |= {"start": start, "select": "best", "everywhere": True}
        return experiment.sweep(config, "vq_vae", method, splits, {}, **options)

    if name == "k-means":
        params = [clusters(config, splits, lane["seed"]) for lane in experiment.lanes(config, {})]
    else:
        found = sweep(name, first, config.steps)
        if second is None:
            return found
        lanes = range(len(found.result.rows))
        params = [experiment.model(found.result, lane, best=True).state.params for lane in lanes]
    start = [coding.parts(own) for own in params]
    return sweep(f"{name}-codes", second, config.prior_steps, start)


def clusters(config: Config, splits: Splits, seed: int) -> dict[str, Any]:
    """Returns the parameters that k-means of training patches has in the place of a first stage."""
    from sklearn.cluster import KMeans

    cut = nets.patch_encoder(2 ** len(config.widths)).apply({}, data.all_images(splits.train))
    x = np.asarray(cut).reshape(-1, cut.shape[-1])
    found = KMeans(config.size, n_init=1, random_state=seed).fit(x)
    counts = np.bincount(found.labels_, minlength=config.size)[:, None]
    # no pixel is certain: half a white and half a black one more in each cluster, whose centre
    # rounding may have put below 0
    book = (np.clip(found.cluster_centers_, 0, 1) * counts + 0.5) / (counts + 1)
    return {"encoder": {}, "decoder": {}, "quantiser": {"codebook": book[None].astype(x.dtype)}}


def of_codes(coding: quantisers.Coding, model: Model, x: Array) -> tuple[Array, dict[str, float]]:
    """Returns reconstructions by the codes of images, and what these come to."""
    codes = coding.encoder.apply(model.state.frozen["encoder"], x)
    logits = coding.decoder.apply(model.state.frozen["decoder"], codes)
    nats, size = float(jnp.mean(losses.bernoulli_nll(logits, x))), coding.quantiser.size
    uniform = nats + math.prod(codes.shape[1:]) * math.log(size)
    return jax.nn.sigmoid(logits), {
        **{name: float(value) for name, value in quantisers.usage(codes, size).items()},
        "reconstruction": nats,
        "code_nats": model.row["loss"],
        "uniform_bits": metrics.bits_per_dimension(uniform, x.shape[1:]),
    }


def figures(
    rows: Sequence[Mapping[str, Any]], drawn: Mapping[str, Mapping[str, Array]], test: Array
) -> dict[str, Any]:
    """Draws what a pixel costs, reconstructions, and samples."""
    table = plots.mean_table(rows, lambda row: row["latents"], BITS)
    return {
        "Bits for each pixel of test images, at most.": plots.dots(table, "bits per dimension"),
        "Test images, and what is decoded of their latents.": plots.image_rows(
            {"test": test, **drawn["again"]}
        ),
        "Test images, and samples: latents drawn from what was learned of them, decoded.": (
            plots.image_rows({"test": test, **drawn["sample"]})
        ),
    }


if __name__ == "__main__":
    cli.main(vq_vae, PRESETS)
