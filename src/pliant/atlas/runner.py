"""The driver: hands cells to lanes, watches the clock, and alone writes what comes back."""

import dataclasses
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import Any

from pliant.atlas.cells import Cell
from pliant.atlas.errors import RunError
from pliant.atlas.lanes import Execute, Lane
from pliant.atlas.store import Store

Watcher = Callable[[Cell, dict[str, Any]], None]

_TRACE_LINES = 24
_LONGEST_WAIT = 60.0


def run(store: Store, lanes: list[Lane], execute: Execute, watch: Watcher = lambda cell, result: None) -> None:
    """Measure every cell of `store` that waits.

    A cell that raises is recorded as failed with its error, one that runs past its limit as a timeout; the others
    go on. `watch` is called with every cell and its result once they are stored.

    Raises `RunError` where no lane is left.
    """
    queue = _Queue(store.pending())
    idle: list[_Seat] = [_Seat(lane) for lane in lanes]
    running: dict[Future, _Seat] = {}
    try:
        while queue or running:
            while queue and idle:
                seat = idle.pop()
                store.start(seat.take(queue))
                running[seat.submit(execute)] = seat
            if not running:
                raise RunError(
                    "no worker is left: each hangs in a cell past its limit. Restart the workers and resume."
                )
            for future in _ready(running):
                seat = running.pop(future)
                cell, result, usable = seat.settle(future)
                store.finish(cell, result)
                idle += [seat] * usable
                watch(cell, result)
    finally:
        for lane in lanes:
            lane.close()


def guarded(execute: Execute, cell: Cell) -> dict[str, Any]:
    """The result of a cell, or the record of what it raised; it runs in the worker."""
    try:
        return execute(cell)
    except Exception as error:
        return failure(error, "".join(traceback.format_exception(error)))


def failure(error: BaseException, trace: str) -> dict[str, Any]:
    """The record of a failed cell: what was raised, and the tail of its traceback."""
    tail = "\n".join(trace.rstrip().splitlines()[-_TRACE_LINES:])
    return {"state": "failed", "error": f"{type(error).__name__}: {error}", "traceback": tail}


@dataclasses.dataclass(eq=False)
class _Seat:
    """A lane with the cell that it carries and when that must be done."""

    lane: Lane
    cell: Cell | None = None
    deadline: float = 0.0

    def take(self, queue: "_Queue") -> Cell:
        self.cell = queue.take(after=self.cell)
        return self.cell

    def submit(self, execute: Execute) -> Future:
        assert self.cell is not None
        self.deadline = time.monotonic() + self.cell.timeout
        return self.lane.submit(guarded, execute, self.cell)

    def settle(self, future: Future) -> tuple[Cell, dict[str, Any], bool]:
        """The cell, what came of it, and whether the lane can carry another."""
        assert self.cell is not None
        if not future.done():
            reason = f"not done after the limit of {self.cell.timeout:g} s; raise `timeout`, or shorten the horizon"
            return self.cell, {"state": "timeout", "error": reason}, self.lane.recover()
        try:
            return self.cell, future.result(), True
        except (BrokenExecutor, CancelledError) as error:
            return self._lost(error)
        except Exception as error:
            return self.cell, failure(error, "".join(traceback.format_exception(error))), True

    def _lost(self, error: BaseException) -> tuple[Cell, dict[str, Any], bool]:
        assert self.cell is not None
        reason = self.lane.hopeless()
        if reason is not None:
            raise RunError(f"{reason} (It ran {self.cell.id}; {type(error).__name__}: {error})")
        died = "the worker process died under it, killed by the system or by a fault in native code"
        return self.cell, {"state": "failed", "error": f"WorkerDied: {died}"}, self.lane.recover()


class _Queue:
    """Cells that wait, those that share a compilation together, so that one worker can serve them in a row."""

    def __init__(self, cells: Iterable[Cell]):
        self._groups: dict[tuple, deque[Cell]] = {}
        self._claimed: set[tuple] = set()
        for cell in cells:
            self._groups.setdefault(cell.group, deque()).append(cell)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def take(self, after: Cell | None) -> Cell:
        """The next cell for a worker that has just done `after`."""
        group = self._choose(None if after is None else after.group)
        self._claimed.add(group)
        cells = self._groups[group]
        cell = cells.popleft()
        if not cells:
            del self._groups[group]
        return cell

    def _choose(self, last: tuple | None) -> tuple:
        if last is not None and last in self._groups:
            return last
        fresh = (group for group in self._groups if group not in self._claimed)
        return next(fresh, None) or max(self._groups, key=lambda group: len(self._groups[group]))


def _ready(running: dict[Future, _Seat]) -> list[Future]:
    """The futures that are done or past their limit, after waiting for one."""
    nearest = min(seat.deadline for seat in running.values())
    wait(running, timeout=min(max(nearest - time.monotonic(), 0), _LONGEST_WAIT), return_when=FIRST_COMPLETED)
    now = time.monotonic()
    return [future for future, seat in running.items() if future.done() or seat.deadline <= now]
