"""The total correlation as a batch estimates it, by four ways of weighing, beside its exact value.

    python experiments/total_correlation.py

As batches grow all come to the exact value, but for MWS, which is too large by (Z - 1) log N. The
symmetric weights hardly differ from MSS. Where posteriors are broad these two are the closest, in
value and in the direction of the mean gradient; where they are sharp and batches small they are
far too large, and MSS as it is widely copied is closer in value. That one comes close to MWS
without its constant. Posteriors are Gaussian with correlated means, and nothing is trained.

Reference: Chen et al. (2018), Isolating Sources of Disentanglement in VAEs.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, experiment, losses, plots
from ae_jax.core import BELOW_ONE, Array, Domain
from ae_jax.experiment import Count, Swept
from ae_jax.probability import gaussian

TWO = Domain(2, whole=True)
LEAST = 1e-3  # nats that are told from none in a figure
STEEP = 1e-4  # length of a gradient that has a direction
#: Columns with what is said of their figures.
SHOWN = {
    "estimate": ("Means of estimates", "total correlation (nats)"),
    "bias": (f"How far that is from exact, {LEAST:g} at least", "distance from exact (nats)"),
    "cosine": ("The direction of the mean gradient", "cosine to the exact gradient"),
}


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Options that take several values are swept: their product is estimated."""

    batch_size: Swept[Annotated[int, TWO]] = (8, 16, 32, 64, 128, 256)
    """Of batches without repeats; each is compiled on its own."""
    deviation: Swept[Annotated[float, Domain(1e-3, 1)]] = (0.5, 0.1, 1.0)
    """Of each posterior, where the aggregate one's is 1; with 1 all are the prior."""
    data_size: Annotated[int, TWO] = 512
    """N, the number of posteriors."""
    latent_size: Annotated[int, TWO] = 6
    """Z, the dimensions that they have."""
    correlation: Annotated[float, BELOW_ONE] = 0.5
    """Of the posterior means in any two dimensions."""
    passes: Count = 5
    """How often a seed goes through the data, each time in another order and with other draws."""
    seeds: Count = 4
    """Goes through them with seeds 0, 1, ..."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        batch_size=(4, 16), deviation=(0.5, 1.0), data_size=32, latent_size=2, passes=2, seeds=2
    ),
    "paper": Config(batch_size=(8, 32, 128, 512, 2048), data_size=4096, passes=100, seeds=10),
}


def copied_weights(batch_size: int, data_size: int) -> np.ndarray:
    """Returns the logarithms of wrong MSS weights [B, B], as one code has had them from another.

    What an example itself weighs, 1 / N, and the other that stands for the rest are where strides
    of B put them: in the first two columns, instead of on the diagonal and beside it.
    """
    others = batch_size - 1
    rest = (data_size - others) / (data_size * others)
    weights = np.full((batch_size, batch_size), 1 / others)
    weights[:, 0], weights[:, 1] = 1 / data_size, rest
    weights[others - 1, 0] = rest
    return np.log(weights)


#: The logarithms of weights [B, B], by B and N.
ESTIMATORS = {
    "symmetric": losses.aggregate_weights,
    "MSS": functools.partial(losses.aggregate_weights, weights="mss"),
    "MWS": functools.partial(losses.aggregate_weights, weights="mws"),
    "copied MSS (wrong)": copied_weights,
}


def total_correlation(config: Config) -> None:
    """Estimates the total correlation in every way, and compares with the exact one."""
    rows, count = [], config.data_size
    log_weights = {
        batch_size: np.stack([weigh(batch_size, count) for weigh in ESTIMATORS.values()])
        for batch_size in config.batch_size
    }
    with experiment.claimed(config, "total_correlation") as out:
        whole = losses.aggregate_weights(count, count)[None]
        for deviation in config.deviation:
            exact, slope = estimated(config, deviation, whole)
            slope = slope.mean(axis=(0, 1))
            for batch_size, weights in log_weights.items():
                found, slopes = estimated(config, deviation, weights)
                own = {"deviation": deviation, "batch_size": batch_size}
                rows += [
                    {"estimator": name, **own, "seed": seed, "status": "ok"}
                    | compared(exact[seed], slope, found[seed, :, index], slopes[seed, index])
                    for index, name in enumerate(ESTIMATORS)
                    for seed in range(config.seeds)
                ]
        experiment.report(
            config,
            out,
            "Estimates of the total correlation",
            [{"lane": lane, **row} for lane, row in enumerate(rows)],
            ("deviation", "batch_size", "estimator"),
            ("exact", "estimate", "bias", "batch_deviation", "cosine", "length"),
            lambda: figures(config, rows),
            notes=notes(config, rows),
        )


def encoder(config: Config, deviation: float) -> Array:
    """Returns a linear encoder [Z, Z + 1]: of independent factors, and the log-variances."""
    size = config.latent_size
    correlations = config.correlation + (1 - config.correlation) * np.eye(size)
    kernel = np.sqrt(1 - deviation**2) * np.linalg.cholesky(correlations)
    return jnp.asarray(np.column_stack([kernel, np.full(size, 2 * np.log(deviation))]), float)


def estimated(
    config: Config, deviation: float, log_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns estimates of batches [seeds, batches, W], by log-weights [W, B, B], and gradients.

    These are by the encoder, and means over a seed's batches, [seeds, W, Z, Z + 1].
    """
    factors = jax.random.normal(jax.random.key(0), (config.data_size, config.latent_size))
    keys = jax.random.split(jax.random.key(1), (config.seeds, config.passes))
    params, log_weights = encoder(config, deviation), jnp.asarray(log_weights, factors.dtype)
    found, slopes = map(np.asarray, gone_through(keys, factors, params, log_weights))
    return found.reshape(config.seeds, -1, len(log_weights)), slopes.mean(axis=1)


@jax.jit
def gone_through(
    keys: Array, factors: Array, params: Array, log_weights: Array
) -> tuple[Array, Array]:
    """Returns estimates [seeds, passes, batches, W] and mean gradients [seeds, passes, W, ...]."""
    each = jax.vmap(jax.value_and_grad(of_batch), (None, None, None, 0))
    batch_size = log_weights.shape[-1]
    count = len(factors) // batch_size  # what is left is left out

    def of_pass(key: Array) -> tuple[Array, Array]:
        ordering, drawing = jax.random.split(key)
        shuffled = jax.random.permutation(ordering, factors)
        noise = jax.random.normal(drawing, factors.shape, factors.dtype)
        batches = (
            x[: count * batch_size].reshape(count, batch_size, -1) for x in (shuffled, noise)
        )
        found, slopes = jax.vmap(lambda *batch: each(params, *batch, log_weights))(*batches)
        return found, slopes.mean(axis=0)

    return jax.lax.map(lambda own: jax.lax.map(of_pass, own), keys)


def of_batch(params: Array, factors: Array, noise: Array, log_weights: Array) -> Array:
    """Returns the estimate of one batch, by factors and noise [B, Z] and log-weights [B, B]."""
    mean = factors @ params[:, :-1].T
    log_var = jnp.broadcast_to(params[:, -1], mean.shape)

    def log_probs(z: Array) -> Array:
        return gaussian.log_probs(jnp.broadcast_to(z, mean.shape), mean, log_var)

    pairs = jax.vmap(log_probs)(mean + jnp.exp(log_var / 2) * noise)
    joint, product = losses.aggregate_log_prob(pairs.transpose(2, 0, 1), log_weights)
    return jnp.mean(joint - product)


def compared(
    exact: np.ndarray, slope: np.ndarray, found: np.ndarray, mean_slope: np.ndarray
) -> dict[str, float]:
    """Returns what is said of a seed's estimates [batches], and of their mean gradient."""
    bias, lengths = found.mean() - exact.mean(), [np.linalg.norm(x) for x in (slope, mean_slope)]
    row = {"exact": exact.mean(), "estimate": found.mean(), "bias": bias}
    row |= {"batch_deviation": found.std(), "cosine": np.nan, "length": np.nan}
    if min(lengths) > STEEP:
        row["cosine"] = np.sum(slope * mean_slope) / np.prod(lengths)
        row["length"] = lengths[1] / lengths[0]
    return {name: round(float(value), 5) + 0.0 for name, value in row.items()}


def constant(config: Config) -> float:
    """Returns what MWS adds whatever the posteriors are, (Z - 1) log N."""
    return (config.latent_size - 1) * float(np.log(config.data_size))


def notes(config: Config, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says what the columns are, and how certain the biases of the smallest batches are."""
    said = [
        "estimate is the mean over batches, bias what it is above the exact value at the same "
        "draws, in nats; batch_deviation is that of single batches; cosine is that between the "
        "mean gradient by the encoder and the exact one, length the ratio of their lengths.",
        f"MWS takes the batch for all data, and adds (Z - 1) log N = {constant(config):.2f} nats.",
    ]
    least = min(config.batch_size)
    for deviation in config.deviation:
        own = experiment.where(rows, deviation=deviation, batch_size=least)
        points = plots.aggregate(own, ["estimator"], ["exact", "bias"])
        biases = (f"{point['estimator']} {error(point['bias'])}" for point in points)
        said.append(
            f"posteriors of deviation {deviation:g}, on the mean "
            f"{config.latent_size * abs(np.log(deviation)):.1f} nats from the prior: exactly "
            f"{error(points[0]['exact'])}; bias ± standard error for batches of {least}: "
            f"{', '.join(biases)}"
        )
    return said


def error(found: plots.Estimate) -> str:
    """Returns a mean over seeds with its standard error."""
    return f"{found._replace(spread=found.spread / np.sqrt(found.count)):.3f}"


def figures(config: Config, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Draws estimates, biases and directions of gradients against the batch size."""
    drawn = {}
    for (column, (words, ylabel)), deviation in itertools.product(SHOWN.items(), config.deviation):
        own = experiment.where(rows, deviation=deviation)
        curves = plots.mean_curves(own, "batch_size", column, lambda row: row["estimator"])
        options = {"log_x": True, "heading": f"posteriors of deviation {deviation:g}"}
        if column == "estimate":
            options["level"] = np.mean([row["exact"] for row in own])
            options["heading"] += ", exact value dashed"
            x, mean, spread = curves["MWS"]
            curves["MWS"] = x, np.subtract(mean, constant(config)), spread
            curves = {{"MWS": "MWS less constant"}.get(k, k): curve for k, curve in curves.items()}
        if column == "bias":
            options["log_y"] = True
            curves = {k: (x, np.fmax(LEAST, np.abs(y)), more) for k, (x, y, more) in curves.items()}
        if np.isfinite([mean for _, mean, _ in curves.values()]).any():
            caption = f"{words}; {options['heading']}."
            drawn[caption] = plots.lines(curves, "batch size", ylabel, **options)
    return drawn


if __name__ == "__main__":
    cli.main(total_correlation, PRESETS, description=__doc__)
