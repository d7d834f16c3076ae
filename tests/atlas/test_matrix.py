"""The matrix in small runs: every estimator on every dynamics ends with a number or with a reason in physics."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

import pliant.dynamics
import pliant.estimators
from pliant.atlas import config, report
from pliant.atlas.rows import rows
from pliant.atlas.store import Store

# Words of the same letters as BAOAB and OBABO; and chains on whole numbers, which the configuration `discrete` has.
_APART = {"Langevin", "ABOBA", "LatticeWalk", "BirthDeath"}
# Differentiates the likelihood of data, which is no average along a trajectory: the matrix has its reason alone.
_OF_DATA = {"ContrastiveDivergence"}


def names(package) -> set[str]:
    """The classes of a package of components."""
    return {name for name, found in package.components().items() if isinstance(found, type)}


def test_both_forms_hold_everything():
    quick, full = (config.load(config.find(name)) for name in ("matrix_quick", "matrix"))
    assert {cell.estimator for cell in quick.cells} == {cell.estimator for cell in full.cells}
    assert {cell.estimator for cell in full.cells} == names(pliant.estimators)
    assert {cell.dynamics for cell in quick.cells} == names(pliant.dynamics) - _APART


def test_the_committed_table_is_that_of_the_full_form():
    page = Path(__file__).parents[2] / "docs" / "atlas" / "matrix.csv"
    with page.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    keys = ("system", "dynamics", "estimator", "horizon", "replicas")
    cells = config.load(config.find("matrix")).cells
    assert sorted(tuple(row[key] for key in keys) for row in table) == sorted(
        tuple(str(getattr(cell, key)) for key in keys) for cell in cells
    )
    assert {row["state"] for row in table} == {"done", "not_applicable"}


@pytest.mark.slow
def test_the_quick_matrix_runs(tmp_path):
    command = [sys.executable, "-m", "pliant", "atlas", "run", "matrix_quick", "--out", str(tmp_path), "--workers", "1"]
    subprocess.run(command, check=True, capture_output=True)
    store = Store.open(tmp_path)
    table = rows(store)
    store.close()
    assert [(row["id"], row.get("error")) for row in table if row["state"] not in ("done", "not_applicable")] == []
    assert all(len(row["reason"]) > 40 for row in table if row["state"] == "not_applicable")
    # Every estimator has a dynamics that it serves, and every dynamics estimators; so few trajectories are seldom trusted.
    done = [row for row in table if row["state"] == "done"]
    assert {row["estimator"] for row in done} == {row["estimator"] for row in table} - _OF_DATA
    assert {row["dynamics"] for row in done} == {row["dynamics"] for row in table}
    # Whatever is trusted is right: for these few cells, an error beyond four standard errors is no chance.
    trusted = [row for row in done if row["verdict"] == "trusted"]
    assert trusted
    assert [row["id"] for row in trusted if row["z_score"] is not None and abs(row["z_score"]) > 4] == []
    assert report.write(tmp_path).stat().st_size > 1_000_000
