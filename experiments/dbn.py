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

from ae_jax import cli, data, experiment, methods, metrics, plots, training
from ae_jax.core import Array, Batch, InputError, Method
from ae_jax.experiment import Count, Splits, Swept
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann.belief import params_of
from ae_jax.methods.boltzmann.deep_belief_network import DBNState
from ae_jax.recipes import greedy

#: Passes up that the bound on each test image is averaged over.
DRAWS = 20
#: Of PCD.
CHAINS = 100


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    widths: tuple[Count, ...] = (128, 128, 256)
    """Layers above the data; labels stand beside the last but one. Not swept."""
    estimator: str = "cd-1"
    """Of the gradient of all machines but the top one; they follow it with Adam."""
    top_estimator: str = "pcd-5"
    layer_learning_rate: float = 0.01
    """Of the machines, at first; it falls to 0 as a half cosine."""
    layer_steps: Count = 2000
    """For each machine."""
    learning_rate: Swept[float] = (0.01,)
    """Of the up-down algorithm, likewise."""
    gibbs_steps: Count = 5
    """Of the top machine in the up-down algorithm."""
    persistent: bool = False
    """Whether its chains go on there from those of its training, by pcd-k; else they start at each
    batch, as published."""
    annealing_chains: Count = 200
    """Of AIS; reverse AIS starts as many at test images."""
    annealing_temperatures: Count = 2000
    sample_steps: Count = 1000
    steps: Count = 3000
    seeds: Count = 3


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
    if config.persistent and not config.top_estimator.startswith("pcd-"):
        raise InputError(f"--persistent needs a --top-estimator pcd-k, got {config.top_estimator}")
    splits = Splits(*map(data.binarized, experiment.load_splits(config)))
    classes = experiment.classes(config.dataset, splits)
    method = build(config, splits.train.spec, classes)
    below = boltzmann.estimator(config.estimator)
    above = boltzmann.estimator(config.top_estimator, CHAINS)
    shape, adam = splits.image_shape, optax.scale_by_adam()
    machines = greedy.rbm_layers(config.widths[:-1], shape, estimator=below, optimizer=adam)
    top_method = methods.rbm(config.widths[-1], estimator=above, classes=classes, optimizer=adam)
    experiment.trace(top_method, (config.widths[-2],), label=True)
    experiment.trace(method, shape, label=True)
    values = {"learning_rate": config.layer_learning_rate}
    experiment.check(top_method, experiment.lanes(config, values))
    experiment.check(method, experiment.lanes(config, {}))
    stack = experiment.pretrain(config, "dbn", machines, splits, values, config.layer_steps)
    top = experiment.sweep(
        config,
        "dbn",
        methods.stage(stack.encoder, top_method),
        splits,
        values,
        part="top",
        steps=config.layer_steps,
        start=[{"encoder": start["encoder"]} for start in stack.start],
        schedules=[training.warmup_cosine(config.layer_steps)],
        everywhere=True,
    )
    tops = [experiment.model(top.result, seed).state.method for seed in range(config.seeds)]
    starts = [
        {"params": params_of(start, machine.params)}
        | ({"chains": machine.estimator} if config.persistent else {})
        for start, machine in zip(stack.start, tops, strict=True)
    ]
    tuned = experiment.sweep(
        config,
        "dbn",
        method,
        splits,
        {},
        part="up-down",
        start=[starts[lane["seed"]] for lane in experiment.lanes(config, {})],
        schedules=[training.warmup_cosine(config.steps)],
        everywhere=True,
    )
    image = jnp.zeros(shape)
    networks = [
        ({"training": "greedy", "seed": seed, "status": "ok"}, DBNState(start["params"], image))
        for seed, start in enumerate(starts)
    ]
    for row in tuned.result.rows:
        state = experiment.model(tuned.result, row["lane"]).state
        networks.append(({"training": "up-down", **row}, state))
    by = ["training", *experiment.varied(config, "learning_rate")]
    measured = measure(config, method, splits, classes)
    found = [{**row, **measured(row["seed"], state)} for row, state in networks]
    rows = experiment.numbered(found, by)
    shown = {"greedy": networks[0][1], "up-down": networks[config.seeds][1]}
    experiment.report(
        config,
        tuned.out,
        f"Deep belief networks on {config.dataset}",
        rows,
        by,
        ("bound_ais", "bound_reverse_ais", "error", "reconstruction", "effective_sample_size"),
        lambda: figures(config, rows, by, method, shown, classes),
        tuned.result,
        [
            "Bounds on the log-likelihood of test images, nats per image, are lower ones but for "
            "the top machine's partition function: AIS underestimates it on average, reverse AIS "
            f"overestimates it ({config.annealing_chains} chains, {config.annealing_temperatures} "
            "temperatures). error is the percentage that the top machine classifies wrongly."
        ],
    )


def build(config: Config, spec: Mapping[str, Any], classes: int) -> Method:
    """Returns the network that is trained up-down."""
    return methods.deep_belief_network(
        config.widths,
        classes=classes,
        gibbs_steps=config.gibbs_steps,
        chains=CHAINS if config.persistent else 0,
        sample_steps=config.sample_steps,
    )


def measure(
    config: Config, method: Method, splits: Splits, classes: int
) -> Callable[[int, DBNState], dict[str, Any]]:
    """Returns what gives a network's bounds, error (%) and reconstruction on test images."""
    units = boltzmann.Units(boltzmann.softmax(classes), boltzmann.bernoulli_hidden())
    test = data.head(splits.test, 5000)
    train = data.head(splits.train, 1000)
    few = data.head(splits.test, config.annealing_chains)

    @jax.jit
    def evaluate(key: Array, state: DBNState, batch: Batch) -> dict[str, Array]:
        def once(key: Array) -> Mapping[str, Array]:
            values = method.evaluate(key, state, batch, dict(method.hparams))
            return {name: jnp.mean(value) for name, value in values.items()}

        return metrics.mean_over_draws(once, key, DRAWS)

    def seen(state: DBNState, batch: Batch) -> Array:
        """The means that the top machine sees, and the labels."""
        means = method.views.encode(state, batch, method.hparams)
        return jnp.concatenate([means, jax.nn.one_hot(batch["label"], classes)], axis=1)

    def measured(seed: int, state: DBNState) -> dict[str, Any]:
        draw_key, annealing_key, key = jax.random.split(jax.random.key(seed), 3)
        means = {name: float(value) for name, value in evaluate(key, state, test).items()}
        top = state.params.top
        bounds = boltzmann.bounds_above(
            annealing_key,
            top,
            boltzmann.base_of(top, seen(state, train), units),
            jax.random.bernoulli(draw_key, seen(state, few)).astype(top.weights.dtype),
            -means["unnormalised_nll"],
            chains=config.annealing_chains,
            temperatures=config.annealing_temperatures,
            units=units,
        )
        size = bounds.pop("effective_sample_size")
        own = {"error": 100 * means["error"], "reconstruction": means["reconstruction"]}
        return {**bounds, **own, "effective_sample_size": size}

    return measured


def figures(
    config: Config, rows: Sequence, by: Sequence, method: Method, states: Mapping, classes: int
) -> dict[str, Any]:
    """Draws samples of each class before and after up-down, bounds, and what the units draw."""
    batch = {"label": jnp.repeat(jnp.arange(classes), 16)}
    run = jax.jit(lambda key, state: method.views.generate(key, state, batch, method.hparams))
    drawn = {}
    for words, state in states.items():
        images = np.asarray(run(jax.random.key(1), state)).reshape(classes, 16, *state.image.shape)
        table = {str(label): row for label, row in enumerate(images)}
        drawn[
            f"Samples after {words} training, a row for each class: {config.sample_steps} steps "
            "of Gibbs sampling with the label held, and one pass down."
        ] = plots.image_rows(table, f"{words} training")
    words = {"bound_reverse_ais": "reverse AIS", "bound_ais": "AIS"}
    bounds = plots.mean_table(
        rows, lambda row: experiment.named(row["training"], row, by[1:]), words
    )
    drawn[
        "Lower bound on the log-likelihood of test images, with the top machine's partition "
        "function by AIS, too high on average, and by reverse AIS, too low."
    ] = plots.dots(bounds, "bound on log p (nats per image)")
    kernel = states["up-down"].params.down[0].kernel.T
    drawn["What the units of the first layer draw, the largest norm first."] = plots.filters(
        kernel, states["up-down"].image.shape, count=40
    )
    return drawn


if __name__ == "__main__":
    cli.main(dbn, PRESETS)
