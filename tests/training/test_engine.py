"""What a run evaluates, reports and selects, and what it refuses."""

import csv
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, methods, nets, training
from ae_jax.core import REAL, InputError, Method, Network


def read(directory):
    records = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    with (directory / "results.csv").open() as file:
        return records, list(csv.DictReader(file))


@pytest.mark.parametrize("sizes", [(80, 100), (100, 1)])
def test_evaluation_is_the_plain_mean_whatever_the_size_of_the_last_batch(
    toy, images, tmp_path, sizes
):
    """Of a validation and of a test set."""
    validation, test = (images(size, 1) for size in sizes)
    options = {"batch_size": 40, "validation": validation, "test": test, "evaluate_every": 3}
    lanes = training.grid(seed=range(3))
    result = training.run(toy, images(100), lanes, 3, tmp_path, **options)
    records = [row for row in read(tmp_path)[0] if row["split"] == "validation"]
    for dataset, rows in ((validation, records), (test, result.rows)):
        x = np.asarray(dataset.arrays["image"], np.float64).reshape(dataset.size, -1) / 255
        assert [row["lane"] for row in rows] == [0, 1, 2]
        for row in rows:
            weights = training.lane(result, row["lane"])[1].weights.astype(np.float64)
            np.testing.assert_allclose(row["loss"], ((x - weights) ** 2).sum(1).mean(), rtol=1e-6)


def test_what_stands_in_masked_rows_cannot_leak(toy, images):
    """The last batch is filled up with the last example again: here that would count as NaN."""

    def evaluate(key, state, batch, hparams):
        first = batch["image"][:, 0, 0, 0]
        again = jnp.arange(4) > 1
        return {"loss": jnp.where(again & (first == first[1]), jnp.nan, 1.0)}

    test = data.stored(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1))
    train = data.stored(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1))
    method = toy._replace(evaluate=evaluate)
    result = training.run(method, train, training.grid(), 1, batch_size=4, test=test)
    assert result.rows[0]["loss"] == 1.0


def swinging():
    """A method whose weights follow a known course: its evaluation is the distance from 3."""

    def step(key, state, batch, hparams):
        count = state["count"] + 1
        position = hparams["speed"] * count.astype(jnp.result_type(float))
        return {"position": position, "count": count}, {"loss": position}

    def evaluate(key, state, batch, hparams):
        size = batch["image"].shape[0]
        return {"loss": jnp.broadcast_to(jnp.abs(state["position"] - 3.0), (size,))}

    def init(key, batch, hparams):
        return {"position": jnp.asarray(0.0), "count": jnp.asarray(0)}

    return Method({"speed": 1.0}, init, step, evaluate)


def test_the_best_state_is_that_of_the_lowest_validation(images, tmp_path):
    result = training.run(
        swinging(),
        images(100),
        training.grid(speed=[0.25, 0.5, 1.0]),
        20,
        tmp_path,
        batch_size=40,
        validation=images(5),
        evaluate_every=2,
        select="best",
    )
    records, rows = read(tmp_path)
    for lane, expected in enumerate([12, 6, 2]):  # 3 / speed; at speed 1, step 2 comes before 4
        course = {
            record["step"]: record["loss"]
            for record in records
            if record["lane"] == lane and record["split"] == "validation"
        }
        assert sorted(course) == list(range(2, 21, 2))
        assert min(course, key=course.get) == expected
        assert int(rows[lane]["best_step"]) == expected
        assert float(rows[lane]["loss"]) == course[expected]
        # The whole state is that step's: what a method carries belongs to its weights.
        best = training.lane(result, lane, best=True)[1]
        assert best["count"] == expected
        assert training.lane(result, lane)[1]["count"] == 20


def test_the_best_state_holds_what_inference_needs_and_no_optimizer(images, tmp_path):
    method = methods.autoencoder(nets.mlp(1, ()), nets.mlp((2, 3, 1), ()))
    method = method._replace(
        inference=lambda state: state._replace(optimizer=()), domains={"learning_rate": REAL}
    )
    options = {"batch_size": 40, "validation": images(50, 1), "evaluate_every": 1, "chunk": 1}
    lanes = training.grid(learning_rate=0.2)
    uphill = training.Schedule(  # after three steps
        {}, lambda i, h: {**h, "learning_rate": h["learning_rate"] * jnp.where(i < 3, 1.0, -1.0)}
    )
    options |= {"schedules": [uphill], "keep_best": True}
    result = training.run(method, images(100), lanes, 6, tmp_path, **options)
    step = int(result.groups[0].best_step[0])
    assert 0 < step < 6
    there = training.run(method, images(100), lanes, step, **options)
    best, current = training.lane(result, 0, best=True)[1], training.lane(there, 0)[1]
    chex.assert_trees_all_close(best.params, current.params, rtol=1e-5, atol=1e-6)
    assert best.optimizer == ()
    # The last state has moved on, and its checkpoint holds parameters once with an optimizer.
    last = training.lane(result, 0)[1]
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), last.params, best.params)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_a_lane_without_a_finite_validation_is_said(toy, images):
    """Its figures are those of the state before training."""
    never = toy._replace(
        evaluate=lambda key, state, batch, h: {"loss": jnp.full((len(batch["image"]),), jnp.nan)}
    )
    with pytest.warns(UserWarning, match="no validation of lane 0 was a finite number"):
        training.run(never, images(100), training.grid(), 2, validation=images(40), select="best")


def test_a_best_state_is_kept_where_it_is_asked_for(images):
    options = {"batch_size": 40, "validation": images(5), "evaluate_every": 2}
    result = training.run(swinging(), images(100), training.grid(), 6, **options)
    assert result.groups[0].best is None
    assert result.rows[0]["best_step"] == 2  # when it was is known all the same
    with pytest.raises(InputError, match="keep_best=True"):
        training.lane(result, 0, best=True)


def test_evaluation_sees_what_schedules_have_made_of_hyperparameters(images):
    """A weight that doubles at each step, evaluated after steps 2 and 4 and at the best."""

    def evaluate(key, state, batch, hparams):
        value = hparams["speed"] * state["count"].astype(jnp.result_type(float))
        return {"loss": jnp.broadcast_to(value, (batch["image"].shape[0],))}

    def summarize(method, key, state, dataset, hparams):
        return {"speed_then": hparams["speed"]}

    doubling = training.step_decay(1, 2.0, name="speed")
    options = {"batch_size": 40, "validation": images(5), "evaluate_every": 2}
    options |= {"schedules": [doubling], "summarize": summarize}
    method = swinging()._replace(evaluate=evaluate)
    for select, taken in (("last", 4), ("best", 2)):
        result = training.run(method, images(100), training.grid(), 4, select=select, **options)
        row = result.rows[0]
        assert row["speed_then"] == 2.0 ** (taken - 1)
        assert row["loss"] == taken * 2.0 ** (taken - 1)
        hparams = training.lane(result, 0, best=select == "best")[2]
        assert hparams["speed"] == 2.0 ** (taken - 1)


def test_reports_are_means_since_the_last_one(images, tmp_path):
    training.run(
        swinging(), images(100), training.grid(), 5, tmp_path, batch_size=40, evaluate_every=2
    )
    records, _ = read(tmp_path)
    assert records == [
        {"step": 2, "split": "train", "lane": 0, "loss": 1.5},
        {"step": 4, "split": "train", "lane": 0, "loss": 3.5},
        {"step": 5, "split": "train", "lane": 0, "loss": 5.0},
    ]


def test_results_have_a_row_per_lane(toy, images, tmp_path):
    lanes = training.grid(loss_breaks_at=[-1, 2], noise=[0.0, 0.125])

    def summarize(method, key, state, dataset, hparams):
        return {"size": jnp.asarray(dataset.size)}

    training.run(toy, images(100), lanes, 4, tmp_path, batch_size=40, summarize=summarize)
    rows = read(tmp_path)[1]
    assert list(rows[0]) == [
        "lane",
        "loss_breaks_at",
        "noise",
        "seed",
        "status",
        "frozen_step",
        "frozen_by",
        "loss",
        "uniform",
        "size",
    ]
    assert [row["noise"] for row in rows] == ["0.0", "0.125", "0.0", "0.125"]
    assert [row["status"] for row in rows] == ["ok", "ok", "frozen", "frozen"]
    assert [row["frozen_step"] for row in rows] == ["", "", "2", "2"]
    assert {row["size"] for row in rows} == {"100.0"}


def test_a_users_own_method_and_networks_need_no_library(images):
    """A linear autoencoder whose networks are functions and whose optimizer is one line."""
    network = Network(
        init=lambda key, x: 0.1 * jax.random.normal(key, (6, 6)),
        apply=lambda weights, x: x.reshape(x.shape[0], 6) @ weights,
    )

    def errors(weights, batch):
        x = batch["image"].reshape(-1, 6)
        return jnp.sum((network.apply(weights, x) - x) ** 2, axis=1)

    def step(key, weights, batch, hparams):
        loss, gradient = jax.value_and_grad(lambda w: jnp.mean(errors(w, batch)))(weights)
        return weights - hparams["rate"] * gradient, {"loss": loss}

    method = Method(
        hparams={"rate": 0.1},
        init=lambda key, batch, hparams: network.init(key, batch["image"]),
        step=step,
        evaluate=lambda key, weights, batch, hparams: {"loss": errors(weights, batch)},
    )
    result = training.run(method, images(100), training.grid(rate=[0.0, 0.1]), 60, batch_size=50)
    assert result.rows[1]["loss"] < 0.2 * result.rows[0]["loss"]


def bad(toy, **change):
    return toy._replace(**change)


def test_bad_arguments_are_refused_before_anything_is_made(toy, images, tmp_path):
    wide = methods.vae(nets.mlp(4, ()), nets.mlp((8, 8, 1), ()), 2)
    nothing = methods.vae(Network(lambda key, x: {}, lambda p, x: None), nets.mlp(3, ()), 2)
    odd = methods.vae(nets.mlp(3, ()), nets.mlp((2, 3, 1), ()), 2)
    grows = bad(toy, step=lambda key, state, batch, h: ((state, state), {"loss": 0.0}))
    silent = bad(toy, step=lambda key, state, batch, h: (state, {}))
    vector = bad(toy, step=lambda key, state, batch, h: (state, {"loss": state.weights}))
    scalar = bad(toy, evaluate=lambda key, state, batch, h: {"loss": jnp.zeros(())})
    named = bad(toy, evaluate=lambda key, state, batch, h: {"seed": jnp.zeros((40,))})
    scored = bad(toy, evaluate=lambda key, state, batch, h: {"score": jnp.zeros((40,))})
    placed = bad(toy, step=lambda key, state, batch, h: (state, {"step": jnp.zeros(())}))
    split = bad(toy, evaluate=lambda key, state, batch, h: {"split": jnp.zeros((40,))})
    unknown = bad(toy, evaluate=lambda key, state, batch, h: {"loss": batch["label"]})
    best = {"select": "best", "validation": images(4)}

    def summary(**figures):
        return {"summarize": lambda method, key, state, dataset, h: figures}

    for method, options, message in [
        (toy, {"steps": 0}, "steps must be at least 1, got 0"),
        (toy, {"batch_size": 0}, "batch_size must be at least 1"),
        (toy, {"batch_size": 101}, "batch_size 101 is larger than the data set: lower it to 100"),
        (toy, {"chunk": 0}, "chunk must be at least 1"),
        (toy, {"steps": 3.0}, "steps must be a whole number, got 3.0"),
        (toy, {"config": {"widths": {1, 2}}}, "config cannot hold a set"),
        (toy, {"chunk": 2**30}, "lower chunk"),
        (toy, {"evaluate_every": 0}, "evaluate_every must be at least 1"),
        (toy, {"backend": "mpi"}, "unknown backend 'mpi': known are pmap, shard, vmap"),
        (toy, {"loggers": ["csv"]}, "unknown logger csv: known are tensorboard, wandb"),
        (toy, {"select": "first"}, "select must be last or best"),
        (toy, {"select": "best"}, "needs a validation set"),
        (toy, {"keep_best": True}, "needs a validation set"),
        (scored, best, "needs an evaluation 'loss'"),
        (toy, {"lanes": training.grid(nosie=1.0)}, "unknown hyperparameter nosie"),
        (toy, {"test": data.stored(np.zeros((4, 5, 5), np.uint8))}, "examples differ"),
        (wide, {}, "shapes must be equal"),
        (odd, {}, "."),
        (nothing, {}, "does not fit the data: 'NoneType' object has no attribute 'shape'"),
        (grows, {}, "changes the shapes or dtypes of its state"),
        (silent, {}, "Info is empty"),
        (vector, {}, "Info loss must be a scalar"),
        (scalar, {}, "evaluation loss must have one value per example"),
        (named, {}, "evaluation seed has the name of another column"),
        (placed, {}, "Info step has the name of another column"),
        (split, {}, "evaluation split has the name of another column"),
        (unknown, {}, r"asks for 'label', which its batch \(image\)"),
        (toy, summary(status=0.0), "summary's status has the name of another column"),
        (toy, summary(loss=0.0), "evaluation and the summary both have loss"),
        (toy, summary(sizes=np.zeros(3)), "summary's sizes must be a scalar"),
        (toy, {"validation": "digits"}, r"validation is 'digits': use .* data.load\("),
    ]:
        options = {"lanes": training.grid(), "steps": 3, "batch_size": 40, **options}
        with pytest.raises(InputError, match=message) as caught:
            training.run(method, images(100), directory=tmp_path / "run", **options)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir()), message


def test_after_damage_to_checkpoints_a_run_ends_with_the_same_bits(toy, images, tmp_path):
    def train(directory):
        options = {"chunk": 3, "checkpoint_seconds": 0.0, "validation": images(50, 1)}
        options["keep_best"] = True
        lanes = training.grid(noise=[0.0, 0.5])
        result = training.run(
            toy, images(100), lanes, 9, directory, batch_size=40, evaluate_every=3, **options
        )
        names = ("results.csv", "metrics.jsonl")
        files = {name: (directory / name).read_bytes() for name in names}
        return (result.groups[0].state, result.groups[0].best), files

    states, files = train(tmp_path / "run")
    for damaged in (1, 2):
        copy = shutil.copytree(tmp_path / "run", tmp_path / f"{damaged}")
        saved = sorted(copy.glob("checkpoints/*/*/*"))
        assert [int(path.name) for path in saved] == [6, 9]
        for path in saved[-damaged:]:
            (path / "arrays.npz").write_bytes(b"")
        with pytest.warns(UserWarning, match="is damaged"):
            again, files_again = train(copy)
        chex.assert_trees_all_equal(again, states)
        assert files_again == files
