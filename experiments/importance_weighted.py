"""Tighter bounds from more draws of the posterior, and what they do to the encoder's gradient.

    python experiments/importance_weighted.py

With more draws, K, test digits have a higher bound and likelihood, and no latent unit is idle. The
decoder's gradient gains signal over noise; the encoder's plain gradient has less of it than the
doubly reparametrised one. IWAE of one draw is the VAE, DReG of one draw is STL. Every objective and
K is a compilation of its own, since shapes depend on K.

Reference: Burda, Grosse and Salakhutdinov (2016), Importance Weighted Autoencoders; Rainforth et
al. (2018), Tighter Variational Bounds are Not Necessarily Better; Roeder, Wu and Duvenaud (2017),
Sticking the Landing; Tucker et al. (2019), Doubly Reparameterized Gradient Estimators.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp

from ae_jax import cli, data, experiment, losses, methods, metrics, nets, plots, training
from ae_jax.core import Array, Batch, Domain, HParams, Method, Network
from ae_jax.experiment import Count, Model, Swept
from ae_jax.methods.learners.objective import mean_loss
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective

BOUNDS = {
    "elbo": lambda samples: methods.bounds.elbo(samples=samples),
    "stl": methods.bounds.sticking_the_landing,
    "iwae": methods.bounds.iwae,
    "dreg": methods.bounds.doubly_reparametrised,
}
#: A single draw makes the VAE of IWAE, and sticking the landing of DReG.
NAMES = {"elbo": "VAE", "stl": "STL", "iwae": "IWAE (1: VAE)", "dreg": "DReG (1: STL)"}


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept; each bound and K is compiled on its own."""

    objective: Swept[Literal["elbo", "stl", "iwae", "dreg"]] = ("iwae", "dreg")
    """The mean of K ELBOs by its plain gradient or sticking the landing, or the importance-weighted
    bound of K draws by its plain or its doubly reparametrised gradient."""
    samples: Swept[Count] = (1, 5, 50)
    """K, the draws of the posterior for an image."""
    latent_size: Count = 20
    widths: tuple[Count, ...] = (64, 64)
    """Hidden layers of the encoder; the decoder's are the same, backwards."""
    likelihood_samples: Count = 1000
    """Importance samples of the test log-likelihood, K at least."""
    gradients: Annotated[int, Domain(2, whole=True)] = 500
    """Draws of the gradient that its signal-to-noise ratio is measured by."""
    test_images: Count = 500
    seeds: Count = 4
    steps: Count = 3000
    batch_size: Count = 32


PRESETS = {
    "default": Config(),
    "smoke": Config(
        objective=("iwae", "dreg"),
        samples=(1, 2),
        latent_size=2,
        widths=(16,),
        likelihood_samples=10,
        gradients=10,
        test_images=20,
        seeds=2,
        steps=40,
    ),
    # Burda, Grosse and Salakhutdinov (2016), section 5: 3,280 passes over MNIST in batches of 20.
    "paper": Config(
        dataset="mnist",
        objective=("elbo", "iwae"),
        samples=(1, 5, 50),
        latent_size=50,
        widths=(200, 200),
        likelihood_samples=5000,
        test_images=10_000,
        seeds=1,
        steps=9_840_000,
        batch_size=20,
    ),
}


def build(config: Config, spec: Mapping[str, Any], objective: str, samples: int) -> Method:
    """Returns the VAE that raises one bound of images that are drawn anew at every step."""
    method = methods.vae(*parts(config, spec), bound=BOUNDS[objective](samples))
    return methods.prepared(method, methods.binarized)


def parts(config: Config, spec: Mapping[str, Any]) -> tuple[Network, Network, int]:
    """Returns encoder, decoder and latent size."""
    return (
        nets.mlp(2 * config.latent_size, config.widths, "tanh"),
        nets.mlp(spec["image"].shape, config.widths[::-1], "tanh"),
        config.latent_size,
    )


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    return {
        "schedules": [training.warmup_cosine(config.steps, config.steps / 20)],
        "summarize": metrics.latent_summary,
        "everywhere": True,  # the first lane of a seed is where all its gradients are measured
    }


def describe(model: Model, outcome: experiment.Outcome) -> dict[str, float]:
    """Returns a lane's bound, its log-likelihood, and how much of its gradients is signal."""
    config, row = outcome.config, model.row
    drawing, weighing, descending = jax.random.split(jax.random.key(0), 3)
    test = methods.binarized(drawing, data.head(outcome.splits.test, config.test_images))
    weights = log_weights(config, weighing, model.state, test, model.hparams)
    found = metrics.importance_log_likelihood(weights)
    first = next(other for other in outcome.rows if other["seed"] == row["seed"])
    state = experiment.model(outcome.result, first["lane"]).state
    seen = methods.binarized(drawing, data.head(outcome.splits.train, config.batch_size))
    ratios = signal_to_noise(
        config, row["objective"], row["samples"], descending, state.params, seen, model.hparams
    )
    return {
        "bound": raised(row["objective"], row["samples"], weights),
        "log_likelihood": float(jnp.mean(found.log_likelihood)),
        # of a mean of given images
        "standard_error": float(jnp.linalg.norm(found.error)) / len(found.error),
        **{f"{part}_snr": float(ratio) for part, ratio in ratios.items()},
    }


def raised(objective: str, samples: int, weights: Array) -> float:
    """Returns the mean over images of what an objective raises, of log-weights [draws, N]."""
    if objective in ("elbo", "stl"):
        return float(jnp.mean(weights))
    whole = weights[: len(weights) // samples * samples]
    of_draws = whole.reshape(-1, samples, weights.shape[1])
    return float(jnp.mean(jax.vmap(losses.iwae_bound)(of_draws)))


@functools.partial(jax.jit, static_argnums=0)
def log_weights(config: Config, key: Array, state: Any, batch: Batch, hparams: HParams) -> Array:
    """Returns log p(x, z) - log q(z | x) of draws of the posterior, [draws, B]."""
    vae = methods.vae(*parts(config, {"image": batch["image"][0]}), importance_samples=1)
    keys = jax.random.split(key, max(config.likelihood_samples, *config.samples))
    return jax.lax.map(lambda key: vae.views.log_likelihood(key, state, batch, hparams), keys)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def signal_to_noise(
    config: Config,
    objective: str,
    samples: int,
    key: Array,
    params: Mapping[str, Any],
    batch: Batch,
    hparams: HParams,
) -> Mapping[str, Array]:
    """Returns the encoder's and the decoder's ratio, for one batch and what draws change of it."""
    spec = {"image": batch["image"][0]}
    found = vae_objective(latent_model(*parts(config, spec)), bound=BOUNDS[objective](samples))

    def gradient(key: Array) -> Mapping[str, Any]:
        lowered = mean_loss(found.terms, key, batch, hparams, {})
        return jax.grad(lowered, has_aux=True)(params)[0]

    return metrics.signal_to_noise(gradient, key, config.gradients)


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws what comes of more draws: likelihoods, bounds, signals, active units, samples."""

    def over_draws(column: str, words: str, **options: Any) -> Any:
        curves = plots.mean_curves(
            outcome.rows, "samples", column, lambda row: NAMES[row["objective"]]
        )
        return plots.lines(curves, "draws K", words, log_x=True, **options)

    drawn = {
        "Log-likelihood of test images, by importance sampling.": over_draws(
            "log_likelihood", "log-likelihood (nats)"
        ),
        "What each objective raises, for test images: the mean of K ELBOs, or the bound of K.": (
            over_draws("bound", "bound (nats)")
        ),
        "Signal-to-noise of the encoder's gradient for one batch, at the VAE's parameters.": (
            over_draws("encoder_snr", "signal-to-noise, encoder", log_y=True)
        ),
        "Signal-to-noise of the decoder's gradient for one batch, at the VAE's parameters.": (
            over_draws("decoder_snr", "signal-to-noise, decoder", log_y=True)
        ),
        "Latent units whose posterior mean varies with the image.": over_draws(
            "active_units", "active units"
        ),
    }
    most = experiment.where(outcome.rows, samples=max(outcome.config.samples))
    models = experiment.firsts(outcome.result, lambda row: (row["objective"], row["samples"]))
    drawn["Test images, and samples of each model with the most draws."] = plots.reconstructions(
        data.head(outcome.splits.test, 16)["image"],
        {
            NAMES[row["objective"]]: models[row["objective"], row["samples"]].sample(
                jax.random.key(0), 16
            )
            for row in most
            if (row["objective"], row["samples"]) in models
        },
        first="test",
    )
    return drawn


importance_weighted = experiment.Study(
    "importance_weighted",
    "Importance-weighted bounds",
    build,
    table=[
        "bound",
        "log_likelihood",
        "standard_error",
        "active_units",
        "encoder_snr",
        "decoder_snr",
    ],
    figures=figures,
    options=options,
    describe=describe,
)

if __name__ == "__main__":
    cli.main(importance_weighted, PRESETS, description=__doc__)
