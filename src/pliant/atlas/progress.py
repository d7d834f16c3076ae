"""The progress bar of a run."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pliant.atlas.cells import Cell
from pliant.atlas.states import LOOKS, status_of

_OPEN = ("pending", "running")


@contextmanager
def progress_bar(states: list[str]) -> Iterator[Callable[[Cell, dict[str, Any]], None]]:
    """A bar over all cells, those of an earlier run counted as done; it yields what to call with every result."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    counts: Counter[str] = Counter()
    before = sum(state not in _OPEN for state in states)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("atlas", total=len(states), completed=before, counts="")

        def watch(cell: Cell, result: dict[str, Any]) -> None:
            counts[status_of(result)] += 1
            bar.update(task, advance=1, counts=_words(counts))

        yield watch


def _words(counts: Counter[str]) -> str:
    return "  ".join(f"[{LOOKS[key].style}]{LOOKS[key].sign} {counts[key]}[/]" for key in LOOKS if counts[key])
