import math

import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import NOT_NEGATIVE, POSITIVE, Domain, InputError
from ae_jax.training import schedules


def values(schedule, steps, name="learning_rate", base=2.0):
    hparams = {**schedule.hparams, name: base}
    return [float(schedule.apply(np.int32(step), hparams)[name]) for step in steps]


def test_warmup_cosine():
    schedule = training.warmup_cosine(10, warmup_steps=4, final_fraction=0.1)
    # Rising by quarters to step 4; half a cosine from 4 to 10, half-way at 7; then constant.
    expected = [0.0, 0.5, 1.0, 1.5, 2.0, 2 * 0.55, 2 * 0.1, 2 * 0.1]
    np.testing.assert_allclose(values(schedule, [0, 1, 2, 3, 4, 7, 10, 25]), expected, rtol=1e-6)
    third = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 3))
    np.testing.assert_allclose(values(schedule, [6]), [2 * third], rtol=1e-6)


def test_warmup_cosine_without_warmup_starts_at_the_full_value():
    assert values(training.warmup_cosine(10), [0]) == [2.0]
    np.testing.assert_allclose(values(training.warmup_cosine(10), [10]), [0.0], atol=1e-7)


def test_warmup():
    schedule = training.warmup(4, name="fade")
    assert values(schedule, [0, 1, 3, 4, 9], name="fade") == [0.0, 0.5, 1.5, 2.0, 2.0]
    assert values(training.warmup(0), [0, 1]) == [2.0, 2.0]


def test_ramp():
    # a capacity: C t / T, and C from T on
    ramp = training.ramp(4, "capacity")
    assert values(ramp, [0, 1, 2, 4, 8], "capacity", 25.0) == [0, 6.25, 12.5, 25, 25]
    falling = training.ramp(2, "beta", start=10.0)
    assert values(falling, [0, 1, 2, 3], "beta", 4.0) == [10, 7, 4, 4]
    assert values(training.ramp(0, "beta"), [0, 1], "beta") == [2, 2]
    assert falling.hparams == {"beta_ramp_steps": 2, "beta_ramp_start": 10.0}
    assert falling.domains == {"beta_ramp_steps": NOT_NEGATIVE, "beta_ramp_start": NOT_NEGATIVE}
    for start in (math.nan, -1.0):
        with pytest.raises(InputError, match=f"start is {start}: use 0 or more"):
            training.ramp(2, "beta", start=start)


def test_geometric():
    # a relaxation's temperature, max(0.5, exp(-r t)) from 1
    rate, steps = 0.1, [0, 1, 3, 6, 7, 20]
    cooled = training.geometric(np.log(2) / rate, "temperature")
    expected = np.maximum(0.5, np.exp(-rate * np.array(steps)))
    np.testing.assert_allclose(values(cooled, steps, "temperature", 0.5), expected, rtol=1e-6)
    rising = training.geometric(2, "beta", start=0.25)
    np.testing.assert_allclose(values(rising, [0, 1, 2, 3], "beta", 4.0), [0.25, 1, 4, 4])
    assert values(training.geometric(0, "beta"), [0, 1], "beta") == [2, 2]
    assert rising.hparams == {"beta_geometric_steps": 2, "beta_geometric_start": 0.25}
    assert rising.domains == {
        "beta_geometric_steps": NOT_NEGATIVE,
        "beta_geometric_start": POSITIVE,
    }
    for start in (0.0, math.nan):
        with pytest.raises(InputError, match=f"start is {start}: use more than 0"):
            training.geometric(2, "beta", start=start)


def test_step_decay():
    schedule = training.step_decay(3, 0.5)
    expected = [2.0, 2.0, 1.0, 1.0, 0.5]
    np.testing.assert_allclose(values(schedule, [0, 2, 3, 5, 6]), expected, rtol=1e-6)


def test_another_hyperparameter_can_be_scheduled():
    schedule = training.step_decay(1, 0.5, name="beta")
    assert values(schedule, [2], name="beta", base=8.0) == [2.0]


HPARAMS = {"learning_rate": 0.1, "beta": 4.0}


def test_all_learning_rates_are_scheduled_alike():
    one = training.warmup_cosine(100, warmup_steps=10, final_fraction=0.1)
    all_rates = training.all_rates(one)
    assert (all_rates.hparams, all_rates.domains) == (one.hparams, one.domains)
    hparams = {"learning_rate": 0.5, "critic_learning_rate": 0.2, "weight": 3.0, **one.hparams}
    for step in (0, 5, 40, 100):
        factor = one.apply(step, {**hparams, "learning_rate": 1.0})["learning_rate"]
        found = all_rates.apply(step, hparams)
        np.testing.assert_allclose(found["learning_rate"], 0.5 * factor, rtol=1e-6)
        np.testing.assert_allclose(found["critic_learning_rate"], 0.2 * factor, rtol=1e-6)
        assert all(found[name] == hparams[name] for name in ("weight", *one.hparams))


def test_the_numbers_of_a_schedule_carry_the_name_of_what_it_schedules():
    """Two of a kind: each falls to a fraction of its own."""
    both = [
        training.warmup_cosine(10, 2, final_fraction=1e-4),
        training.warmup_cosine(10, 5, final_fraction=1.0, name="beta"),
        training.step_decay(3, name="beta"),
    ]
    own = schedules.numbers(both, HPARAMS)
    assert own == {
        "learning_rate_warmup_steps": 2,
        "learning_rate_final_fraction": 1e-4,
        "learning_rate_cosine_steps": 10,
        "beta_warmup_steps": 5,
        "beta_final_fraction": 1.0,
        "beta_cosine_steps": 10,
        "beta_decay_every": 3,
        "beta_decay_factor": 0.1,
    }
    found = {**HPARAMS, **own}
    for schedule in both[:2]:
        found = schedule.apply(np.int32(10), found)
    np.testing.assert_allclose(found["learning_rate"], 1e-5, rtol=1e-6)
    np.testing.assert_allclose(found["beta"], 4.0, rtol=1e-6)


def test_what_is_no_schedule_is_refused():
    for wrong, said in (
        (training.warmup(9), "schedules is a Schedule: use .* a list of them"),
        ([training.warmup], r"schedules\[0\] is the function warmup: call it"),
        ([training.warmup(9), None], r"schedules\[1\] is a NoneType: use what"),
        ([schedules.Schedule({}, lambda step: {})], "a schedule fails: .* takes 1 positional"),
    ):
        with pytest.raises(InputError, match=said):
            schedules.numbers(wrong, HPARAMS)


@pytest.mark.parametrize("wrong", ["many", None, [3], 1j, 10**400])
def test_a_number_of_a_schedule_is_one(wrong, toy, images):
    options = {"schedules": [training.warmup(wrong)], "batch_size": 3, "dry": True}
    with pytest.raises(InputError, match=r"^learning_rate_warmup_steps must be a finite number"):
        training.run(toy, images(9), training.grid(), 5, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([training.warmup_cosine(9), training.warmup_cosine(9)], "share .*_cosine_steps: give"),
        ([schedules.Schedule({"beta": 1.0}, lambda step, h: h)], "share the hyperparameter beta"),
        ([training.step_decay(9, name="gamma")], "needs the hyperparameter gamma, .*: its own are"),
        ([schedules.Schedule({}, lambda step, h: {**h, "new": 1.0})], "adds or drops .* new"),
        ([schedules.Schedule({}, lambda step, h: {"beta": 1.0})], "adds or drops .* learning_rate"),
    ],
)
def test_schedules_that_do_not_fit_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        schedules.numbers(given, HPARAMS)


def rates_of(result, lane):
    """The learning rate that the last step of a lane was given."""
    return training.lane(result, lane)[1].last_rate


def test_a_schedules_own_numbers_can_be_swept(toy, images):
    schedule = training.warmup_cosine(20, warmup_steps=2)
    lanes = training.grid(learning_rate_warmup_steps=[2, 8], learning_rate=[0.1, 0.2])
    result = training.run(toy, images(100), lanes, 5, batch_size=40, schedules=[schedule])
    assert result.compilations == 1
    cosine = 0.5 * (1 + math.cos(math.pi * 2 / 18))  # step 4 is the last
    expected = [0.1 * cosine, 0.2 * cosine, 0.1 * 4 / 8, 0.2 * 4 / 8]
    np.testing.assert_allclose([rates_of(result, i) for i in range(4)], expected, rtol=1e-6)


@pytest.mark.parametrize("chunk", [2, 100])
def test_a_scheduled_run_equals_learning_rates_applied_by_hand(toy, images, chunk):
    dataset = images(100)
    result = training.run(
        toy,
        dataset,
        training.grid(noise=0.0, learning_rate=[0.1, 0.0]),
        6,
        batch_size=100,
        chunk=chunk,
        schedules=[training.step_decay(2, 0.5)],
    )
    mean = dataset.fetch(dataset.arrays, np.arange(100))["image"].reshape(100, -1).mean(axis=0)
    weights = training.lane(result, 1)[1].weights  # as at the start
    for rate in (0.1, 0.1, 0.05, 0.05, 0.025, 0.025):
        weights = weights - rate * (weights - mean)
    np.testing.assert_allclose(training.lane(result, 0)[1].weights, weights, rtol=1e-5, atol=1e-6)


def test_schedules_that_do_not_go_together_are_refused_before_training(toy, images):
    twice = [training.warmup_cosine(5), training.warmup_cosine(3)]
    unknown = [training.step_decay(2, name="beta")]
    for chosen, message in [(twice, "share the hyperparameter"), (unknown, "needs .* beta")]:
        with pytest.raises(InputError, match=message):
            training.run(toy, images(100), training.grid(), 5, batch_size=40, schedules=chosen)


def real(step):
    return jnp.asarray(step, jnp.result_type(float))


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (
            lambda step: 1.0 - step / 2,
            "at step 4 a schedule has learning_rate at -1 in lane 0",
        ),
        (
            lambda step: 1 / (step - 3.0) ** 2,
            "at step 3 a schedule has learning_rate at inf in lane 0",
        ),
        (lambda step: (step - 2.0) ** 0.5, "at step 0 a schedule has learning_rate at nan in lane"),
        (lambda step: step * 1.0, None),  # from 0, which the domain leaves out
    ],
)
def test_a_scheduled_value_stays_in_its_domain(rate, said, toy, images):
    chosen = schedules.Schedule({}, lambda step, h: {**h, "learning_rate": rate(real(step))})
    declared = toy._replace(domains={**toy.domains, "learning_rate": POSITIVE})
    given = (declared, images(9), training.grid(learning_rate=[0.1, 0.2]), 5)
    options = {"batch_size": 3, "schedules": [chosen], "dry": True}
    if said is None:
        training.run(*given, **options)
    else:
        with pytest.raises(InputError, match=f"^{said}"):
            training.run(*given, **options)


def test_each_lane_is_looked_at_over_the_whole_run_and_whole_numbers_passed_between(toy, images):
    """The numbers of one lane alone leave the domain, after many steps."""
    declared = toy._replace(domains={**toy.domains, "noise": Domain(0, 100, whole=True)})

    def run(drop, steps):
        falls = schedules.Schedule(
            {"drop": 0.0}, lambda step, h: {**h, "noise": h["noise"] - h["drop"] * real(step)}
        )
        lanes = training.grid(noise=[100.0], drop=drop)
        training.run(declared, images(9), lanes, steps, batch_size=3, schedules=[falls], dry=True)

    run([0.001, 0.01], 10_001)
    with pytest.raises(InputError, match=r"^at step 10001 .* noise at -0.0.* lane 1: use a whole"):
        run([0.001, 0.01], 10_002)
