"""Sampling a density that is known: inverse transform, rejection, noise pushed through a map.

    python experiments/sampling.py

Samplers fail the test of Kolmogorov and Smirnov as rarely as they should, and rejection accepts the
share that the area under its envelope says. What ends it is the dimension: a Gaussian proposal that
is only a little wider than its target is accepted exponentially rarely, which is why generators are
learned. Nothing is trained.

Reference: Von Neumann (1951), Various techniques used in connection with random digits; Devroye
(1986), Non-Uniform Random Variate Generation, chapter II.
"""

import dataclasses
import types
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

SHOWN = 1500  # proposals in a figure


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
    """Draws numbers by (key, count) -> [count]; their law, as SciPy has it; its density at x."""

    draw: Callable[[Array, int], Array]
    law: Any
    x: np.ndarray
    density: Array


def inverse(quantile: Callable[[Array], Array], law: Any, low: float, high: float) -> Sampler:
    """Returns the sampler by inverse transform, shown from low to high."""
    discrete = hasattr(law, "pmf")
    x = np.arange(low, high + 1) if discrete else np.linspace(low, high, 400)
    density = law.pmf(x) if discrete else law.pdf(x)

    def draw(key: Array, count: int) -> Array:
        return samplers.inverse_transform(key, quantile, (count,))

    return Sampler(draw, law, x, density)


def pushed(transform: Callable[[Array], Array], law: Any) -> Sampler:
    """Returns the sampler that maps normal noise, with the density that pushing it says."""
    x, z = np.linspace(0.02, 5, 400), np.linspace(-8, 8, 20_001)
    density = samplers.pushed_density(transform, z, stats.norm.pdf(z), x)

    def draw(key: Array, count: int) -> Array:
        return transform(jax.random.normal(key, (count,)))

    return Sampler(draw, law, x, density)


def all_samplers() -> dict[str, Sampler]:
    """Returns the samplers by inverse transform, and of pushed noise."""
    low, high = stats.norm(-2, 0.5), stats.norm(1)
    mixture = types.SimpleNamespace(
        cdf=lambda x: low.cdf(x) / 3 + 2 * high.cdf(x) / 3,
        pdf=lambda x: low.pdf(x) / 3 + 2 * high.pdf(x) / 3,
    )
    grid, die = np.linspace(-6, 6, 2001), np.arange(1, 6) / 15
    table = samplers.grid_distribution(grid, mixture.pdf(grid))
    loaded = stats.rv_discrete(values=(range(5), die))
    return {
        "exponential": inverse(lambda u: -jnp.log1p(-u), stats.expon, 0, 6),
        "normal": inverse(ndtri, stats.norm, -4, 4),
        "Cauchy": inverse(lambda u: jnp.tan(np.pi * (u - 0.5)), stats.cauchy, -8, 8),
        "loaded die": inverse(samplers.discrete_quantile(die), loaded, 0, 4),
        "mixture in a table": inverse(samplers.grid_quantile(grid, table), mixture, -5, 5),
        "exp(z / 2) of noise": pushed(lambda z: jnp.exp(z / 2), stats.lognorm(0.5)),
        "z² of noise": pushed(jnp.square, stats.chi2(1)),
    }


HALF_NORMAL = samplers.Envelope(
    lambda x: 0.5 * np.log(2 / np.pi) - x**2 / 2,
    lambda x: -x,
    lambda key, count: -jnp.log(samplers.uniform(key, (count,))),
    0.5 * np.log(2 * np.e / np.pi),
)
BETA = samplers.Envelope(
    lambda x: jnp.log(6 * x * (1 - x)),
    jnp.zeros_like,
    lambda key, count: samplers.uniform(key, (count,)),
    np.log(1.5),
)
DISC = samplers.Envelope(
    lambda x: jnp.where(jnp.sum(x**2, axis=1) < 1, 0.0, -jnp.inf),
    lambda x: jnp.full(len(x), -np.log(4)),
    lambda key, count: 2 * samplers.uniform(key, (count, 2)) - 1,
    np.log(4),
)
#: With the share that is accepted, and the law of what is accepted, or of its first number.
REJECTIONS = {
    "half-normal by exponential": (HALF_NORMAL, np.sqrt(np.pi / (2 * np.e)), stats.halfnorm),
    "beta by uniform": (BETA, 2 / 3, stats.beta(2, 2)),
    "disc by square": (DISC, np.pi / 4, stats.semicircular),
}


def sampling(config: Config) -> None:
    """Draws from all samplers, and compares with what they are of."""
    with experiment.claimed(config, "sampling") as out:
        known, keys = all_samplers(), jax.vmap(jax.random.key)(np.arange(config.seeds))

        def drawn(number: int, draw: Callable[[Array, int], Any]) -> Any:
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
            program = jax.jit(jax.vmap(lambda key: draw(key, config.samples)))
            return jax.tree.map(np.asarray, program(own))

        points = {name: drawn(i, each.draw) for i, (name, each) in enumerate(known.items())}
        tried = {
            name: drawn(i, lambda key, n, each=each: samplers.propose(key, each, n))
            for i, (name, (each, _, _)) in enumerate(REJECTIONS.items(), len(known))
        }
        rates = falling(config, keys)
        rows = compared(known, points, tried)
        experiment.report(
            config,
            out,
            "Sampling densities that are known",
            rows,
            ("sampler", "expected"),
            ("ks", "acceptance", "standard_errors"),
            lambda: figures(config, known, points, tried, rates),
            notes=notes(config, rows, rates),
        )


def falling(config: Config, keys: Array) -> np.ndarray:
    """Returns the share of wider Gaussian proposals accepted, [widths, dimensions, seeds]."""
    places = np.arange(float(config.dimensions))

    @jax.jit
    def rates(width: Array, dimension: Array) -> Array:
        def exponent(x: Array) -> Array:  # of the first dimensions alone
            return -0.5 * jnp.sum(jnp.where(places < dimension, x**2, 0), axis=1)

        envelope = samplers.Envelope(
            exponent,
            lambda x: exponent(x / width) - dimension * jnp.log(width),
            lambda key, count: width * jax.random.normal(key, (count, config.dimensions)),
            dimension * jnp.log(width),
        )
        n = config.samples
        return jax.lax.map(lambda key: samplers.propose(key, envelope, n).acceptance, keys)

    return np.asarray([[rates(w, d + 1.0) for d in places] for w in config.width])


def compared(known: Mapping[str, Sampler], points: Any, tried: Any) -> list[dict[str, Any]]:
    """Returns a row for each sampler and seed, of how it fits what it is of."""
    rows, fit = [], metrics.kolmogorov_smirnov
    for name, found in points.items():
        law = known[name].law
        below = (lambda x, law=law: law.cdf(x - 1)) if hasattr(law, "pmf") else None
        rows += [{"sampler": name, "ks": fit(x, law.cdf, below)} for x in found]
    for name, found in tried.items():
        samplers.checked(found)
        _, rate, law = REJECTIONS[name]
        error = np.sqrt(rate * (1 - rate) / found.x.shape[1])
        for x, accepted in zip(found.x, found.accepted, strict=True):
            first = x.reshape(len(x), -1)[accepted, 0]
            ks = fit(first, law.cdf) if len(first) else np.nan
            row = {"sampler": name, "expected": rate, "ks": ks, "acceptance": accepted.mean()}
            rows.append({**row, "standard_errors": (accepted.mean() - rate) / error})
    about = ({"lane": i, "seed": i % len(found.x), "status": "ok"} for i in range(len(rows)))
    return [{**own, **row} for own, row in zip(about, rows, strict=True)]


def notes(config: Config, rows: Sequence[Mapping[str, Any]], rates: np.ndarray) -> list[str]:
    """Says what numbers are to be compared with."""
    above = sum(row["ks"] > metrics.KS_1_PERCENT for row in rows)
    said = [
        f"ks is above {metrics.KS_1_PERCENT}, as 1 in 100 is, in {above} of {len(rows)} samples; "
        "standard_errors says how far acceptance is from what is expected: 0 ± 1 if all is right. "
        "Last, the share of Gaussian proposals that is accepted, by the number of dimensions:"
    ]
    for width, found in zip(config.width, rates.mean(axis=2), strict=True):
        listed = (f"{found[d - 1]:.4f} ({width**-d:.4f}) in {d}" for d in (1, len(found)))
        said.append(f"{width:g} times wider, expected in brackets: {' and '.join(listed)}.")
    return said


def figures(
    config: Config, known: Mapping[str, Sampler], points: Any, tried: Any, rates: np.ndarray
) -> dict[str, Any]:
    """Draws samples with their densities, envelopes, and acceptance against dimension."""
    panels = {name: (points[name], each.x, each.density) for name, each in known.items()}
    first = {n: (each.x[0][:SHOWN], each.accepted[0][:SHOWN]) for n, each in tried.items()}
    x, inside = first.pop("disc by square")
    below = {name: (REJECTIONS[name][0], *each) for name, each in first.items()}
    curves, formulas, dimension = {}, {}, np.arange(1.0, config.dimensions + 1)
    for width, found in zip(config.width, rates, strict=True):
        formulas[f"{width:g}^-d"] = dimension, width**-dimension
        if len(seen := np.flatnonzero(found.mean(axis=1))):
            own = (part[seen] for part in (dimension, found.mean(axis=1), found.std(axis=1)))
            curves[f"{width:g} times wider"] = tuple(own)
    return {
        "All samples and the densities that they are of.": plots.densities(panels),
        "Rejection: what is proposed under the envelope is accepted under the density.": (
            plots.envelopes(below)
        ),
        "A disc from a square: what is accepted is uniform, and its share is the area's.": (
            plots.clouds({"": {"proposed": x, "accepted": x[inside]}})
        ),
        "The share of Gaussian proposals that is accepted falls exponentially with the dimension; "
        "widths in units of the target's.": plots.lines(
            curves, "dimension d", "accepted share", log_y=True, formulas=formulas
        ),
    }


if __name__ == "__main__":
    cli.main(sampling, PRESETS, description=__doc__)
