import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import BELOW_ONE, POSITIVE, REAL, InputError
from ae_jax.training.lanes import grouped


def test_grid_is_the_product_with_the_last_name_fastest():
    assert training.grid(beta=[1.0, 4.0], size=3, seed=range(2)) == [
        {"beta": 1.0, "size": 3, "seed": 0},
        {"beta": 1.0, "size": 3, "seed": 1},
        {"beta": 4.0, "size": 3, "seed": 0},
        {"beta": 4.0, "size": 3, "seed": 1},
    ]


def test_grid_adds_seed_0_and_takes_arrays_and_text():
    assert training.grid() == [{"seed": 0}]
    lanes = training.grid(rate=np.array([0.5, 1.0]), name="relu")
    assert lanes == [{"rate": r, "name": "relu", "seed": 0} for r in (0.5, 1.0)]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"beta": []}, "beta has no value"), ({"beta": [1.0, 1]}, "beta has a value twice")],
)
def test_grid_refuses(values, message):
    with pytest.raises(InputError, match=message):
        training.grid(**values)


@pytest.mark.parametrize(
    ("lanes", "message"),
    [
        ([], "no lane"),
        ([{"noise": 0.1}], "needs a seed"),
        ([{"seed": 0}, {"seed": 1, "noise": 0.1}], "same names"),
        (
            [{"seed": 0, "nosie": 1.0}],
            "unknown hyperparameter nosie: known are learning_rate, loss_breaks_at, noise, seed",
        ),
        ([{"seed": 0, "noise": float("nan")}], "noise must be a finite number, got nan"),
        ([{"seed": 0, "noise": "much"}], "noise must be a finite number"),
        ([{"seed": 0, "noise": True}], "noise must be a finite number"),
        ([{"seed": -1}], "seed must be a whole number from 0, got -1"),
        ([{"seed": 0.5}], "seed must be a whole number"),
        ([{"seed": 2**31}], "seed must be below"),
    ],
)
def test_group_refuses(toy, lanes, message):
    with pytest.raises(InputError, match=message) as caught:
        grouped(toy, lanes)
    assert "\n" not in str(caught.value)


@pytest.fixture
def bounded(toy):
    """The toy method, with domains."""
    return toy._replace(
        domains={"learning_rate": POSITIVE, "noise": BELOW_ONE, "loss_breaks_at": REAL}
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"noise": [0.5, -1]}, "noise is -1: use 0 or more and less than 1"),
        ({"noise": 1.0}, "noise is 1: use"),
        ({"noise": 1 - 1e-12}, "noise is 0.999999999999, 1 in single precision: use"),
        ({"learning_rate": 0}, "learning_rate is 0: use more than 0"),
        ({"learning_rate": 1e-60}, "learning_rate is 1e-60, 0 in single precision: use more"),
        ({"loss_breaks_at": 1e39}, "loss_breaks_at is 1e\\+39, inf in .*: use a finite number"),
        ({"state_breaks_at": 10**400}, "state_breaks_at must be a finite number, got 10"),
        ({"learning_rate_decay_every": 0}, "learning_rate_decay_every is 0: use more than 0"),
        ({"learning_rate_decay_factor": -1.5}, "learning_rate_decay_factor is -1.5: use 0 or more"),
    ],
)
def test_numbers_outside_their_domain_are_refused_before_anything_is_written(
    bounded, images, tmp_path, values, message
):
    with pytest.raises(InputError, match=message) as caught:
        training.run(
            bounded,
            images(100),
            training.grid(**values),
            2,
            tmp_path / "run",
            batch_size=40,
            schedules=[training.step_decay(2)],
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_defaults_have_a_domain_too_and_names_without_one_take_any_number(bounded):
    with pytest.raises(InputError, match="noise is 2: use"):
        grouped(bounded._replace(hparams={**bounded.hparams, "noise": 2}), training.grid())
    (found,) = grouped(bounded, training.grid(state_breaks_at=[-1e30, 0], learning_rate=1e12))
    assert found.hparams["state_breaks_at"].tolist() == [-1e30, 0]


def test_double_precision_takes_what_single_precision_rounds_away(bounded, x64):
    lanes = training.grid(noise=1 - 1e-12, learning_rate=1e-60)
    assert grouped(bounded, lanes)[0].hparams["noise"][0] < 1


@pytest.mark.parametrize(
    ("schedule", "values", "refused"),
    [
        (training.warmup_cosine(10), {"learning_rate_warmup_steps": -1}, "is -1: use 0 or more"),
        (training.warmup_cosine(10, final_fraction=2), {}, "final_fraction is 2: use from 0 to 1"),
        (training.warmup_cosine(0), {}, "cosine_steps is 0: use more than 0"),
    ],
)
def test_the_numbers_of_schedules_have_domains(toy, schedule, values, refused):
    assert schedule.domains.keys() == schedule.hparams.keys()
    with pytest.raises(InputError, match=refused):
        grouped(toy, training.grid(**values), [schedule])


def test_static_values_split_the_grid_into_groups(toy_factory):
    lanes = training.grid(noise=[0.0, 0.5], bias=[1.0, 2.0], seed=range(2))
    first, second = grouped(
        toy_factory, lanes, [training.Schedule({"extra": 7.0}, lambda _, hparams: hparams)]
    )
    assert first.index.tolist() == [0, 1, 4, 5]
    assert second.index.tolist() == [2, 3, 6, 7]
    assert first.seed.tolist() == [0, 1, 0, 1]
    assert first.hparams["noise"].tolist() == [0.0, 0.0, 0.5, 0.5]
    assert first.hparams["learning_rate"].tolist() == [0.1] * 4
    assert first.hparams["extra"].tolist() == [7.0] * 4


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (None, "the method is of type NoneType: give a Method, or a function that returns one"),
        (lambda bias: bias, "the method is of type int: give"),
        (
            lambda bias, size: None,
            "is given bias by the lanes: missing a required argument: 'size'",
        ),
        (lambda size: None, "is given nothing by the lanes: missing a required argument: 'size'"),
    ],
)
def test_what_builds_no_method_is_refused(method, message):
    with pytest.raises(InputError, match=message):
        grouped(method, training.grid(bias=1))


def test_each_group_is_compiled_once_and_its_rows_keep_the_order_of_the_sweep(toy_factory, images):
    lanes = training.grid(noise=[0.0, 0.5], bias=[1.0, 2.0])
    result = training.run(toy_factory, images(100), lanes, 7, batch_size=40, chunk=2)
    assert result.compilations == 2
    assert [row["lane"] for row in result.rows] == [0, 1, 2, 3]
    assert [(row["noise"], row["bias"]) for row in result.rows] == [
        (0.0, 1.0),
        (0.0, 2.0),
        (0.5, 1.0),
        (0.5, 2.0),
    ]
    # The start, and so the state after 7 steps, differs by the bias: 0.9 ** 7 of it is left.
    for start in (0, 2):
        _, low, _ = training.lane(result, start)
        _, high, _ = training.lane(result, start + 1)
        np.testing.assert_allclose(high.weights - low.weights, 0.9**7, rtol=1e-4)
