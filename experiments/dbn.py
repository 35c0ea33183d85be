"""A deep belief network that knows classes: samples of each, and a bound on the likelihood.

    python experiments/dbn.py

Greedy training gives binarised test digits a bound on their likelihood, with the top machine's
partition function by AIS and by reverse AIS, and their classes; up-down training of the whole then
raises the bound and calls fewer by the wrong class.

Reference: Hinton, Osindero and Teh (2006), A Fast Learning Algorithm for Deep Belief Nets;
Salakhutdinov and Murray (2008), On the Quantitative Analysis of Deep Belief Networks.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import checks, cli, data, experiment, methods, plots, training
from ae_jax.core import Array, Batch, InputError, Method
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import Units
from ae_jax.methods.boltzmann.belief import DBNParams, draw, params_of
from ae_jax.methods.boltzmann.deep_belief_network import DBNState
from ae_jax.recipes import greedy

#: Passes up that the bound on each test image is averaged over.
DRAWS = 20
#: Of PCD.
CHAINS = 100


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    widths: tuple[int, ...] = (128, 128, 256)
    """Layers above the data; labels stand beside the last but one. Not swept."""
    estimator: str = "cd-1"
    """Of the gradient of all machines but the top one; they follow it with Adam."""
    top_estimator: str = "pcd-5"
    layer_learning_rate: float = 0.01
    """Of the machines, at first; it falls to 0 as a half cosine."""
    layer_steps: int = 2000
    """For each machine."""
    learning_rate: tuple[float, ...] = (0.01,)
    """Of the up-down algorithm, likewise."""
    gibbs_steps: int = 5
    """Of the top machine in the up-down algorithm."""
    persistent: bool = False
    """Whether its chains go on there from those of its training, by pcd-k; else they start at each
    batch, as published."""
    annealing_chains: int = 200
    """Of AIS; reverse AIS starts as many at test images."""
    annealing_temperatures: int = 2000
    sample_steps: int = 1000
    steps: int = 3000
    seeds: int = 3


PRESETS = {
    "default": Config(),
    "smoke": Config(
        widths=(16, 16),
        layer_steps=20,
        annealing_chains=10,
        annealing_temperatures=20,
        sample_steps=10,
        steps=20,
    ),
    "paper": Config(
        dataset="mnist",
        widths=(500, 500, 2000),
        layer_learning_rate=1e-3,
        layer_steps=150_000,
        learning_rate=(1e-3,),
        gibbs_steps=10,
        annealing_temperatures=20_000,
        steps=300_000,
        batch_size=100,
    ),
}


def dbn(config: Config) -> None:
    """Trains machines greedily, the top one with labels, then all of them up-down."""
    if len(config.widths) < 2:
        raise InputError("widths must name at least two layers")
    experiment.at_least(config, 1, "widths", "layer_steps")
    experiment.at_least(config, 1, "annealing_chains", "annealing_temperatures")
    if config.persistent and not config.top_estimator.startswith("pcd-"):
        raise InputError(f"persistent needs a top_estimator pcd-k, got {config.top_estimator}")
    splits = experiment.Splits(*map(data.binarized, experiment.load(config)))
    classes = experiment.classes(config.dataset, splits)
    top_method = top_machine(config, classes)
    method = methods.deep_belief_network(
        config.widths,
        classes=classes,
        gibbs_steps=config.gibbs_steps,
        chains=CHAINS if config.persistent else 0,
        sample_steps=config.sample_steps,
    )
    lanes = experiment.grid(config, {})
    checks.trace(top_method, (config.widths[-2],), label=True)
    checks.trace(method, splits.image_shape, label=True)
    stack = experiment.pretrain(
        config,
        "dbn",
        greedy.rbm_layers(
            config.widths[:-1],
            splits.image_shape,
            estimator=boltzmann.estimator(config.estimator),
            optimizer=optax.scale_by_adam(),
        ),
        splits,
        {"learning_rate": config.layer_learning_rate},
        config.layer_steps,
    )
    top = experiment.sweep(
        config,
        "dbn",
        methods.stage(stack.encoder, top_method),
        splits,
        {"learning_rate": config.layer_learning_rate},
        part="top",
        steps=config.layer_steps,
        start=[{"encoder": start["encoder"]} for start in stack.start],
        schedules=[training.warmup_cosine(config.layer_steps)],
        everywhere=True,
    )
    tops = [experiment.model(top.result, seed).state.method for seed in range(config.seeds)]
    networks = [
        params_of(start, machine.params) for start, machine in zip(stack.start, tops, strict=True)
    ]
    starts: list[dict[str, Any]] = [{"params": network} for network in networks]
    if config.persistent:
        for start, machine in zip(starts, tops, strict=True):
            start["chains"] = machine.estimator
    tuned = experiment.sweep(
        config,
        "dbn",
        method,
        splits,
        {},
        part="up-down",
        start=[starts[lane["seed"]] for lane in lanes],
        schedules=[training.warmup_cosine(config.steps)],
        everywhere=True,
    )
    units = Units(boltzmann.softmax(classes), boltzmann.bernoulli_hidden())
    image = jnp.zeros(splits.image_shape)
    measured = measure(config, method, splits, units, classes)
    rows: list[dict[str, Any]] = []
    for seed, params in enumerate(networks):
        found = measured(seed, DBNState(params, image))
        rows.append(
            {"lane": len(rows), "training": "greedy", "seed": seed, "status": "ok", **found}
        )
    for row in tuned.result.rows:
        state = experiment.model(tuned.result, row["lane"]).state
        found = measured(row["seed"], state)
        rows.append({**row, "lane": len(rows), "training": "up-down", **found})
    by = ["training", *experiment.swept(config, "learning_rate")]
    rows = [{**dict.fromkeys(("lane", *by, "seed")), **row} for row in rows]
    examples = {"greedy": networks[0], "up-down": experiment.model(tuned.result, 0).state.params}
    experiment.report(
        config,
        tuned.out,
        f"Deep belief networks on {config.dataset}",
        rows,
        by,
        (
            "bound_ais",
            "bound_reverse_ais",
            "error",
            "reconstruction",
            "effective_sample_size",
        ),
        lambda: figures(config, rows, by, examples, splits, units, classes),
        tuned.result,
        [
            "bound_ais and bound_reverse_ais are lower bounds on the log-likelihood of binarised "
            "test images, nats per image, but for the top machine's partition function: AIS "
            "underestimates it on average, reverse AIS overestimates it "
            f"({config.annealing_chains} chains each, {config.annealing_temperatures} "
            "temperatures). error is the percentage of test images whose class the top machine's "
            "free energies get wrong."
        ],
    )


def top_machine(config: Config, classes: int) -> Method:
    """Returns the machine of p(what the last layer but one sees, label)."""
    return methods.rbm(
        config.widths[-1],
        estimator=boltzmann.estimator(config.top_estimator, CHAINS),
        classes=classes,
        optimizer=optax.scale_by_adam(),
    )


def measure(
    config: Config, method: Method, splits: experiment.Splits, units: Units, classes: int
) -> Callable[[int, DBNState], dict[str, Any]]:
    """Returns what gives a network's bounds, error (%) and reconstruction on test images."""
    test = experiment.first_batch(splits.test, 5000)
    train = experiment.first_batch(splits.train, 1000)
    few = experiment.first_batch(splits.test, config.annealing_chains)

    @jax.jit
    def evaluate(key: Array, state: DBNState, batch: Batch) -> dict[str, Array]:
        def once(key: Array) -> Mapping[str, Array]:
            values = method.evaluate(key, state, batch, dict(method.hparams))
            return {name: jnp.mean(value) for name, value in values.items()}

        drawn = jax.lax.map(once, jax.random.split(key, DRAWS))
        return {name: jnp.mean(value) for name, value in drawn.items()}

    def seen(state: DBNState, batch: Batch) -> Array:
        """The means that the top machine sees, and the labels."""
        means = method.views.encode(state, batch, method.hparams)
        return jnp.concatenate([means, jax.nn.one_hot(batch["label"], classes)], axis=1)

    def measured(seed: int, state: DBNState) -> dict[str, Any]:
        draw_key, annealing_key, key = jax.random.split(jax.random.key(seed), 3)
        top = state.params.top
        x = jax.random.bernoulli(draw_key, seen(state, few)).astype(top.weights.dtype)
        found = boltzmann.assess(
            annealing_key,
            top,
            boltzmann.base_of(top, seen(state, train), units),
            x,
            chains=config.annealing_chains,
            temperatures=config.annealing_temperatures,
            units=units,
        )
        means = {name: float(value) for name, value in evaluate(key, state, test).items()}
        free = float(jnp.mean(boltzmann.free_energy(top, x, units)))
        bound = found.ais + free - means["unnormalised_nll"]  # ais + free = -log Z
        return {
            "bound_ais": bound,
            "bound_reverse_ais": bound - found.gap,
            "error": 100 * means["error"],
            "reconstruction": means["reconstruction"],
            "effective_sample_size": found.effective_sample_size,
        }

    return measured


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    by: Sequence[str],
    networks: Mapping[str, DBNParams],
    splits: experiment.Splits,
    units: Units,
    classes: int,
) -> dict[str, Any]:
    """Draws samples of each class before and after up-down, bounds, and what the units draw."""
    label = jax.nn.one_hot(jnp.repeat(jnp.arange(classes), 16), classes)
    run = jax.jit(draw, static_argnums=(2, 3, 4))
    drawn = {}
    for words, params in networks.items():
        samples = run(jax.random.key(1), params, len(label), config.sample_steps, units, label)
        images = np.asarray(samples).reshape(classes, 16, *splits.image_shape)
        table = {str(index): row for index, row in enumerate(images)}
        drawn[
            f"Samples after {words} training, a row for each class: {config.sample_steps} steps "
            "of Gibbs sampling with the label held, and one pass down."
        ] = plots.rows(table, f"{words} training")
    kinds = {"bound_reverse_ais": "reverse AIS", "bound_ais": "AIS"}
    bounds = {
        experiment.named(point["training"], point, by[1:]): {
            text: point[name] for name, text in kinds.items()
        }
        for point in plots.aggregate(rows, by, list(kinds))
    }
    drawn[
        "Lower bound on the log-likelihood of test images, with the top machine's partition "
        "function by AIS, too high on average, and by reverse AIS, too low."
    ] = plots.dots(bounds, "bound on log p (nats per image)")
    kernel = np.asarray(networks["up-down"].down[0].kernel.T)
    drawn["What the units of the first layer draw, the largest norm first."] = plots.filters(
        kernel, splits.image_shape, count=40
    )
    return drawn


if __name__ == "__main__":
    cli.main(dbn, PRESETS)
