import csv
import math

import pytest

from ae_jax.core import InputError
from ae_jax.plots import aggregate, console_table, mean_curves, read_records, read_results
from ae_jax.plots.text import column, table, value


def _row(lane, beta, seed, mig, status="ok", step=None):
    return {
        "lane": lane,
        "beta": beta,
        "seed": seed,
        "status": status,
        "frozen_step": step,
        "mig": mig,
    }


ROWS = [
    _row(0, 4.0, 0, 0.1),
    _row(1, 4.0, 1, 0.2),
    _row(2, 4.0, 2, 0.6),
    _row(3, 1.0, 0, 0.5),
    _row(4, 1.0, 1, 9.0, "frozen", 7),
]


def test_aggregate_is_the_mean_and_sample_deviation_over_seeds():
    first, second = aggregate(ROWS, ["beta"])
    # In order of beta; the frozen lane is counted, and its value of 9 is in no mean.
    assert (first["beta"], first["lanes"], first["frozen"]) == (1, 2, 1)
    assert first["mig"].mean == 0.5
    assert first["mig"].count == 1
    assert math.isnan(first["mig"].spread)
    # mean (0.1 + 0.2 + 0.6) / 3 = 0.3; squares 0.04 + 0.01 + 0.09 = 0.14, over n - 1 = 2
    assert (second["lanes"], second["frozen"]) == (3, 0)
    assert second["mig"].mean == pytest.approx(0.3, rel=1e-12)
    assert second["mig"].spread == pytest.approx(math.sqrt(0.07), rel=1e-12)
    assert set(second) == {"beta", "lanes", "frozen", "mig"}


def test_aggregate_leaves_values_that_are_not_finite_out_and_counts_the_rest():
    rows = [_row(i, 1.0, i, v) for i, v in enumerate([1.0, math.nan, 3.0, math.inf, None])]
    (found,) = aggregate(rows, ["beta"])
    assert found["lanes"] == 5
    assert found["mig"][0] == 2.0
    assert found["mig"].count == 2


def test_an_estimate_is_written_with_its_spread():
    first, second = (row["mig"] for row in aggregate(ROWS, ["beta"]))
    assert f"{second:.2f}" == "0.30 ± 0.26"
    assert f"{second:+.2f}" == "+0.30 ± 0.26"
    assert f"{first:.1f}" == "0.5"  # of one seed


def test_mean_curves_are_aggregates_by_label():
    rows = [{**row, "step": 10, "way": "a"} for row in ROWS]
    rows += [{**row, "step": 20, "way": "a", "mig": 1.0} for row in ROWS]
    rows += [{**row, "step": 10, "way": "b", "mig": 2.0} for row in ROWS[:1]]
    curves = mean_curves(rows, "step", "mig", lambda row: row["way"])
    assert list(curves) == ["a", "b"]
    x, mean, spread = curves["a"]
    assert x == [10, 20]
    assert mean == pytest.approx([0.35, 1.0])  # (0.1 + 0.2 + 0.6 + 0.5) / 4: one is frozen
    assert spread == pytest.approx([math.sqrt(0.17 / 3), 0.0])
    assert curves["b"][:2] == ([10], [2.0])


def test_aggregate_of_frozen_lanes_only_has_no_mean():
    (found,) = aggregate([_row(0, 1.0, 0, math.nan, "frozen", 1)], ["beta"])
    assert found["frozen"] == 1
    assert found["mig"].count == 0
    assert math.isnan(found["mig"].mean)


def test_aggregate_does_not_average_a_hyperparameter_it_is_not_grouped_by():
    rows = [{"lane": 0, "beta": 1.0, "rate": 0.1, "seed": 0, "status": "ok", "loss": 2.0}]
    assert set(aggregate(rows, ["beta"])[0]) == {"beta", "lanes", "frozen", "loss"}


def test_aggregate_names_the_columns_there_are():
    with pytest.raises(InputError, match=r"no column 'bta'.*beta"):
        aggregate(ROWS, ["bta"])
    assert aggregate([], ["beta"]) == []


def test_results_read_from_csv_aggregate_as_the_rows_themselves(tmp_path):
    path = tmp_path / "results.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in ROWS)
    assert read_results(path) == ROWS
    with open(path, newline="") as file:  # strings, "4.0" among them, are numbers too
        assert aggregate(list(csv.DictReader(file)), ["beta"])[1] == aggregate(ROWS, ["beta"])[1]


def test_records_survive_a_line_cut_short_by_a_kill(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": null, "kl": NaN}\n{"step": 2, "lo')
    (record,) = read_records(path)
    assert record["step"] == 1
    assert math.isnan(record["loss"])  # JSON's null, what was not finite
    assert math.isnan(record["kl"])
    assert math.isnan(record["loss"])
    path.write_text('{"st\n{"step": 2}\n')
    with pytest.raises(InputError, match="line 1"):
        read_records(path)


def test_numbers_are_written_for_a_reader():
    assert [value(v) for v in (1.0, 0.001, 1e-5, 1e12, "relu", (400, 200), True, None)] == [
        "1", "0.001", "1e\N{MINUS SIGN}5", "1e12", "relu", "(400, 200)", "True", "none",
    ]  # fmt: skip
    # Even decimals, from the largest value written out; a diverged lane does not decide.
    assert column([123.456, -2.5, math.nan, None, 3e20]) == [
        "123.5", "\N{MINUS SIGN}2.5", "NaN", "\N{EN DASH}", "3.00e20",
    ]  # fmt: skip
    assert column([1, 20]) == ["1", "20"]
    summary = aggregate(ROWS, ["beta"])
    assert table(summary)["mig"] == ["0.500", "0.300 ± 0.265"]
    assert table(summary)["beta"] == ["1", "4"]
    assert table(ROWS)["frozen_step"] == [*4 * ["\N{EN DASH}"], "7"]


def test_console_table_has_a_line_per_row_of_even_width():
    lines = console_table(aggregate(ROWS, ["beta"])).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["beta", "lanes", "frozen", "mig"]
