"""Sampling a density that is known: inverse transform, rejection, noise pushed through a map.

    python experiments/sampling.py

All samplers pass the test of Kolmogorov and Smirnov, and rejection accepts the share that the area
under its envelope says. What ends it is the dimension: a Gaussian proposal that is only a little
wider than its target is accepted exponentially rarely, which is why generators are learned. Nothing
is trained.

Reference: Von Neumann (1951), Various techniques used in connection with random digits; Devroye
(1986), Non-Uniform Random Variate Generation, chapter II.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from scipy import stats

from ae_jax import cli, experiment, metrics, plots
from ae_jax.core import Array, Domain
from ae_jax.experiment import Count, Swept
from ae_jax.probability import sampling as samplers

#: Proposals, and points of a density, in a figure.
SHOWN, POINTS = 1500, 400


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Options that take several values are swept: their product is drawn at once."""

    samples: Count = 10_000
    """Of each sampler and seed; of rejection, proposals."""
    width: Swept[Annotated[float, Domain(1)]] = (1.1, 1.5)
    """Of a Gaussian proposal, in units of its Gaussian target's."""
    dimensions: Count = 20
    """The most that those have."""
    seeds: Count = 10
    """Draws each with seeds 0, 1, ..."""


PRESETS = {
    "default": Config(),
    "smoke": Config(samples=500, dimensions=3, seeds=2),
    "paper": Config(samples=1_000_000),
}


class Sampler(NamedTuple):
    """Draws numbers whose distribution is known.

    Attributes:
      way: in which it draws.
      draw: (key, count) -> x [count].
      law: of SciPy, or what has its `cdf`.
      x: [K], for figures, and the density there.
      density: [K].
    """

    way: str
    draw: Callable[[Array, int], Array]
    law: Any
    x: np.ndarray
    density: Array


class Rejected(NamedTuple):
    """Draws by rejection; a number of each example has a law that is known."""

    envelope: samplers.Envelope
    acceptance: float
    law: Any
    number: Callable[[np.ndarray], np.ndarray] = lambda x: x


class Mixture:
    """A third at -2, of deviation 1/2, and two thirds at 1, of deviation 1."""

    def cdf(self, x: Array) -> Array:
        """The distribution function."""
        return stats.norm.cdf(x, -2, 0.5) / 3 + 2 * stats.norm.cdf(x, 1) / 3

    def pdf(self, x: Array) -> Array:
        """The density."""
        return stats.norm.pdf(x, -2, 0.5) / 3 + 2 * stats.norm.pdf(x, 1) / 3


def inverse(quantile: Callable[[Array], Array], law: Any, low: float, high: float) -> Sampler:
    """Returns the sampler by inverse transform."""
    discrete = hasattr(law, "pmf")
    x = np.arange(low, high + 1) if discrete else np.linspace(low, high, POINTS)

    def draw(key: Array, count: int) -> Array:
        return samplers.inverse_transform(key, quantile, (count,))

    return Sampler("inverse transform", draw, law, x, law.pmf(x) if discrete else law.pdf(x))


def pushed(transform: Callable[[Array], Array], law: Any, low: float, high: float) -> Sampler:
    """Returns the sampler that maps normal noise, with the density that pushing it says."""
    x, z = np.linspace(low, high, POINTS), np.linspace(-8, 8, 20_001)

    def draw(key: Array, count: int) -> Array:
        return transform(jax.random.normal(key, (count,)))

    density = samplers.pushed_density(transform, z, stats.norm.pdf(z), x)
    return Sampler("pushed noise", draw, law, x, density)


def all_samplers() -> dict[str, Sampler]:
    """Returns the samplers by inverse transform, and of pushed noise."""
    die, grid = np.arange(1, 6) / 15, np.linspace(-6, 6, 2001)
    table = samplers.grid_distribution(grid, Mixture().pdf(grid))
    return {
        "exponential": inverse(lambda u: -jnp.log1p(-u), stats.expon, 0, 6),
        "normal": inverse(ndtri, stats.norm, -4, 4),
        "Cauchy": inverse(lambda u: jnp.tan(np.pi * (u - 0.5)), stats.cauchy, -8, 8),
        "loaded die": inverse(
            samplers.discrete_quantile(die), stats.rv_discrete(values=(range(5), die)), 0, 4
        ),
        "mixture, by a table": inverse(samplers.grid_quantile(grid, table), Mixture(), -5, 5),
        "exp(z / 2)": pushed(lambda z: jnp.exp(z / 2), stats.lognorm(0.5), 0.02, 5),
        "z²": pushed(jnp.square, stats.chi2(1), 0.02, 5),
    }


REJECTED = {
    "half-normal by exponential": Rejected(
        samplers.Envelope(
            lambda x: 0.5 * np.log(2 / np.pi) - x**2 / 2,
            lambda x: -x,
            lambda key, count: -jnp.log(samplers.uniform(key, (count,))),
            0.5 * np.log(2 * np.e / np.pi),
        ),
        np.sqrt(np.pi / (2 * np.e)),
        stats.halfnorm,
    ),
    "beta by uniform": Rejected(
        samplers.Envelope(
            lambda x: jnp.log(6 * x * (1 - x)),
            jnp.zeros_like,
            lambda key, count: samplers.uniform(key, (count,)),
            np.log(1.5),
        ),
        2 / 3,
        stats.beta(2, 2),
    ),
    "disc by square": Rejected(
        samplers.Envelope(
            lambda x: jnp.where(jnp.sum(x**2, axis=1) < 1, 0.0, -jnp.inf),
            lambda x: jnp.full(len(x), -np.log(4)),
            lambda key, count: 2 * samplers.uniform(key, (count, 2)) - 1,
            np.log(4),
        ),
        np.pi / 4,
        stats.uniform,
        lambda x: np.sum(x**2, axis=1),
    ),
}


def wider(width: Array, dimension: Array, most: int) -> samplers.Envelope:
    """Returns a Gaussian proposal around a standard one, in the first dimensions of `most`."""
    inside = jnp.arange(most) < dimension

    def exponent(x: Array) -> Array:
        return -0.5 * jnp.sum(jnp.where(inside[None], x**2, 0), axis=1)

    log_bound = dimension * jnp.log(width)
    return samplers.Envelope(
        exponent,
        lambda x: exponent(x / width) - log_bound,
        lambda key, count: width * jax.random.normal(key, (count, most)),
        log_bound,
    )


def sampling(config: Config) -> None:
    """Draws from all samplers, and compares with what they are of."""
    with experiment.claimed(config, "sampling") as out:
        keys = jax.vmap(jax.random.key)(np.arange(config.seeds))
        known, count = all_samplers(), config.samples

        def drawn(draw: Callable[[Array], Any]) -> Any:
            return jax.tree.map(np.asarray, jax.jit(jax.vmap(draw))(keys))

        points = {
            name: drawn(lambda key, each=each: each.draw(key, count))
            for name, each in known.items()
        }
        tried = {
            name: drawn(lambda key, each=each: samplers.propose(key, each.envelope, count))
            for name, each in REJECTED.items()
        }
        rates = falling(config, keys)
        rows = [*of_samples(known, points), *of_proposals(tried)]
        rows = [{"lane": lane, **row, "status": "ok"} for lane, row in enumerate(rows)]
        experiment.report(
            config,
            out,
            "Sampling densities that are known",
            rows,
            ("way", "sampler", "expected"),
            ("ks", "acceptance", "standard_errors"),
            lambda: figures(config, known, points, tried, rates),
            notes=notes(config, rows, rates),
        )


def falling(config: Config, keys: Array) -> Array:
    """Returns the share of Gaussian proposals accepted, [widths, dimensions, seeds]."""

    def rate(setting: tuple[Array, Array, Array]) -> Array:
        width, dimension, key = setting
        envelope = wider(width, dimension, config.dimensions)
        return samplers.propose(key, envelope, config.samples).acceptance

    axes = np.asarray(config.width), np.arange(1.0, config.dimensions + 1), np.arange(len(keys))
    widths, dimensions, seeds = (jnp.asarray(x.ravel()) for x in np.meshgrid(*axes, indexing="ij"))
    found = jax.jit(lambda *settings: jax.lax.map(rate, settings))(widths, dimensions, keys[seeds])
    return np.asarray(found).reshape(*map(len, axes))


def of_samples(known: Mapping[str, Sampler], points: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Returns a row for each sampler and seed."""
    return [
        {
            **{"way": known[name].way, "sampler": name, "expected": None, "seed": seed},
            "ks": metrics.kolmogorov_smirnov(x, known[name].law.cdf, below(known[name].law)),
        }
        for name, found in points.items()
        for seed, x in enumerate(found)
    ]


def below(law: Any) -> Callable[[Array], Array] | None:
    """Returns the distribution function's limit from below, where it jumps."""
    return (lambda x: law.cdf(x - 1)) if hasattr(law, "pmf") else None


def of_proposals(tried: Mapping[str, samplers.Proposed]) -> list[dict[str, Any]]:
    """Returns a row for each density that is drawn from by rejection, and each seed."""
    rows = []
    for name, found in tried.items():
        samplers.checked(found)
        known, count = REJECTED[name], found.x.shape[1]
        error = np.sqrt(known.acceptance * (1 - known.acceptance) / count)
        for seed, rate in enumerate(found.acceptance.astype(float)):
            x = known.number(found.x[seed][found.accepted[seed]])
            row = {"way": "rejection", "sampler": name, "expected": known.acceptance, "seed": seed}
            ks = metrics.kolmogorov_smirnov(x, known.law.cdf) if len(x) else np.nan
            off = (rate - known.acceptance) / error
            rows.append({**row, "ks": ks, "acceptance": rate, "standard_errors": off})
    return rows


def notes(config: Config, rows: Sequence[Mapping[str, Any]], rates: Array) -> list[str]:
    """Says what numbers are to be compared with."""
    above = sum(row["ks"] > metrics.KS_1_PERCENT for row in rows)
    said = [
        f"ks is above {metrics.KS_1_PERCENT}, as it is for 1 sample in 100, for {above} of "
        f"{len(rows)}; expected is the area under the density by that under the envelope, and "
        "standard_errors how many of them the acceptance is away from it: 0 ± 1 where all is right."
    ]
    shown = sorted({1, (config.dimensions + 1) // 2, config.dimensions})
    for width, found in zip(config.width, rates.mean(axis=2), strict=True):
        listed = (f"{found[d - 1]:.4f} ({width**-d:.4f}) in {d}" for d in shown)
        said.append(
            f"A proposal {width:g} times wider is accepted: {', '.join(listed)} dimensions."
        )
    return said


def figures(
    config: Config,
    known: Mapping[str, Sampler],
    points: Mapping[str, Array],
    tried: Mapping[str, samplers.Proposed],
    rates: Array,
) -> dict[str, Any]:
    """Draws samples with their densities, envelopes, and acceptance against dimension."""
    panels = {name: (points[name], each.x, each.density) for name, each in known.items()}
    disc = tried["disc by square"]
    inside = disc.accepted[0][:SHOWN]
    square = {"rejected": disc.x[0][:SHOWN][~inside], "accepted": disc.x[0][:SHOWN][inside]}
    curves = {}
    for width, found in zip(config.width, rates, strict=True):
        seen = found.mean(axis=1) > 0
        x, mean, spread = (
            part[seen]
            for part in (np.arange(len(found)) + 1.0, found.mean(axis=1), found.std(axis=1))
        )
        if len(x):
            curves[f"{width:g} times wider"] = x, mean, spread
            curves[f"{width:g}^-d"] = x, width**-x, None
    return {
        "All samples and the densities that they are of.": plots.densities(panels),
        "Rejection: points under the envelope are accepted where they lie under the density.": (
            plots.envelopes({name: under(name, tried[name]) for name in list(REJECTED)[:2]})
        ),
        "A disc from a square: what is inside is uniform, and its share is the area's.": (
            plots.clouds({"": square})
        ),
        "The share of Gaussian proposals that is accepted falls exponentially with the dimension; "
        "widths in units of the target's.": plots.lines(
            curves, "dimension d", "accepted share", log_y=True
        ),
    }


def under(name: str, found: samplers.Proposed) -> dict[str, Any]:
    """Returns what `plots.envelopes` draws of the proposals of a seed."""
    envelope, x = REJECTED[name].envelope, found.x[0][:SHOWN]
    return {
        "x": x,
        "accepted": found.accepted[0][:SHOWN],
        "density": lambda x: np.exp(envelope.target(x)),
        "envelope": lambda x: np.exp(envelope.proposal(x) + envelope.log_bound),
    }


if __name__ == "__main__":
    cli.main(sampling, PRESETS, description=__doc__)
