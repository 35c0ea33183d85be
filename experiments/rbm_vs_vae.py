"""A restricted Boltzmann machine beside a variational autoencoder of as many latents.

    python experiments/rbm_vs_vae.py

Of binarised test digits, with 4, 16 and 64 latents, the machine gives -20.39 and -17.73 nats,
exactly, and -16.2 (AIS -16.16, reverse AIS -16.18); the VAE at least -16.66, -16.16 and -16.42, by
1000 importance samples, which is 1.2 to 1.6 above its ELBO. A linear probe is right about 62.7,
90.3 and 95.7% by the machine's hidden units, about 83.3, 90.8 and 93.3% by the VAE's latents, about
93.3% by pixels. The machine of 64 units has 4,224 parameters, the VAEs 40 times as many or more.
Two and a quarter minutes on two CPU cores.

Both were tuned on validation images. The machine needs a learning rate of 0.5 (0.05 costs 1.3 nats
at 64 units) and there a weight decay of 1e-3 (1e-4 costs 0.9); PCD-5 gains 0.1 or less. The VAE
needs two hidden layers (one costs 0.9 nats at 16 latents) and a learning rate of 2e-3 (1e-3 costs
0.3, 4e-3 0.1 to 0.2); wider layers and weight decay gain nothing at 16. At 64 a warm-up of the KL
divergence gained it 0.3 nats in 3000 steps, which is what it lacks there: call that a draw.

Reference: Burda, Grosse and Salakhutdinov (2015), Accurate and Conservative Estimates of MRF
Log-likelihood using Reverse Annealing; Burda, Grosse and Salakhutdinov (2016), Importance
Weighted Autoencoders.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, losses, methods, metrics, nets, plots, training
from ae_jax.core import Array, Batch, InputError, Method
from ae_jax.methods import boltzmann

#: What the table has a row for each combination of.
BY = ("model", "latent_size", "learning_rate", "weight_decay")
#: Small importance-weighted bounds are averaged until they have seen so many samples.
SAMPLES = 100


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept; of a model's settings validation chooses."""

    latent_size: tuple[int, ...] = (4, 16, 64)
    """Hidden units of the machine (up to 20 it is exact) and Gaussian latents of the VAE; each is
    compiled on its own."""
    learning_rate: tuple[float, ...] = (2e-3,)
    """Of the VAE, at first; both models' fall to 0 as a half cosine."""
    widths: tuple[int, ...] = (256, 256)
    """Hidden layers of the VAE's encoder; its decoder's are the same, backwards."""
    steps: int = 4000
    """Of the VAE, which keeps its best state by the validation ELBO."""
    rbm_learning_rate: tuple[float, ...] = (0.5,)
    weight_decay: tuple[float, ...] = (1e-4, 1e-3)
    """Of the machine."""
    estimator: str = "pcd-1"
    """Of the machine's gradient: exact, or cd-k, pcd-k, fpcd-k, pt-k of k steps."""
    chains: int = 100
    """Of PCD, and of PT at all of its 10 temperatures together."""
    rbm_steps: int = 6000
    sample_steps: int = 1000
    """Of Gibbs sampling before the machine's samples are shown."""
    importance_samples: tuple[int, ...] = (10, 100, 1000)
    """Of the VAE's bounds above the ELBO; the last is its likelihood."""
    annealing_chains: int = 100
    """Of AIS; reverse AIS has one for each image."""
    annealing_temperatures: int = 1000
    test_images: int = 500
    """At most, and as many validation images."""
    labels: int = 5000
    """How many training images the linear probe sees with their labels, at most; 100 or more."""
    seeds: int = 2


PRESETS = {
    "default": Config(),
    "smoke": Config(
        latent_size=(4,),
        widths=(16,),
        steps=40,
        weight_decay=(1e-4,),
        rbm_steps=40,
        sample_steps=10,
        importance_samples=(5,),
        annealing_chains=10,
        annealing_temperatures=20,
        test_images=20,
        labels=200,
    ),
    # 20 hidden units are still exact, 50 latents are the usual VAE's and 500 the usual machine's.
    "paper": Config(
        dataset="mnist",
        latent_size=(20, 50, 200, 500),
        learning_rate=(5e-4, 1e-3),
        widths=(500, 500),
        steps=150_000,
        rbm_learning_rate=(0.05,),
        weight_decay=(1e-5, 1e-4),
        estimator="pcd-5",
        rbm_steps=150_000,
        sample_steps=10_000,
        importance_samples=(10, 100, 1000, 5000),
        annealing_temperatures=20_000,
        test_images=10_000,
        labels=10_000,
        seeds=3,
        batch_size=100,
    ),
}


class Side(NamedTuple):
    """One of the two models.

    Attributes:
      build: latent size -> Method.
      values: what is swept.
      options: of the training.
      likelihoods: (model, batch) -> mean log-likelihoods by name, nats; and the one that is
        compared, of each image, [N]: exact, or too low on average.
      best: whether the state with the best validation is looked at, and not the last.
    """

    build: Callable[[int], Method]
    values: Mapping[str, Any]
    options: Mapping[str, Any]
    likelihoods: Callable[[experiment.Model, Batch], tuple[dict[str, float], Array]]
    best: bool = False


class Lane(NamedTuple):
    """A trained lane, and the log-likelihood of each test image, [N]."""

    model: experiment.Model
    likelihood: np.ndarray


def rbm_vs_vae(config: Config) -> None:
    """Trains machines and VAEs on the same zeros and ones, and compares what they are good for."""
    splits = experiment.Splits(*map(data.binarized, experiment.load(config)))
    sides = {"RBM": machine(config, splits), "VAE": autoencoder(config, splits)}
    check(config, splits, sides)
    rows: list[dict[str, Any]] = []
    lanes: dict[int, Lane] = {}
    for kind, side in sides.items():
        out, own, trained = measured(config, kind, side, splits, len(rows))
        rows += own
        lanes |= trained
    train = experiment.first_batch(splits.train, config.labels)
    test = experiment.first_batch(splits.test, config.test_images)
    pixels = probed(lambda batch: batch["image"], train, test)
    chosen = experiment.best_settings(rows, BY, BY[:2], "validation")
    experiment.report(
        config,
        out,
        f"Boltzmann machines and variational autoencoders on {config.dataset}",
        rows,
        BY,
        (
            "validation",
            "exact",
            "ais",
            "reverse_ais",
            "elbo",
            bound_of(config.importance_samples[-1]),
            "squared_error",
            "linear_probe",
            "parameters",
            "seconds",
        ),
        lambda: figures(config, chosen, lanes, splits, pixels),
        notes=[
            f"Nats per image, of {len(test['image'])} test images of zeros and ones. AIS is too "
            "high on average, reverse AIS, the ELBO and the importance-weighted bound (iwae) too "
            "low. Settings are chosen by the likelihood of validation images.",
            *(f"Linear probe on pixels: {value:.1f}%." for value in pixels.values()),
            *compared(chosen, lanes),
        ],
    )


def measured(
    config: Config, kind: str, side: Side, splits: experiment.Splits, first: int
) -> tuple[Path, list[dict[str, Any]], dict[int, Lane]]:
    """Trains one of the models and measures its lanes, which are numbered from `first`.

    Returns the run's directory, a row per lane, and the lanes of this process by their numbers.
    """
    train = experiment.first_batch(splits.train, config.labels)
    validation = experiment.first_batch(splits.validation, config.test_images)
    test = experiment.first_batch(splits.test, config.test_images)
    trained = experiment.sweep(
        config, "rbm_vs_vae", side.build, splits, side.values, part=kind.lower(), **side.options
    )
    seconds = {
        int(lane): group.train_seconds / len(group.index)
        for group in trained.result.groups
        for lane in group.index
    }
    lanes: dict[int, Lane] = {}

    def describe(model: experiment.Model) -> dict[str, Any]:
        columns, likelihood = side.likelihoods(model, test)
        lanes[first + model.row["lane"]] = Lane(model, np.asarray(likelihood))
        error = losses.squared_error(model.reconstruct(test), test["image"])
        return {
            "validation": float(jnp.mean(side.likelihoods(model, validation)[1])),
            **columns,
            "squared_error": float(jnp.mean(error)),
            **probed(model.encode, train, test),
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(model.state.params)),
            "seconds": seconds[model.row["lane"]],
        }

    found = experiment.described(trained, describe, side.best)
    columns = dict.fromkeys(("lane", *BY, "seed"))
    rows = [{**columns, "model": kind, **row, "lane": first + row["lane"]} for row in found]
    return trained.out, rows, lanes


def check(config: Config, splits: experiment.Splits, sides: Mapping[str, Side]) -> None:
    """Raises InputError, before anything is trained, for values that cannot be used."""
    experiment.at_least(config, 1, "latent_size", "rbm_steps", "chains", "test_images")
    experiment.at_least(config, 1, "annealing_chains", "annealing_temperatures")
    counts = config.importance_samples
    if not counts or min(counts) < 2 or list(counts) != sorted(set(counts)):
        raise InputError(f"importance_samples is {counts}: use ascending numbers above 1")
    smaller = min(max(config.latent_size, default=0), int(np.prod(splits.image_shape)))
    if config.estimator == "exact" and smaller > 20:
        raise InputError("estimator exact needs at most 20 latents or pixels: use pcd-1")
    experiment.at_least(config, 100, "labels")  # so that no class is missing
    for side in sides.values():
        experiment.grid(config, side.values)
        for size in config.latent_size:
            side.build(size)


def machine(config: Config, splits: experiment.Splits) -> Side:
    """Returns the restricted Boltzmann machine."""
    train = experiment.vectors(experiment.first_batch(splits.train, 10_000))

    def build(latent_size: int) -> Method:
        return methods.rbm(
            latent_size,
            estimator=boltzmann.estimator(config.estimator, config.chains),
            stochastic_binarization=False,  # the splits are
            sample_steps=config.sample_steps,
        )

    def likelihoods(model: experiment.Model, batch: Batch) -> tuple[dict[str, float], Array]:
        params, v = model.state.params, experiment.vectors(batch)
        found = boltzmann.assess(
            jax.random.key(model.row["seed"]),
            params,
            boltzmann.base_of(params, train),
            v,
            chains=config.annealing_chains,
            temperatures=config.annealing_temperatures,
        )
        columns = found._asdict()
        del columns["verdict"]
        free = boltzmann.free_energy(params, v)
        level = found.reverse_ais if np.isnan(found.exact) else columns["exact"]
        if np.isnan(found.exact):
            del columns["exact"]
        return columns, level + jnp.mean(free) - free

    values = {
        "latent_size": config.latent_size,
        "learning_rate": config.rbm_learning_rate,
        "weight_decay": config.weight_decay,
    }
    schedules = [training.warmup_cosine(config.rbm_steps)]
    return Side(build, values, {"steps": config.rbm_steps, "schedules": schedules}, likelihoods)


def autoencoder(config: Config, splits: experiment.Splits) -> Side:
    """Returns the variational autoencoder."""

    def build(latent_size: int, samples: int = 1) -> Method:
        return methods.vae(
            nets.mlp(2 * latent_size, config.widths),
            nets.mlp(splits.image_shape, config.widths[::-1]),
            latent_size,
            importance_samples=samples,
        )

    @functools.cache
    def bounds(latent_size: int) -> Callable[..., dict[str, Array]]:
        def bound(samples: int, key: Array, *arguments: Any) -> Array:
            one = build(latent_size, samples).views.log_likelihood
            keys = jax.random.split(jax.random.fold_in(key, samples), -(-SAMPLES // samples))
            return jnp.mean(jax.lax.map(lambda key: one(key, *arguments), keys), axis=0)

        return jax.jit(
            lambda *arguments: {
                bound_of(samples): bound(samples, *arguments)
                for samples in (1, *config.importance_samples)
            }
        )

    def likelihoods(model: experiment.Model, batch: Batch) -> tuple[dict[str, float], Array]:
        key = jax.random.key(model.row["seed"])
        found = bounds(model.row["latent_size"])(key, model.state, batch, model.hparams)
        means = {name: float(jnp.mean(value)) for name, value in found.items()}
        return means, found[bound_of(config.importance_samples[-1])]

    schedules = [training.warmup_cosine(config.steps, config.steps / 20)]
    options = {"schedules": schedules, "select": "best"}
    return Side(build, {"latent_size": config.latent_size}, options, likelihoods, best=True)


def bound_of(samples: int) -> str:
    """Returns the column of the bound of so many importance samples."""
    return f"iwae_{samples}" if samples > 1 else "elbo"


def probed(encode: Callable[[Batch], Array], train: Batch, test: Batch) -> dict[str, float]:
    """Returns a linear probe's accuracy (%), or nothing where labels do not tell images apart."""
    if "label" not in train or len(np.unique(train["label"])) < 2:
        return {}
    accuracy = metrics.linear_probe(encode(train), train["label"], encode(test), test["label"])
    return {"linear_probe": 100 * accuracy}


def compared(rows: Sequence[Mapping[str, Any]], lanes: Mapping[int, Lane]) -> list[str]:
    """Says for each size how far the estimates of the first seed go, and which model is likelier.

    Differences are of the same images: what is hard for both does not count.
    """
    said = []
    for size in sorted({row["latent_size"] for row in rows}):
        own = [row for row in rows if row["latent_size"] == size]
        machine = next((row for row in own if row["model"] == "RBM"), None)
        if machine is not None:
            said.append(
                f"RBM of {size} units, seed {machine['seed']}: AIS {machine['ais']:.2f} (95% "
                f"interval of log Z: {machine['ais_low']:.2f} to {machine['ais_high']:.2f}), "
                f"reverse AIS {machine['reverse_ais']:.2f} ± {machine['reverse_ais_error']:.2f} "
                "(standard error over images)"
                + (f"; exactly {machine['exact']:.2f}." if "exact" in machine else ".")
            )
        means = [
            np.mean([lanes[row["lane"]].likelihood for row in own if row["model"] == kind], axis=0)
            for kind in {row["model"]: None for row in own}
        ]
        if len(means) == 2:
            gain = means[0] - means[1]
            said.append(
                f"{size} latents: RBM less VAE {np.mean(gain):+.2f} ± "
                f"{np.std(gain) / np.sqrt(len(gain)):.2f} nats (standard error over images), both "
                "by what is exact or too low on average."
            )
    return said


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    lanes: Mapping[int, Lane],
    splits: experiment.Splits,
    pixels: Mapping[str, float],
) -> dict[str, Any]:
    """Draws likelihoods, the bound, reconstructions, samples and the probe of chosen settings."""
    if not rows:
        return {}
    drawn = {
        "Log-likelihood of test images: the machine's lies between reverse AIS and AIS, on "
        "average, the VAE's above its bounds.": likelihoods(config, rows)
    }
    bounds = [
        {**row, "samples": count, "bound": row[bound_of(count)] - row["elbo"]}
        for row in rows
        if row["model"] == "VAE"
        for count in (1, *config.importance_samples)
    ]
    if bounds:
        drawn["The VAE's bound rises from the ELBO with its importance samples."] = plots.lines(
            plots.mean_curves(bounds, "samples", "bound", lambda row: row["latent_size"]),
            "importance samples",
            "bound less the ELBO (nats)",
            name="latents",
            log_x=True,
        )
    shown: dict[str, experiment.Model] = {}
    for row in sorted(rows, key=lambda row: (row["latent_size"], row["model"])):
        if row["lane"] in lanes:
            shown.setdefault(f"{row['model']} {row['latent_size']}", lanes[row["lane"]].model)
    test = experiment.first_batch(splits.test, 16)
    drawn["Test images and what is left of them: pixels' means given the latents' means."] = (
        plots.reconstructions(
            test["image"],
            {name: model.reconstruct(test) for name, model in shown.items()},
            first="test",
        )
    )
    drawn[
        "Samples beside test images: pixels' means given hidden units after "
        f"{config.sample_steps} steps of Gibbs sampling (RBM), or given latents from the prior."
    ] = plots.reconstructions(
        test["image"],
        {
            name: model.method.views.sample(
                jax.random.key(0), model.state, len(test["image"]), model.hparams
            )
            for name, model in shown.items()
        },
        first="test",
    )
    if pixels:
        accuracy = plots.mean_curves(rows, "latent_size", "linear_probe", lambda row: row["model"])
        sizes = sorted({row["latent_size"] for row in rows})
        accuracy["pixels"] = (sizes, [pixels["linear_probe"]] * len(sizes), None)
        drawn["Accuracy of a linear probe on test images' latents, beside their pixels."] = (
            plots.lines(accuracy, "latents", "classified correctly (%)", log_x=True)
        )
    return drawn


def likelihoods(config: Config, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draws the estimates of both models by latent size."""
    last = config.importance_samples[-1]
    words = {
        "ais": "RBM, AIS",
        "exact": "RBM, exact",
        "reverse_ais": "RBM, reverse AIS",
        bound_of(last): f"VAE, {last} samples",
        "elbo": "VAE, ELBO",
    }
    found = plots.aggregate(
        rows, ["latent_size"], [name for name in words if any(name in row for row in rows)]
    )
    table = {
        f"{point['latent_size']} latents": {
            text: point[name] for name, text in words.items() if name in point
        }
        for point in found
    }
    return plots.dots(table, "log-likelihood (nats)")


if __name__ == "__main__":
    cli.main(rbm_vs_vae, PRESETS)
