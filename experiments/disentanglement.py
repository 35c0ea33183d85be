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
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots
from ae_jax.core import Array, Method
from ae_jax.experiment import Count, agreement
from ae_jax.methods import latent_regularisers

#: Supervised scores, from codes and factors; those of a forest and of pairs are found on the host.
SCORES = (
    *("mig", "sap", "modularity", "irs", "factor_vae_score", "beta_vae_score"),
    *("mi_disentanglement", "mi_completeness", "forest_disentanglement", "forest_completeness"),
    "explicitness",
)
LEVELS = ("method", "strength", "seed")
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
    architecture: Literal["mlp", "conv"] = "mlp"
    """conv is the study's."""
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
    """Of Ada-GVAE, whose pairs differ in a random number of factors."""
    seeds: Count = 3
    steps: Count = 2000


PRESETS = {
    "default": Config(),
    "smoke": Config(
        latent_size=3,
        widths=(8,),
        discriminator_widths=(8,),
        beta=(1.0,),
        capacity=(),
        tc_weight=(3.0,),
        dip_i_weight=(),
        dip_ii_weight=(),
        matching_weight=(),
        factor_weight=(),
        pairs_beta=(),
        seeds=2,
        steps=20,
    ),
    "sprites32": Config(dataset="shapes32", latent_size=10, widths=(256, 256), steps=30_000),
    # Locatello et al. (2019), tables 1 to 3: 1,800 models of dSprites.
    "paper": Config(
        dataset="dsprites",
        latent_size=10,
        architecture="conv",
        discriminator_widths=(1000,) * 6,
        beta=(1.0, 2.0, 4.0, 6.0, 8.0, 16.0),
        capacity=(5.0, 10.0, 25.0, 50.0, 75.0, 100.0),
        capacity_weight=1000.0,
        tc_weight=(0.0, 1.0, 3.0, 5.0, 7.0, 9.0),
        dip_i_weight=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
        dip_ii_weight=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
        matching_weight=(),
        factor_weight=(10.0, 20.0, 30.0, 40.0, 50.0, 100.0),
        factor_learning_rate=1e-4,
        pairs_beta=(),
        learning_rate=(1e-4,),
        seeds=50,
        steps=300_000,
    ),
}

PARTS = ("off_", "")
#: A setting's columns in tables, and the traced numbers that it comes to.
Setting = tuple[dict[str, Any], dict[str, float]]


def gaussian_settings(config: Config) -> list[Setting]:
    """Returns the settings of what differs in weights alone, each with the other weights at 0."""
    dips = [f"dip_{kind}_{part}diagonal_weight" for kind in ("i", "ii") for part in PARTS]
    off = dict.fromkeys(["capacity_weight", "capacity", "tc_weight", "matching_weight", *dips], 0.0)

    def of(method: str, strength: float, **own: float) -> Setting:
        return {"method": method, "strength": strength}, {"beta": 1.0, **off, **own}

    def found() -> Iterator[Setting]:
        for beta in config.beta:
            yield of("beta-VAE", beta, beta=beta)
        for nats in config.capacity:
            weight = config.capacity_weight
            yield of("AnnealedVAE", nats, beta=0.0, capacity=nats, capacity_weight=weight)
        for weight in config.tc_weight:
            yield of("beta-TCVAE", weight, tc_weight=weight)
        for kind, weights, ratio in (
            ("i", config.dip_i_weight, 10),
            ("ii", config.dip_ii_weight, 1),
        ):
            for weight in weights:
                own = {"off_": weight, "": ratio * weight}
                named = {f"dip_{kind}_{part}diagonal_weight": own[part] for part in PARTS}
                yield of(f"DIP-VAE-{kind.upper()}", weight, **named)
        for weight in config.matching_weight:
            yield of("InfoVAE", weight, matching_weight=weight)

    return list(found())


def build(config: Config, spec: Mapping[str, Any], size: int, kind: str) -> Method:
    """Returns the VAE of one kind, for data of a size: gaussian, factor or pairs."""
    shape, widths = spec["image"].shape, config.widths
    encoder = nets.encoder(config.architecture, shape, 2 * config.latent_size, widths)
    decoder = nets.decoder(config.architecture, shape, config.latent_size, widths[::-1])
    if kind == "factor":
        discriminator = nets.mlp(1, config.discriminator_widths, activation="leaky_relu")
        return methods.factor_vae(
            encoder,
            decoder,
            discriminator,
            config.latent_size,
            discriminator_learning_rate=config.factor_learning_rate,
        )
    if kind == "pairs":
        return methods.ada_gvae(encoder, decoder, config.latent_size)
    return methods.vae(
        encoder,
        decoder,
        config.latent_size,
        regularisers=[
            latent_regularisers.capacity(),
            latent_regularisers.total_correlation(data_size=size),
            latent_regularisers.dip("i"),
            latent_regularisers.dip("ii"),
            latent_regularisers.matching(),
        ],
    )


def disentanglement(config: Config) -> None:
    """Trains all settings, scores them and reports how the scores agree."""
    splits, kinds = experiment.load_splits(config), {}
    data.known_factors(splits.test, "latents are scored")
    kinds["gaussian"] = gaussian_settings(config), splits
    kinds["factor"] = (
        [({"method": "FactorVAE", "strength": x}, {"tc_weight": x}) for x in config.factor_weight],
        splits,
    )
    if config.pairs_beta:
        pairs = data.changed(data.load(config.dataset, "all", value_range=config.value_range))
        kinds["pairs"] = (
            [({"method": "Ada-GVAE", "strength": x}, {"beta": x}) for x in config.pairs_beta],
            splits._replace(train=pairs),
        )
    kinds = {kind: own for kind, own in kinds.items() if own[0]}
    built = {kind: build(config, splits.train.spec, splits.train.size, kind) for kind in kinds}
    for kind, (settings, _) in kinds.items():
        experiment.check(built[kind], experiment.lanes(config, [own for _, own in settings]))
    scored = functools.partial(metrics.latent_summary, scores=metrics.disentanglement_scores)
    labels, parts = [], []
    for kind, (settings, own) in kinds.items():
        values = [numbers for _, numbers in settings]
        trained = experiment.sweep(
            config, "disentanglement", built[kind], own, values, part=kind, summarize=scored
        )
        parts.append(({}, trained))
        labels += [
            columns for columns, numbers in settings for _ in experiment.lanes(config, numbers)
        ]
    batch, codes = data.head(splits.test, 10_000), {}

    def describe(model: experiment.Model) -> dict[str, float]:
        codes[model.row["lane"]] = latents = model.encode(batch)
        factors, key = batch["factors"], jax.random.key(model.row["seed"])
        return {
            "gaussian_total_correlation": float(metrics.gaussian_total_correlation(latents)),
            "wasserstein_correlation": float(metrics.wasserstein_correlation(latents)),
            "beta_vae_score": metrics.beta_vae_score(key, latents, factors),
            "explicitness": metrics.explicitness(latents, factors),
            **metrics.dci(latents, factors, importance="forest", seed=model.row["seed"]),
        }

    by = ("method", "strength")
    rows = experiment.side_by_side(parts, describe, by)
    rows = [{**row, **columns} for row, columns in zip(rows, labels, strict=True)]
    rows = agreement.with_agreement(rows, codes, (*by, "learning_rate"))
    best = max(
        (row for row in rows if row["lane"] in codes),
        key=lambda row: row.get("udr", 0.0),
        default=None,
    )
    experiment.report(
        config,
        cli.directory(config, "disentanglement"),
        f"Disentanglement on {config.dataset}",
        rows,
        (*by, "learning_rate"),
        ("reconstruction", "kl", "gaussian_total_correlation", "active_units", *SCORES, "udr"),
        lambda: figures(rows, parts, batch, best),
        [trained.result for _, trained in parts],
        notes(rows, len(batch["factors"])),
    )


def notes(rows: Sequence[Mapping[str, Any]], examples: int) -> list[str]:
    """Returns what a reader of the table has to know."""
    parts = agreement.shares(rows, agreement.known(rows, ("mig",)), LEVELS)
    count = len({(row["method"], row["strength"]) for row in rows})
    sound, methods_ = sum(row["status"] == "ok" for row in rows), len({r["method"] for r in rows})
    said = [
        f"Scores are of posterior means of {examples} test images. irs, modularity and scores by "
        "classifiers are high for codes that are not disentangled, too: compare within a column. "
        "An active unit's mean has a variance above 0.01; udr compares the seeds of one setting."
    ]
    if mig := parts.get("mig"):
        by_chance = (methods_ - 1) / max(sound - 1, 1), (count - methods_) / max(sound - 1, 1)
        said.append(
            f"Of the variance of mig over {sound} models the method explains {mig['method']:.0%}, "
            f"its strength {mig['strength']:.0%} and the seed {mig['seed']:.0%}; if only the seed "
            f"mattered, the former two would have {by_chance[0]:.0%} and {by_chance[1]:.0%}."
        )
    return said


def figures(
    rows: Sequence[Mapping[str, Any]],
    parts: Sequence[tuple[Any, experiment.Sweep]],
    batch: Mapping[str, Array],
    best: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Draws scores by setting, how they agree, what explains them, and one lane's latents."""

    def setting(row: Mapping[str, Any]) -> str:
        return f"{row['method']} {row['strength']:g}"

    shown, known = agreement.known(rows, SCORES), agreement.known(rows, UNSUPERVISED)
    table = plots.mean_table(
        rows, setting, agreement.known(rows, ("mig", "forest_disentanglement"))
    )
    words = {name: name.replace("_", " ") for name in (*shown, *known)}
    explained = agreement.shares(rows, shown[:6], LEVELS)
    found = agreement.correlations(rows, [*shown, *known])
    drawn = {
        "Two scores of every setting.": plots.dots(table, "score"),
        "How scores agree: rank correlations over all models.": plots.matrix(
            found[: len(shown), : len(shown)], [words[name] for name in shown], name="correlation"
        ),
        "What is known without factors, beside scores that need them: rank correlations.": (
            plots.matrix(
                found[len(shown) :, : len(shown)],
                [words[name] for name in known],
                [words[name] for name in shown],
                name="correlation with a score",
            )
        ),
        "How much of a score's variance over models its method, strength and seed explain.": (
            plots.bars(explained, "share of variance", name="choice")
        ),
    }
    if best is None:
        return drawn
    before = itertools.accumulate((len(trained.result.rows) for _, trained in parts), initial=0)
    for (_, trained), first in zip(parts, before, strict=False):
        if 0 <= best["lane"] - first < len(trained.result.rows):
            model = experiment.model(trained.result, best["lane"] - first)
            codes, span = model.encode(batch), np.linspace(-2.0, 2.0, 9)
            drawn[
                "Each latent moved from -2 to 2, of the model whose latents agree best with those of "
                f"other seeds: {setting(best)}, seed {best['seed']}; what varies most comes first."
            ] = plots.traversals(
                plots.traverse(model.decode, codes[0], span),
                span,
                scores=codes.var(axis=0),
                score_name="variance of the mean",
            )
    return drawn


if __name__ == "__main__":
    cli.main(disentanglement, PRESETS, description=__doc__)
