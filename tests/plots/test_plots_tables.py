import math

import pytest

from ae_jax.plots import gains, history, mean_table, unpivoted

ROWS = [
    {"lane": 0, "rate": 0.1, "seed": 0, "way": "tuned", "status": "ok", "accuracy": 90.0},
    {"lane": 1, "rate": 0.1, "seed": 1, "way": "tuned", "status": "ok", "accuracy": 80.0},
    {"lane": 2, "rate": 0.1, "seed": 0, "way": "scratch", "status": "ok", "accuracy": 85.0},
    {"lane": 3, "rate": 0.1, "seed": 1, "way": "scratch", "status": "ok", "accuracy": 70.0},
]


def test_history_gives_records_the_settings_of_their_lanes():
    records = [
        {"lane": 1, "step": 10, "split": "validation", "accuracy": 60.0},
        {"lane": 1, "step": 10, "split": "train", "accuracy": 65.0},
        {"lane": 7, "step": 10, "split": "validation", "accuracy": 1.0},
        {"lane": 0, "step": 20, "split": "validation", "loss": 2.0},
    ]
    first, second = history(records, ROWS)
    assert first == {**ROWS[1], **records[0]}
    assert first["accuracy"] == 60.0  # the record's, not that at the end
    assert second == {**ROWS[0], **records[3]}
    assert history(records, ROWS, "train") == [{**ROWS[1], **records[1]}]


def test_a_table_has_the_means_of_each_group_in_the_order_of_its_rows():
    rows = [{**row, "way": row["way"].upper(), "loss": row["lane"]} for row in ROWS[::-1]]
    rows[0]["status"] = "frozen"  # lane 3: its 70 is in no mean
    rows += [{"lane": 4, "seed": 0, "way": "OTHER", "status": "ok", "accuracy": None, "loss": 7.0}]
    table = mean_table(rows, lambda row: row["way"], {"loss": "nats", "accuracy": "percent"})
    assert list(table) == ["SCRATCH", "TUNED", "OTHER"]
    assert table["SCRATCH"]["percent"][::2] == (85.0, 1)
    assert table["TUNED"]["percent"][0] == 85.0
    assert table["TUNED"]["percent"].spread == pytest.approx(math.sqrt(50))
    assert list(table["TUNED"]) == ["nats", "percent"]
    assert list(table["OTHER"]) == ["nats"]  # no row has the other column
    plain = mean_table(rows, lambda row: row["way"], ["loss", "kl"])
    assert plain == {way: {"loss": cells["nats"]} for way, cells in table.items()}
    assert list(mean_table([{"kl": 1.0}], lambda row: "a", ["kl"])["a"]) == ["KL"]


def test_gains_are_differences_within_a_seed():
    found = gains(ROWS, "accuracy", ("rate", "seed"), lambda row: row["way"] == "scratch")
    assert [(row["lane"], row["gain"]) for row in found] == [(0, 5.0), (1, 10.0)]
    frozen = [*ROWS[:3], {**ROWS[3], "status": "frozen"}]
    found = gains(frozen, "accuracy", ("rate", "seed"), lambda row: row["way"] == "scratch")
    assert [row["lane"] for row in found] == [0]  # lane 1 has nothing to compare with


def test_columns_of_one_quantity_become_rows():
    rows = [{"lane": 0, "at_1": 5.0, "at_10": 7.0}, {"lane": 1, "at_1": 6.0, "at_10": None}]
    found = unpivoted(rows, {"at_1": 1, "at_10": 10}, "samples", "bound")
    assert found == [
        {**rows[0], "samples": 1, "bound": 5.0},
        {**rows[0], "samples": 10, "bound": 7.0},
        {**rows[1], "samples": 1, "bound": 6.0},
    ]
