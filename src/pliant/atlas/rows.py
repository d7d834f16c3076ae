"""The table of an atlas as plain data, the same for the terminal, for JSON and for the report."""

import math
from typing import Any

from pliant.atlas.cells import Cell
from pliant.atlas.store import Store


def rows(store: Store) -> list[dict[str, Any]]:
    """One dictionary a cell in the order of the configuration: `id`, `state`, the setting, and what came of it.

    Numbers that are not finite are None, because JSON has no word for them; the reasons of the verdict name them.
    """
    return [row(cell, result) for cell, result in store.records()]


def row(cell: Cell, result: dict[str, Any]) -> dict[str, Any]:
    """The row of one cell."""
    setting = cell.as_dict()
    del setting["atlas_seed"]
    return finite({"id": cell.id, "state": result["state"], **setting, "seed": cell.seed, **result})


def finite(value: Any) -> Any:
    """The same tree of lists and dictionaries with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
