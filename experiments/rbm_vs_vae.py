"""A restricted Boltzmann machine beside a variational autoencoder of as many latents.

    python experiments/rbm_vs_vae.py

With few latents the VAE gives binarised test digits more nats than the machine, even by its bound;
with 64 the two are about equal. A linear probe is right more often about the VAE's few latents, and
about the machine's many hidden units. Both were tuned (docs/measurements/boltzmann.md).

Reference: Burda, Grosse and Salakhutdinov (2015), Accurate and Conservative Estimates of MRF
Log-likelihood using Reverse Annealing; and (2016), Importance Weighted Autoencoders.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, losses, methods, metrics, nets, plots, training
from ae_jax.core import Array, Batch, Method
from ae_jax.experiment import Count, Model, Swept
from ae_jax.methods import boltzmann


@dataclasses.dataclass(frozen=True)
class Config(experiment.MachineConfig):
    """Options that take several values are swept; of a model's settings validation chooses."""

    latent_size: Swept[Count] = (4, 16, 64)
    """Hidden units of the machine (up to 20 it is exact), latents of the VAE; each is compiled."""
    learning_rate: Swept[float] = (2e-3,)
    """Of the VAE, at first; both models' fall to 0 as a half cosine."""
    widths: tuple[Count, ...] = (256, 256)
    """Hidden layers of the VAE's encoder; its decoder's are the same, backwards."""
    steps: Count = 4000
    """Of the VAE, which keeps its best state by the validation ELBO."""
    rbm_learning_rate: Swept[float] = (0.5,)
    weight_decay: Swept[float] = (1e-4, 1e-3)
    """Of the machine."""
    estimator: str = "pcd-1"
    """Of the machine's gradient: exact, or cd-k, pcd-k, fpcd-k, pt-k of k steps."""
    rbm_steps: Count = 6000
    sample_steps: Count = 1000
    """Of Gibbs sampling before the machine's samples are shown."""
    importance_samples: Swept[Count] = (10, 100, 1000)
    """Of the VAE's bounds above the ELBO; the last is its likelihood."""
    labels: Count = 5000
    """How many training images the linear probe sees with their labels, at most."""
    seeds: Count = 2


PRESETS = {
    "default": Config(),
    "smoke": Config(
        latent_size=(4,),
        widths=(16,),
        steps=40,
        weight_decay=(1e-4,),
        rbm_steps=40,
        importance_samples=(5,),
        annealing_chains=10,
        annealing_temperatures=20,
        test_images=20,
        labels=200,
    ),
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
BY = ("model", "latent_size", "learning_rate", "weight_decay")


def rbm_vs_vae(config: Config) -> None:
    """Trains machines and VAEs on the same zeros and ones, and compares what they are good for."""
    splits = experiment.Splits(*map(data.binarized, experiment.load_splits(config)))
    phases = {model: phase(config, splits.train.spec, model) for model in ("RBM", "VAE")}
    for build_one, values, options in phases.values():
        experiment.check(build_one, experiment.lanes(config, values), options["schedules"])
    sweeps = []
    for model, (build_one, values, options) in phases.items():
        trained = experiment.sweep(config, "rbm_vs_vae", build_one, splits, values, **options)
        sweeps.append(({"model": model}, trained))
    train = data.vectors(data.head(splits.train, 10_000))
    seen = data.head(splits.train, config.labels)
    validation, test = (data.head(part, config.test_images) for part in splits[1:])
    models: dict[int, Model] = {}
    of_images: dict[int, np.ndarray] = {}

    def describe(model: Model) -> dict[str, Any]:
        columns, each = likelihoods(config, model, train, test)
        models[model.row["lane"]], of_images[model.row["lane"]] = model, np.asarray(each)
        error = losses.squared_error(model.reconstruct(test), test["image"])
        return {
            "validation": float(jnp.mean(likelihoods(config, model, train, validation)[1])),
            **columns,
            "squared_error": float(jnp.mean(error)),
            **metrics.probed(model.encode, seen, test),
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(model.state.params)),
        }

    rows = experiment.side_by_side(sweeps, describe, BY, best=True, timed=True)
    pixels = metrics.probed(lambda batch: batch["image"], seen, test)
    chosen = experiment.best_settings(rows, BY, ("model", "latent_size"), "validation")
    chosen.sort(key=lambda row: (row["latent_size"], row["model"]))
    gains = experiment.paired(chosen, of_images, "model", "latent_size")
    last = metrics.bound_name(config.importance_samples[-1])
    estimates = ("exact", "ais", "reverse_ais", "elbo", last)
    experiment.report(
        config,
        sweeps[0][1].out,
        f"Boltzmann machines and variational autoencoders on {config.dataset}",
        rows,
        BY,
        ("validation", *estimates, "squared_error", "linear_probe", "parameters", "seconds"),
        lambda: figures(config, chosen, models, test["image"][:16], estimates, pixels),
        [found.result for _, found in sweeps],
        [
            f"Nats per image, of {len(test['image'])} images. AIS is too high on average, reverse "
            "AIS, ELBO and IWAE too low. Settings are chosen by the validation likelihood.",
            *(f"Linear probe on pixels: {value:.1f}%." for value in pixels.values()),
            *(
                f"RBM of {row['latent_size']} units, seed {row['seed']}: {row['verdict']}."
                for row in chosen
                if row["model"] == "RBM"
            ),
            *(
                f"{size} latents: RBM less VAE {gain:+.2f} nats (± standard error over images)."
                for size, gain in gains.items()
            ),
        ],
    )


def build(config: Config, spec: Any, model: str, latent_size: int, samples: int = 1) -> Method:
    """Returns the machine or the VAE of a latent size."""
    if model == "RBM":
        return methods.rbm(
            latent_size,
            estimator=boltzmann.estimator(config.estimator, config.chains),
            stochastic_binarization=False,  # the splits are
            sample_steps=config.sample_steps,
        )
    return methods.vae(
        nets.mlp(2 * latent_size, config.widths),
        nets.mlp(spec["image"].shape, config.widths[::-1]),
        latent_size,
        importance_samples=samples,
    )


def phase(config: Config, spec: Any, model: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Returns how one of the two is built, what of it is swept, and how it is trained."""
    rbm, values = model == "RBM", {"latent_size": config.latent_size}
    if rbm:
        values |= {"learning_rate": config.rbm_learning_rate, "weight_decay": config.weight_decay}
    steps = config.rbm_steps if rbm else config.steps
    return (
        functools.partial(build, config, spec, model),
        values,
        {
            "part": model.lower(),
            "steps": steps,
            "schedules": [training.warmup_cosine(steps, 0 if rbm else steps / 20)],
            "select": "last" if rbm else "best",
        },
    )


def likelihoods(config: Config, model: Model, train: Array, batch: Batch) -> tuple[dict, Array]:
    """Returns a lane's mean log-likelihoods by name, and that of each image that is compared."""
    if model.row["model"] == "RBM":
        v, params = data.vectors(batch), model.state.params
        found = experiment.assessed(config, model, train, v)
        return boltzmann.columns(found), boltzmann.example_log_likelihoods(params, v, found)
    key = jax.random.key(model.row["seed"])
    found = bounds(config, model.row["latent_size"], key, model.state, batch, model.hparams)
    return {name: float(jnp.mean(each)) for name, each in found.items()}, found[
        metrics.bound_name(config.importance_samples[-1])
    ]


@functools.partial(jax.jit, static_argnums=(0, 1))
def bounds(config: Config, latent_size: int, key: Array, state: Any, batch: Batch, hparams: Any):
    """Returns the VAE's bounds by name, of each image."""

    def bound(samples: int, key: Array) -> Array:
        vae = build(config, {"image": batch["image"][0]}, "VAE", latent_size, samples)
        return vae.views.log_likelihood(key, state, batch, hparams)

    return metrics.importance_bounds(bound, key, (1, *config.importance_samples))


def figures(
    config: Config, rows: Sequence, models: Mapping, test: Array, names: Sequence, pixels: Mapping
) -> dict[str, Any]:
    """Draws likelihoods, the bound, reconstructions, samples and the probe of chosen settings."""
    counts = {metrics.bound_name(count): count for count in (1, *config.importance_samples)}
    bounds = plots.unpivoted(rows, counts, "samples", "bound")
    firsts = {
        f"{row['model']} {row['latent_size']}": models[row["lane"]]
        for row in reversed(rows)
        if row["lane"] in models
    }
    again = {name: model.reconstruct({"image": test}) for name, model in reversed(firsts.items())}
    drawn = {name: model.sample(jax.random.key(0), 16) for name, model in reversed(firsts.items())}
    table = plots.mean_table(rows, lambda row: f"{row['latent_size']} latents", names)
    curves = plots.mean_curves(bounds, "samples", "bound", lambda row: row["latent_size"])
    found = {
        "Log-likelihood of test images: the machine's lies between reverse AIS and AIS, on "
        "average, the VAE's above its bounds.": plots.dots(table, "log-likelihood (nats)"),
        "The VAE's bound rises from the ELBO with its importance samples.": plots.lines(
            curves, "importance samples", "bound on log p (nats)", name="latents", log_x=True
        ),
        "Test images and what is left of them: pixels' means given the latents' means.": (
            plots.reconstructions(test, again, first="test")
        ),
        "Samples beside test images: pixels' means given hidden units after "
        f"{config.sample_steps} steps of Gibbs sampling (RBM), or given latents from the prior.": (
            plots.reconstructions(test, drawn, first="test")
        ),
    }
    for level in pixels.values():
        accuracy = plots.mean_curves(rows, "latent_size", "linear_probe", lambda row: row["model"])
        found["Accuracy of a linear probe on latents of test images; dashed: on pixels."] = (
            plots.lines(accuracy, "latents", "classified correctly (%)", log_x=True, level=level)
        )
    return found


if __name__ == "__main__":
    cli.main(rbm_vs_vae, PRESETS)
