"""What the tests of the atlas measure instead of physics: importable by the worker processes."""

import os
import time
from pathlib import Path
from typing import Any

from pliant.atlas import driver
from pliant.atlas.catalogue import Catalogue
from pliant.atlas.cells import Cell
from pliant.atlas.config import Atlas, parse

LOG = "PLIANT_TEST_EXECUTIONS"
DEFAULTS = {"dt": 0.01, "horizon": 1000, "burn_in": 100, "replicas": 64}
LAWS = ("Brownian", "Verlet")

CATALOGUE = Catalogue(
    systems={"well": {law: DEFAULTS for law in LAWS}, "ring": {"Brownian": DEFAULTS}},
    dynamics=LAWS,
    estimators={"Pathwise": ("checkpoint",), "Score": ("window", "centred"), "Slow": (), "Fatal": (), "Broken": ()},
    titles={"well": "A well & a <barrier>"},
)


def atlas_of(config: str) -> Atlas:
    """The atlas of a configuration over the catalogue of fakes."""
    return parse(config, CATALOGUE)


def run(atlas: Atlas, folder: Path, **options: Any) -> Path:
    """Measure the fakes of an atlas; the folder with the results."""
    driver.run(atlas, folder, execute=execute, progress=False, **options)
    return folder


def execute(cell: Cell) -> dict[str, Any]:
    """A measurement that depends on the cell's seed alone, or the accident that the estimator's name announces."""
    _log(cell)
    if cell.estimator == "Slow":
        time.sleep(60)
    if cell.estimator == "Fatal":
        os._exit(9)
    if cell.estimator == "Broken":
        raise FloatingPointError("the fake cell met a <NaN> & stopped")
    if (cell.dynamics, cell.estimator) == ("Verlet", "Score"):
        return {"state": "not_applicable", "reason": "a Dirac delta has no <score>"}
    time.sleep(0.02)
    return result(cell)


def result(cell: Cell) -> dict[str, Any]:
    """A record of the shape that a real measurement has."""
    noise = (cell.seed % 4001) / 1000 - 2
    error = 0.1 / cell.horizon**0.5
    headline = component("potential.a", 1.0, noise, error)
    second = component("potential.b", -0.5, -noise / 2, error)
    level = ("trusted", "imprecise", "untrusted")[cell.seed % 3]
    return {
        "state": "done",
        **{key: headline[key] for key in ("value", "standard_error", "z_score", "truth", "truth_error", "snr")},
        "truth_source": "written by hand",
        "truth_of": "discretised",
        "observable": {"value": 0.25, "standard_error": 0.01, "truth": 0.26, "truth_error": 0.0},
        "components": [headline, second],
        "bias": [_bias(dt, order) for dt, order in ((0.02, None), (0.01, 2.0))] if cell.estimator == "Pathwise" else [],
        "verdict": level,
        "reasons": [] if level == "trusted" else [f"seed {cell.seed} is <odd> & so on"],
        "seconds": 0.5 + 0.01 * cell.horizon / 100,
        "compile_seconds": 1.0,
        "bytes": 1_000_000 + 8 * cell.horizon,
    }


def _bias(dt: float, order: float | None) -> dict[str, Any]:
    """A bias of second order in dt."""
    return {"dt": dt, "difference": dt**2, "standard_error": 0.1 * dt**2, "size": 1.0, "order": order}


def component(parameter: str, truth: float, noise: float, error: float) -> dict[str, Any]:
    """One entry of a gradient that lies `noise` standard errors from its truth."""
    value = truth + noise * error
    return {
        "parameter": parameter,
        "value": value,
        "standard_error": error,
        "truth": truth,
        "truth_error": 0.0,
        "z_score": noise,
        "snr": abs(value) / error,
    }


def _log(cell: Cell) -> None:
    path = os.environ.get(LOG)
    if path:
        with Path(path).open("a", encoding="utf-8") as log:
            log.write(f"{cell.id}\n")
