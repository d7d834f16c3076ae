"""A progress bar that shows itself only when the work lasts."""

import sys
import threading
from types import TracebackType
from typing import Any

_PATIENCE = 3.0


class Progress:
    """Counts `total` pieces of work; after three seconds a bar appears on a terminal's standard error."""

    def __init__(self, label: str, total: int, *, shown: bool = True):
        self.label, self.total, self.done = label, total, 0
        self._bar: Any = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(_PATIENCE, self._show) if shown and sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def advance(self, count: int) -> None:
        """Count pieces as done."""
        with self._lock:
            self.done += count
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self.done)

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with self._lock:
            self._bar = RichProgress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self._bar.add_task(self.label, total=self.total, completed=self.done)
            self._bar.start()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
                self._bar = None
