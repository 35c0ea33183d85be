"""The smallest GAN, whose training is known in closed form: what converges, and what circles.

    python experiments/dirac_gan.py

The data are a point, the generator is a point and the discriminator a line through it. Without a
penalty simultaneous moves drive both away and alternating ones circle for ever; a penalty of the
discriminator's slope on the data (R1) has both converge. The non-saturating loss is a case of its
own: from afar it contracts slowly without any penalty, since its two players' slopes differ there,
and circles only near the equilibrium. All trajectories are those of the formulas, to rounding.

Reference: Mescheder, Geiger and Nowozin (2018), Which Training Methods for GANs do actually
Converge?
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit

from ae_jax import cli, experiment, methods, plots
from ae_jax.core import NOT_NEGATIVE, POSITIVE, Array, Domain, InputError, Method, Network
from ae_jax.experiment import Swept
from ae_jax.losses.adversarial import OBJECTIVES
from ae_jax.methods import regularisers

#: The objectives with their f'(0): how much a player's slope is of the other one's number, near 0.
LOSSES = {"minimax": 0.5, "non_saturating": 0.5, "wasserstein": 1.0}
Loss = Literal["minimax", "non_saturating", "wasserstein"]
Order = Literal["alternating", "simultaneous"]
NEAR = 1e-3  # of a start, where the moves are linear
SHOWN = 300  # steps of a path


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Options that take several values are swept: their product is followed."""

    objective: Swept[Loss] = ("minimax", "non_saturating", "wasserstein")
    """What the players lower; each is compiled on its own."""
    order: Swept[Order] = ("alternating", "simultaneous")
    """Whether the generator sees the discriminator's move of the same step; likewise."""
    gamma: Swept[Annotated[float, NOT_NEGATIVE]] = (0.0, 0.1, 0.5, 0.75, 1.0, 1.5, 2.0)
    """The weight of R1; all in one program."""
    learning_rate: Annotated[float, POSITIVE] = 0.1
    """Of both players, who take plain gradient steps."""
    start: Annotated[float, POSITIVE] = 1.0
    """Where both numbers begin."""
    steps: Annotated[int, Domain(2, whole=True)] = 1000


PRESETS = {
    "default": Config(),
    "smoke": Config(objective=("wasserstein",), gamma=(0.0, 0.5), steps=40),
    "paper": Config(steps=10_000),
}


def dirac_gan(config: Config) -> None:
    """Follows all trajectories, and compares them with what is known of them."""
    cases = [(objective, order) for order in config.order for objective in config.objective]
    found = {case: followed(config, *case) for case in cases}
    for case, lanes in found.items():
        if not np.abs(lanes).max() < 1e150:  # whose square is a number too
            said = "numbers pass 1e150: lower learning_rate, gamma, start or steps"
            raise InputError(f"{', '.join(case)}: {said}")
    with experiment.claimed(config, "dirac_gan") as out:
        rows = [
            row(config, *case, gamma, *paths)
            for case, lanes in found.items()
            for gamma, paths in zip(config.gamma, lanes, strict=True)
        ]
        experiment.report(
            config,
            out,
            "The Dirac-GAN",
            [{"lane": lane, **row} for lane, row in enumerate(rows)],
            ("objective", "order", "gamma"),
            ("predicted_percent", "near_percent", "far_percent", "log10_radius", "deviation"),
            lambda: figures(config, rows, found),
            notes=[
                "predicted_percent is by how much the distance from the equilibrium changes in a "
                "step of the linearised moves; near and far are how it did in the second half of "
                f"{config.steps} steps, from {NEAR:g} and {config.start:g}; log10_radius is of "
                "the last distance from afar, deviation the largest relative one from the formulas."
            ],
        )


def build(objective: str, order: str) -> Method:
    """Returns the GAN of a generator that is a point and a discriminator that is a line."""
    generator = Network(
        lambda key, z: {"theta": jnp.ones((), z.dtype)},
        lambda params, z: jnp.full_like(z, params["theta"]),
    )
    discriminator = Network(
        lambda key, x: {"psi": jnp.ones((), x.dtype)}, lambda params, x: params["psi"] * x
    )
    return methods.gan(
        generator,
        discriminator,
        latent_size=1,
        objective=OBJECTIVES[objective](),
        regularisers=[regularisers.r1()],
        prior=lambda key, shape: jnp.zeros(shape),
        output=lambda x: x,
        simultaneous=order == "simultaneous",
        optimizer=optax.identity(),
    )


def followed(config: Config, objective: str, order: str) -> np.ndarray:
    """Returns (theta, psi) over steps from both starts, [gammas, 2, steps + 1, 2], by training."""
    with jax.enable_x64(True):
        method, key = build(objective, order), jax.random.key(0)
        batch = {"image": jnp.zeros((1, 1))}
        rate = config.learning_rate
        rates = {"learning_rate": rate, "discriminator_learning_rate": rate}

        def follow(gamma: Array, start: Array) -> Array:
            hparams = {**method.hparams, **rates, "r1_weight": gamma}
            first = {"generator": {"theta": start}, "discriminator": {"psi": start}}

            def step(state: Any, _: None) -> tuple[Any, Array]:
                state, _ = method.step(key, state, batch, hparams)
                return state, jnp.stack(jax.tree.leaves(state.params)[::-1])

            state = method.init(key, batch, hparams, first)
            _, path = jax.lax.scan(step, state, length=config.steps)
            return jnp.concatenate([jnp.full((1, 2), start), path])

        lanes = jax.vmap(jax.vmap(follow, (None, 0)), (0, None))
        starts = jnp.asarray([NEAR, config.start])
        return np.asarray(jax.jit(lanes)(jnp.asarray(config.gamma, float), starts))


def written_out(
    objective: str, order: str, gamma: float, rate: float, start: float, steps: int
) -> np.ndarray:
    """Returns what `followed` returns of one path, [steps + 1, 2], by the formulas."""
    if objective == "wasserstein":  # linear: (theta, psi) after n steps is M^n (theta, psi)
        moves = moved(objective, order, gamma, rate)
        powers = [np.linalg.matrix_power(moves, n) for n in range(steps + 1)]
        return np.stack(powers) @ np.full(2, start)
    theta = psi = start
    path = [(theta, psi)]
    for _ in range(steps):
        # D lowers softplus(psi theta) + gamma psi^2 / 2, G -softplus(psi theta), or softplus(-...)
        after = psi - rate * (expit(psi * theta) * theta + gamma * psi)
        psi = psi if order == "simultaneous" else after
        theta += rate * expit(psi * theta if objective == "minimax" else -psi * theta) * psi
        psi = after
        path.append((theta, psi))
    return np.asarray(path)


def moved(objective: str, order: str, gamma: float, rate: float) -> np.ndarray:
    """Returns the matrix [2, 2] of a step on (theta, psi), linearised at 0."""
    slope = rate * LOSSES[objective]
    discriminator = np.array([[1, 0], [-slope, 1 - rate * gamma]])
    generator = np.array([[1, slope], [0, 1]])
    if order == "alternating":
        return generator @ discriminator
    return generator + discriminator - np.eye(2)


def modulus(objective: str, order: str, gamma: float, rate: float) -> float:
    """Returns the factor per step that the linearised moves come to."""
    return float(np.abs(np.linalg.eigvals(moved(objective, order, gamma, rate))).max())


def measured(path: np.ndarray) -> float:
    """Returns the factor per step of the radius, by its logarithm's slope in the second half."""
    radius = np.linalg.norm(path[len(path) // 2 :], axis=1)
    steps = np.arange(len(radius)) - (len(radius) - 1) / 2
    with np.errstate(all="ignore"):
        return float(np.exp(steps @ np.log(radius) / (steps @ steps)))


def row(
    config: Config, objective: str, order: str, gamma: float, near: np.ndarray, far: np.ndarray
) -> dict[str, Any]:
    """Returns what is said of one objective, order and weight."""
    case = objective, order, gamma, config.learning_rate
    with np.errstate(all="ignore"):
        known = [written_out(*case, path[0, 0], config.steps) for path in (near, far)]
        off = np.linalg.norm(np.stack([near, far]) - known, axis=2) / np.linalg.norm(known, axis=2)
        radius = np.log10(np.hypot(*far[-1]))
    return {
        **{"objective": objective, "order": order, "gamma": gamma, "status": "ok"},
        "predicted_percent": round(100 * (modulus(*case) - 1), 9) + 0.0,
        "near_percent": 100 * (measured(near) - 1),
        "far_percent": 100 * (measured(far) - 1),
        "log10_radius": float(radius),
        "deviation": float(off.max()),
    }


def figures(
    config: Config, rows: Sequence[Mapping[str, Any]], found: Mapping[tuple[str, str], np.ndarray]
) -> dict[str, Any]:
    """Draws paths, distances over steps, and the factor per step against the weight of R1."""
    shown = dict.fromkeys((0, min(2, len(config.gamma) - 1)))  # of the weights
    drawn = {
        "Paths from afar of the generator's number and the discriminator's, which are both 0 in "
        "the equilibrium.": plots.paths(
            {
                f"{objective}, {order}".replace("_", "-"): {
                    f"R1 {config.gamma[i]:g}": lanes[i, 1, : SHOWN + 1] for i in shown
                }
                for (objective, order), lanes in found.items()
            },
            ("generator θ", "discriminator ψ"),
            columns=len(config.objective),
        )
    }
    places = np.unique(np.linspace(0, config.steps, 26).astype(int))
    for i in shown:
        curves = {}
        for case, lanes in found.items():
            radius = np.linalg.norm(lanes[i, 1, places], axis=1)
            seen = np.isfinite(radius) & (radius > 0)
            curves[", ".join(case).replace("_", "-")] = places[seen], radius[seen], None
        heading = f"R1 {config.gamma[i]:g}"
        drawn[f"The distance from the equilibrium over training, from afar; {heading}."] = (
            plots.lines(curves, "step", "distance", log_y=True, heading=heading)
        )
    weights = np.linspace(min(config.gamma), max(config.gamma), 201)
    for order in config.order:
        curves, formulas = {}, {}
        for objective in config.objective:
            own = experiment.where(rows, order=order, objective=objective)
            factors = [1 + row["near_percent"] / 100 for row in own]
            curves[objective.replace("_", "-")] = config.gamma, factors, None
            expected = [modulus(objective, order, g, config.learning_rate) for g in weights]
            formulas[f"eigenvalues, f'(0) = {LOSSES[objective]:g}"] = weights, expected
        drawn[
            f"The factor per step near the equilibrium against the weight of R1, {order} moves."
        ] = plots.lines(
            curves, "weight of R1", "factor per step", level=1.0, formulas=formulas, heading=order
        )
    return drawn


if __name__ == "__main__":
    cli.main(dirac_gan, PRESETS, description=__doc__)
