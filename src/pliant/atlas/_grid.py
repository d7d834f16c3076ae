"""How the cells of an atlas lie in a matrix: systems x dynamics down, estimators across, settings within."""

import dataclasses
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Grid:
    """The cells of an atlas in the order of the configuration.

    Parameters
    ----------
    sections
        For every system the dynamics under which it was asked for.
    estimators
        All estimators.
    entries
        The cells of every (system, dynamics, estimator); the first one stands for them in the matrix.
    """

    sections: dict[str, list[str]]
    estimators: list[str]
    entries: dict[tuple[str, str, str], list[Row]]


def grid(rows: list[Row]) -> Grid:
    """The grid of a table of cells; an estimator with several sets of options has a column for each."""
    column = _columns(rows)
    sections: dict[str, list[str]] = {}
    entries: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        dynamics = sections.setdefault(row["system"], [])
        if row["dynamics"] not in dynamics:
            dynamics.append(row["dynamics"])
        entries.setdefault((row["system"], row["dynamics"], column(row)), []).append(row)
    return Grid(sections, list(dict.fromkeys(map(column, rows))), entries)


def _columns(rows: list[Row]) -> Callable[[Row], str]:
    """What names the column of a cell: its estimator, with its options where the atlas has it with others too."""
    asked: dict[str, set[str]] = {}
    for row in rows:
        asked.setdefault(row["estimator"], set()).add(_options(row))

    def name(row: Row) -> str:
        several = len(asked[row["estimator"]]) > 1
        return f"{row['estimator']} {_options(row)}".strip() if several else row["estimator"]

    return name


def _options(row: Row) -> str:
    return ", ".join(
        f"{value}" if isinstance(value, str) else f"{key} {value}" for key, value in row["options"].items()
    )


def differing(rows: list[Row]) -> list[str]:
    """What tells cells of one combination apart, in the shortest words: `T = 500`, or every axis that differs."""
    axes = {"horizon": "T", "dt": "dt", "replicas": "replicas", "burn_in": "burn-in", "precision": ""}
    varying = [axis for axis in axes if len({row[axis] for row in rows}) > 1]
    # A burn-in that is a fraction of the horizon follows it and says nothing more.
    if len({row["horizon"] for row in rows}) == len(rows):
        varying = ["horizon"]
    return [", ".join(f"{axes[axis]} {row[axis]:g}".strip() for axis in varying) for row in rows]
