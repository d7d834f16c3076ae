"""The table in the terminal and as JSON."""

import csv
import io
import json

import atlas_fakes
import pytest
from rich.console import Console

from pliant.atlas import numbers, status
from pliant.atlas.rows import finite
from pliant.atlas.store import Store, driver_lock

CONFIG = """
[atlas]
title = "a [bold] title"
[[block]]
systems = ["well"]
dynamics = ["Brownian", "Verlet"]
estimators = ["Pathwise", "Score", "Broken"]
"""


@pytest.fixture
def folder(tmp_path):
    return atlas_fakes.run(atlas_fakes.atlas_of(CONFIG), tmp_path, workers=1)


def test_json_is_strict_and_complete(folder, capsys):
    status.show(folder, as_json=True)
    refuse = pytest.fail
    rows = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert [row["state"] for row in rows] == ["done", "done", "failed", "done", "not_applicable", "failed"]
    assert all({"id", "state", "system", "dynamics", "estimator", "dt", "horizon", "seed"} <= set(row) for row in rows)
    for row in rows:
        if row["state"] == "done":
            first = row["components"][0]
            assert [row[k] for k in ("value", "standard_error", "z_score")] == [
                first[k] for k in ("value", "standard_error", "z_score")
            ]
        else:
            assert row.get("reason") or row.get("error")


def test_csv_has_a_line_a_cell(folder, capsys):
    status.show(folder, as_csv=True)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["state"] for row in rows] == ["done", "done", "failed", "done", "not_applicable", "failed"]
    store = Store.open(folder)
    for row, (_, result) in zip(rows, store.records(), strict=True):
        if row["state"] == "done":
            assert float(row["value"]) == pytest.approx(result["value"], rel=1e-5)
            assert float(row["observable"]) == pytest.approx(result["observable"]["value"], rel=1e-5)
            assert row["parameter"] == "potential.a"
            assert (row["bias"], row["order"]) == (("0.0001", "2") if row["estimator"] == "Pathwise" else ("", ""))
        else:
            assert row["value"] == "" and row["why"]
    store.close()


def test_numbers_that_are_not_finite_become_null(tmp_path, capsys):
    atlas = atlas_fakes.atlas_of(CONFIG)
    store = Store.create(tmp_path, atlas, {})
    result = atlas_fakes.result(atlas.cells[0]) | {"value": float("nan"), "snr": float("inf")}
    store.finish(atlas.cells[0], result)
    store.close()
    status.show(tmp_path, as_json=True)
    first, second = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)[:2]
    assert (first["value"], first["snr"], first["state"]) == (None, None, "done")
    assert second["state"] == "pending"
    status.show(tmp_path)
    printed = capsys.readouterr().out
    assert "not finite" in printed and "pending" in printed
    assert finite({"a": [float("nan"), 1.5, {"b": float("-inf")}], "c": True}) == {
        "a": [None, 1.5, {"b": None}],
        "c": True,
    }


def test_the_terminal_shows_every_cell_and_takes_no_text_for_markup(folder, capsys):
    status.show(folder)
    printed = capsys.readouterr().out
    assert "a [bold] title" in printed
    for word in (
        "A Dirac delta".lower(),
        "FloatingPointError",
        "well · Brownian",
        "6 cells",
        "not applicable",
        "failed",
    ):
        assert word in printed.lower() or word in printed


def test_a_cell_runs_only_while_a_driver_does(tmp_path):
    atlas = atlas_fakes.atlas_of(CONFIG)
    store = Store.create(tmp_path, atlas, {})
    store.start(atlas.cells[0])
    with driver_lock(tmp_path):
        assert [result["state"] for _, result in store.records()][:2] == ["running", "pending"]
    assert store.records()[0][1]["state"] == "pending"
    store.close()


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.23456, 0.0123, "1.235 ± 0.012"),
        (-0.5, 0.25, "−0.50 ± 0.25"),
        (1234.5, 67.8, "1234 ± 68"),
        (1.5e-7, 2e-9, "(1.500 ± 0.020)e−7"),
        (1.5e9, 2e8, "(1.50 ± 0.20)e9"),
        (0.1, 40.0, "0 ± 40"),
        (2.0, 0.0, "2 ± 0"),
        (None, None, "not finite"),
        (1.0, None, "1 ± not finite"),
    ],
)
def test_a_value_has_the_digits_that_its_error_allows(value, error, text):
    assert numbers.with_error(value, error) == text


def test_units():
    assert [numbers.seconds(t) for t in (0.0123, 2.5, 1200, None)] == ["12.3 ms", "2.5 s", "20 min", "–"]
    assert [numbers.size(n) for n in (0, 999, 1500, 2.5e9, None)] == ["0 B", "999 B", "1.5 kB", "2.5 GB", "–"]
    shown = ["+1.2", "−0.4", "+250", "+3e+05", "–"]
    assert [numbers.signed(z) for z in (1.23, -0.44, 250.0, 2.6e5, None)] == shown
    console = Console(record=True, width=80)
    console.print(numbers.plain(-1.5))
    assert "−1.5" in console.export_text()
