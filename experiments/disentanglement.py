"""Seven methods of disentanglement at several strengths, and every score of what they learned.

    python experiments/disentanglement.py

All Gaussian methods are lanes of one program, since they differ in traced weights alone; FactorVAE
has a second player, and Ada-GVAE sees pairs. As the study found, scores of different definitions
agree in part only, and the seed moves many of them as much as the method does: so few seeds rank no
methods.

Reference: Locatello et al. (2019), Challenging Common Assumptions in the Unsupervised Learning of
Disentangled Representations; (2020), Weakly-Supervised Disentanglement without Compromises.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots
from ae_jax.core import Batch, InputError, Method
from ae_jax.experiment import Count, agreement
from ae_jax.methods import latent_regularisers

#: Supervised scores, from codes and factors; those of a forest and of pairs are found on the host.
SCORES = (
    *("mig", "sap", "modularity", "irs", "factor_vae_score", "beta_vae_score"),
    *("mi_disentanglement", "mi_completeness", "forest_disentanglement", "forest_completeness"),
    "explicitness",
)
LEVELS = ("method", "strength", "seed")
NOTE = (
    "Scores are of posterior means of test images; irs, modularity and those by classifiers are "
    "high for codes that are not disentangled, too. udr compares the seeds of one setting."
)
#: What is known without factors.
UNSUPERVISED = (
    *("reconstruction", "kl", "elbo", "gaussian_total_correlation", "wasserstein_correlation"),
    *("active_units", "udr"),
)


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Every strength of every method is a setting, trained with each seed and learning rate."""

    dataset: str = "sprites16"
    """One with factors; pairs are made of its `all` split, where every combination must be."""
    latent_size: Count = 6
    architecture: Literal["mlp", "conv", "disentanglement_lib"] = "mlp"
    """disentanglement_lib is the study's; conv has larger kernels in its last two convolutions."""
    widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of the encoder, reversed in the decoder, of mlp."""
    discriminator_widths: tuple[Count, ...] = (128, 128)
    """FactorVAE's."""
    beta: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Of beta-VAE; 1 is the VAE."""
    capacity: tuple[float, ...] = (5.0, 7.0)
    """Nats, of AnnealedVAE."""
    capacity_weight: float = 100.0
    tc_weight: tuple[float, ...] = (1.0, 3.0)
    """Of beta-TCVAE: beta less 1."""
    dip_i_weight: tuple[float, ...] = (2.0, 10.0)
    """Of DIP-VAE-I, off the diagonal; ten times as much on it."""
    dip_ii_weight: tuple[float, ...] = (2.0, 10.0)
    """Of DIP-VAE-II, on and off the diagonal."""
    matching_weight: tuple[float, ...] = (100.0,)
    """Of InfoVAE's discrepancy from the prior, beside a KL divergence of weight 1."""
    factor_weight: tuple[float, ...] = (10.0, 35.0)
    """Of FactorVAE's discriminator."""
    factor_learning_rate: float = 1e-3
    """Of FactorVAE's discriminator."""
    pairs_beta: tuple[float, ...] = (1.0, 4.0)
    """Of Ada-GVAE, whose pairs differ in a random number of factors; none where there are none."""
    seeds: Count = 3
    steps: Count = 2000


PRESETS = {
    "default": Config(),
    "smoke": Config(
        latent_size=3,
        widths=(8,),
        discriminator_widths=(8,),
        **dict.fromkeys(("capacity", "dip_i_weight", "dip_ii_weight", "matching_weight"), ()),
        **dict.fromkeys(("beta", "tc_weight", "factor_weight", "pairs_beta"), (1.0,)),
        seeds=2,
        steps=20,
    ),
    "sprites32": Config(dataset="shapes32", latent_size=10, widths=(256, 256), steps=30_000),
    # Locatello et al. (2019), tables 1 to 3: 1,800 models of dSprites.
    "paper": Config(
        dataset="dsprites",
        latent_size=10,
        architecture="disentanglement_lib",
        discriminator_widths=(1000,) * 6,
        beta=(1.0, 2.0, 4.0, 6.0, 8.0, 16.0),
        capacity=(5.0, 10.0, 25.0, 50.0, 75.0, 100.0),
        capacity_weight=1000.0,
        tc_weight=(0.0, 1.0, 3.0, 5.0, 7.0, 9.0),
        dip_i_weight=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
        dip_ii_weight=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
        factor_weight=(10.0, 20.0, 30.0, 40.0, 50.0, 100.0),
        factor_learning_rate=1e-4,
        **dict.fromkeys(("matching_weight", "pairs_beta"), ()),
        learning_rate=(1e-4,),
        seeds=50,
        steps=300_000,
    ),
}

#: A setting's columns in tables, and the static and traced numbers that it comes to.
Setting = tuple[dict[str, Any], dict[str, Any]]


def settings(config: Config, size: int) -> dict[str, list[Setting]]:
    """Returns what is trained, by kind of method: gaussian, factor and pairs."""
    dips = {k: [f"dip_{k}_{part}diagonal_weight" for part in ("off_", "")] for k in ("i", "ii")}
    off = dict.fromkeys(("capacity_weight", "capacity", "tc_weight", "matching_weight"), 0.0)
    off |= dict.fromkeys((*dips["i"], *dips["ii"]), 0.0)

    def of(method: str, strength: float, kind: str = "gaussian", **own: float) -> Setting:
        rest = {"beta": 1.0, **off} if kind == "gaussian" else {}
        return {"method": method, "strength": strength}, {"kind": kind, "size": size, **rest, **own}

    def dip(kind: str, weight: float, ratio: float) -> Setting:
        own = dict(zip(dips[kind], (weight, ratio * weight), strict=True))
        return of(f"DIP-VAE-{kind.upper()}", weight, **own)

    held = config.capacity_weight
    gaussian = [
        *(of("beta-VAE", x, beta=x) for x in config.beta),
        *(of("AnnealedVAE", x, beta=0, capacity=x, capacity_weight=held) for x in config.capacity),
        *(of("beta-TCVAE", x, tc_weight=x) for x in config.tc_weight),
        *(dip("i", x, 10) for x in config.dip_i_weight),
        *(dip("ii", x, 1) for x in config.dip_ii_weight),
        *(of("InfoVAE", x, matching_weight=x) for x in config.matching_weight),
    ]
    rate = {"discriminator_learning_rate": config.factor_learning_rate}
    factor = [of("FactorVAE", x, "factor", tc_weight=x, **rate) for x in config.factor_weight]
    pairs = [of("Ada-GVAE", x, "pairs", beta=x) for x in config.pairs_beta]
    kinds = {"gaussian": gaussian, "factor": factor, "pairs": pairs}
    return {kind: found for kind, found in kinds.items() if found}


def build(config: Config, spec: Mapping[str, Any], kind: str, size: int) -> Method:
    """Returns the VAE of one kind, for so many training images."""
    shape, latents, widths = spec["image"].shape, config.latent_size, config.widths
    encoder = nets.encoder(config.architecture, shape, 2 * latents, widths)
    decoder = nets.decoder(config.architecture, shape, latents, widths[::-1])
    if kind == "factor":
        discriminator = nets.mlp(1, config.discriminator_widths, activation="leaky_relu")
        return methods.factor_vae(encoder, decoder, discriminator, latents)
    if kind == "pairs":
        return methods.paired_vae(encoder, decoder, latents)
    correlation = latent_regularisers.total_correlation(data_size=size)
    dips = latent_regularisers.dip("i"), latent_regularisers.dip("ii")
    others = latent_regularisers.capacity(), latent_regularisers.matching()
    return methods.vae(encoder, decoder, latents, regularisers=[correlation, *dips, *others])


def disentanglement(config: Config) -> None:
    """Trains all settings, scores them and reports how the scores agree."""
    splits = experiment.load_splits(config)
    data.known_factors(splits.test, "latents are scored")
    kinds, builder = (
        settings(config, splits.train.size),
        functools.partial(build, config, splits.train.spec),
    )
    shown = dict.fromkeys(kinds, splits)
    if "pairs" in kinds:
        every = data.load(config.dataset, "all", value_range=config.value_range)
        sizes = None, 2000, 10_000  # a million to learn from
        shown["pairs"] = experiment.Splits(*(data.changed(every, size=size) for size in sizes))
    for kind, found in kinds.items():
        lanes = experiment.lanes(config, [own for _, own in found])
        experiment.check(builder, lanes, splits=shown[kind], batch_size=config.batch_size)
    scored = functools.partial(metrics.latent_summary, scores=metrics.disentanglement_scores)
    parts, told = [], []
    for kind, found in kinds.items():
        values = [own for _, own in found]
        trained = experiment.sweep(
            config, "disentanglement", builder, shown[kind], values, part=kind, summarize=scored
        )
        parts.append(({}, trained))
        told += [columns for columns, own in found for _ in experiment.lanes(config, own)]
    batch, codes = data.head(splits.test, 10_000), {}

    def describe(model: experiment.Model) -> dict[str, float]:
        codes[model.row["lane"]] = model.encode(batch)
        return agreement.scored(codes[model.row["lane"]], batch["factors"], model.row["seed"])

    by = ("method", "strength", "learning_rate")
    rows = experiment.side_by_side(parts, describe, by)
    rows = [{**row, **columns} for row, columns in zip(rows, told, strict=True)]
    rows = agreement.with_agreement(rows, codes, by)
    experiment.report(
        config,
        cli.directory(config, "disentanglement"),
        f"Disentanglement on {config.dataset}",
        rows,
        by,
        ("reconstruction", "kl", "gaussian_total_correlation", "active_units", *SCORES, "udr"),
        lambda: figures(rows, [trained for _, trained in parts], batch),
        [trained.result for _, trained in parts],
        [NOTE, *agreement.explained(rows, "mig", LEVELS)],
    )


def figures(
    rows: Sequence[Mapping[str, Any]], sweeps: Sequence[experiment.Sweep], batch: Batch
) -> dict[str, Any]:
    """Draws scores by setting, how they agree, what explains them, and one lane's latents."""
    shown, known = agreement.known(rows, SCORES), agreement.known(rows, UNSUPERVISED)
    found = agreement.correlations(rows, [*shown, *known])
    if not shown:
        raise InputError("fewer than two models can be scored: there is nothing to compare")
    drawn = {
        "A score of every method by strength, in ascending order, and its spread over seeds.": (
            plots.dots(
                agreement.by_strength(rows, shown[0]), plots.label(shown[0]), name="strength"
            )
        ),
        "How scores agree: rank correlations over all models.": plots.matrix(
            found[: len(shown), : len(shown)], shown, name="correlation of scores"
        ),
        "What is known without factors, beside scores that need them: rank correlations.": (
            plots.matrix(found[len(shown) :, : len(shown)], known, shown, name="with a score")
        ),
        "How much of a score's variance over models its method, strength and seed explain.": (
            plots.bars(
                agreement.shares(rows, shown[:6], LEVELS), "share of variance", name="choice"
            )
        ),
    }
    lanes = [(sweep.result, row["lane"]) for sweep in sweeps for row in sweep.result.rows]
    if agreed := [row for row in rows if row.get("udr") is not None]:
        best = max(agreed, key=lambda row: row["udr"])
        model = experiment.model(*lanes[best["lane"]])
        codes, span = model.encode(batch), np.linspace(-2.0, 2.0, 9)
        name = f"{best['method']} {best['strength']:g}, seed {best['seed']}"
        images, score = plots.traverse(model.decode, codes[0], span), "variance of the mean"
        drawn[f"Latents moved from -2 to 2, of the model that agrees best with others: {name}."] = (
            plots.traversals(images, span, scores=codes.var(axis=0), score_name=score)
        )
    return drawn


if __name__ == "__main__":
    cli.main(disentanglement, PRESETS, description=__doc__)
