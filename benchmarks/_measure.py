"""Times side by side: contestants take turns, and what is reported are medians of ratios inside one process."""

import dataclasses
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

Run = Callable[[], object]


@dataclasses.dataclass
class Row:
    """A line of the table. `passed` is None where the line is for information, or could not be measured."""

    name: str
    goal: str
    measured: str
    passed: bool | None = None


class Times:
    """Seconds per round of every contestant, compilation left out."""

    def __init__(self, contestants: dict[str, Run], rounds: int = 15, repeats: int = 3):
        for run in contestants.values():
            jax.block_until_ready(run())
        # The best of a few runs in a row: the first one finds the caches as the previous contestant left them.
        rows = [[min(_seconds(run) for _ in range(repeats)) for run in contestants.values()] for _ in range(rounds)]
        self.seconds = dict(zip(contestants, np.transpose(rows), strict=True))

    def ratio(self, slower: str, faster: str) -> float:
        """The median over rounds of one contestant's time over another's."""
        return float(np.median(self.seconds[slower] / self.seconds[faster]))

    def milliseconds(self, name: str) -> float:
        """The median time of a contestant."""
        return 1e3 * float(np.median(self.seconds[name]))

    def at_least(self, name: str, slower: str, faster: str, goal: float | None, unit: str = "") -> Row:
        """A row that asks for a speed-up, or that tells of one."""
        ratio = self.ratio(slower, faster)
        measured = f"{ratio:.2f}x{self._detail(slower, faster)}{unit}"
        return Row(name, "", measured) if goal is None else Row(name, f">= {goal:g}x", measured, ratio >= goal)

    def at_most(self, name: str, slower: str, faster: str, goal: float) -> Row:
        """A row that limits a cost."""
        ratio = self.ratio(slower, faster)
        return Row(name, f"<= {goal:g}x", f"{ratio:.2f}x{self._detail(slower, faster)}", ratio <= goal)

    def _detail(self, slower: str, faster: str) -> str:
        return f" ({self.milliseconds(slower):.3g} / {self.milliseconds(faster):.3g} ms)"


def _seconds(run: Run) -> float:
    started = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - started


def missing(names: list[str], goal: str, why: str) -> Iterator[Row]:
    """Rows for what is not there to be measured."""
    return (Row(name, goal, f"not available: {why}") for name in names)
