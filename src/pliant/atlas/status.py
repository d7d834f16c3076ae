"""The table of an atlas in the terminal, as JSON, and as comma-separated values."""

import csv
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pliant.atlas import numbers
from pliant.atlas.rows import rows
from pliant.atlas.states import LOOKS, status_of
from pliant.atlas.store import Store

_COLUMNS = ("estimator", "T", "gradient", "z", "SNR", "run", "compile", "memory", "verdict")
_WIDTH_OF_A_FILE = 180


# One line a cell: its setting, its first component and the observable against the truth, the figures of merit, the cost.
_CSV_COLUMNS = (
    *("system", "dynamics", "estimator", "options", "dt", "horizon", "burn_in", "replicas", "state", "verdict"),
    *("parameter", "value", "standard_error", "truth", "truth_error", "z_score", "snr"),
    *("observable", "observable_error", "observable_z"),
    *("tail_index", "norm_stability", "effective_dimension", "bias", "order"),
    *("seconds", "compile_seconds", "bytes", "why"),
)


def show(folder: Path, as_json: bool = False, as_csv: bool = False) -> None:
    """Print the table of the atlas in `folder`."""
    store = Store.open(folder)
    table, title = rows(store), store.specification()["title"]
    store.close()
    if as_json:
        print(json.dumps(table, indent=1, allow_nan=False))
        return
    if as_csv:
        writer = csv.DictWriter(sys.stdout, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_flat, table))
        return
    # A table that goes to a file is not to be folded to the width of a terminal that is not there.
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    Console(width=width).print(rendered(title, table))


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    """A row of one level: numbers to six digits, the options and whatever speaks against the cell as text."""
    first, finest = (entry.get("components") or [{}])[0], (entry.get("bias") or [{}])[-1]
    observable = entry.get("observable") or {}
    why = entry.get("reason") or entry.get("error") or " ".join(entry.get("reasons", []))
    options = " ".join(f"{key}={value}" for key, value in entry["options"].items())
    row = {**entry, **(entry.get("figures") or {}), "parameter": first.get("parameter"), "options": options, "why": why}
    row |= {"bias": finest.get("difference"), "order": finest.get("order"), "observable": observable.get("value")}
    row |= {"observable_error": observable.get("standard_error"), "observable_z": observable.get("z_score")}
    return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}


def rendered(title: str, table: list[dict[str, Any]]) -> RenderableType:
    """The whole table, a section for every system under every dynamics, and the counts."""
    grid = Table(title=Text(title), title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in _COLUMNS:
        grid.add_column(column, justify="left" if column in ("estimator", "verdict") else "right")
    for place, entries in _sections(table).items():
        grid.add_row()
        grid.add_row(Text(" · ".join(place), style="bold cyan", no_wrap=True))
        for entry in entries:
            grid.add_row(*_cells(entry))
    return Group(grid, Text(), _counts(table))


def _sections(table: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    sections: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in table:
        sections.setdefault((entry["system"], entry["dynamics"]), []).append(entry)
    return sections


def _cells(entry: dict[str, Any]) -> list[str | Text]:
    look = LOOKS[status_of(entry)]
    verdict = Text(f"{look.sign} {look.word}", style=look.style)
    if entry["state"] != "done":
        why = entry.get("reason") or entry.get("error") or ""
        return [_name(entry), str(entry["horizon"]), *[""] * 6, verdict.append(f" {why}", style="dim")]
    return [
        _name(entry),
        str(entry["horizon"]),
        numbers.with_error(entry["value"], entry["standard_error"]),
        numbers.signed(entry["z_score"]),
        numbers.plain(entry["snr"]),
        numbers.seconds(entry["seconds"]),
        numbers.seconds(entry["compile_seconds"]),
        numbers.size(entry["bytes"]),
        verdict,
    ]


def _name(entry: dict[str, Any]) -> Text:
    return Text(f"  {entry['estimator']}")


def _counts(table: list[dict[str, Any]]) -> Text:
    counts = Counter(status_of(entry) for entry in table)
    text = Text(f"{len(table)} cells:")
    for key, look in LOOKS.items():
        if counts[key]:
            text.append(f"  {look.sign} {counts[key]} {look.word}", style=look.style)
    return text
