"""Which rows are the best."""

import numpy as np

from ae_jax import experiment


def test_best_settings_are_chosen_by_means_over_sound_seeds():
    def lane(model, rate, value, status="ok"):
        return {"model": model, "rate": rate, "value": value, "status": status}

    rows = [
        lane("a", 0.1, -3.0),
        lane("a", 0.1, -1.0),
        lane("a", 0.2, -9.0),  # has the best seed, and the worse mean
        lane("a", 0.2, 1.0),
        lane("a", 0.3, 7.0, "frozen"),
        lane("b", 0.1, float("nan")),
        lane("b", 0.2, -50.0),
        lane("c", None, float("nan")),
    ]
    found = experiment.best_settings(rows, ("model", "rate"), ("model",), "value")
    assert found == [rows[0], rows[1], rows[6], rows[7]]
    found = experiment.best_settings(rows, ("model", "rate"), ("model",), "value", least=True)
    assert found == [rows[2], rows[3], rows[6], rows[7]]


def test_rows_of_several_trainings_are_numbered_as_one_table():
    parts = [{"lane": 0, "seed": 3, "loss": 1.0}, {"lane": 0, "rate": 0.1, "seed": 4}]
    found = experiment.numbered(parts, ("rate",))
    assert found == [
        {"lane": 0, "rate": None, "seed": 3, "loss": 1.0},
        {"lane": 1, "rate": 0.1, "seed": 4},
    ]
    assert [list(row)[:3] for row in found] == [["lane", "rate", "seed"]] * 2


def test_two_models_are_compared_on_the_same_examples():
    def lane(lane, model, size):
        return {"lane": lane, "model": model, "size": size}

    rows = [lane(0, "b", 4), lane(1, "b", 4), lane(2, "a", 4), lane(3, "a", 8), lane(4, "b", 9)]
    figures = {0: np.array([1.0, 3.0]), 1: np.array([3.0, 5.0]), 2: np.array([0.0, 2.0])}
    found = experiment.paired(rows, figures, "model", "size")
    # means over seeds 2 and 4, less 0 and 2: 2 for both examples
    assert found == {4: (2.0, 0.0)}
    assert experiment.paired(rows[:2], figures, "model", "size") == {}


def test_rows_are_found_by_their_values():
    rows = [{"a": 1, "b": None}, {"a": 1, "b": 2}, {"a": 2, "b": 2}]
    assert experiment.where(rows, a=1, b=2) == [rows[1]]
    assert experiment.where(rows, b=None) == [rows[0]]
    assert experiment.where(rows) == rows
