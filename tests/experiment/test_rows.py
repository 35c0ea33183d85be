"""Which rows are the best."""

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
