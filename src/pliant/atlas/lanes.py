"""Where cells run: lanes that carry one cell at a time, over processes of this machine or over any executor."""

import abc
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from typing import Any

from pliant.atlas.cells import Cell

Execute = Callable[[Cell], dict[str, Any]]


class Lane(abc.ABC):
    """A place that carries one cell at a time."""

    @abc.abstractmethod
    def submit(self, call: Callable[..., dict[str, Any]], *arguments: Any) -> Future:
        """Begin a call; nothing else may be under way in this lane."""

    @abc.abstractmethod
    def recover(self) -> bool:
        """Make the lane free again after its cell ran past the limit or its worker died; False where it is lost."""

    @abc.abstractmethod
    def hopeless(self) -> str | None:
        """Why a new worker would be of no use after one died; None where it is worth trying."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give back what the lane holds, at once."""


class ProcessLane(Lane):
    """A worker process of its own, so that killing it, or its death, costs no cell but its own.

    The process is spawned, because a fork of a process that runs JAX's threads can deadlock.
    """

    def __init__(self):
        self._pool: ProcessPoolExecutor | None = None
        self._pid: Future[int] | None = None

    def submit(self, call: Callable[..., dict[str, Any]], *arguments: Any) -> Future:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=_prepare_worker)
            self._pid = self._pool.submit(os.getpid)
        return self._pool.submit(call, *arguments)

    def recover(self) -> bool:
        self.close()
        return True

    def hopeless(self) -> str | None:
        if self._pid is None or self._pid.exception() is None:
            return None
        return (
            "a worker process cannot start. A script that calls `run` must do so under `if __name__ == '__main__':`, "
            "since every worker imports that script."
        )

    def close(self) -> None:
        if self._pool is None or self._pid is None:
            return
        pool, pid, self._pool, self._pid = self._pool, self._pid, None, None
        try:
            _kill(pid.result())
        except BrokenExecutor:
            pass  # The worker died before it could say its number: there is nothing to kill.
        pool.shutdown(wait=True, cancel_futures=True)


class SharedLane(Lane):
    """A share of an executor that somebody else holds, a cluster's for example.

    Nobody can stop a call there: a cell past its limit is left behind, and with it the worker that it occupies.
    """

    def __init__(self, executor: Executor):
        self._executor = executor
        self._current: Future | None = None

    def submit(self, call: Callable[..., dict[str, Any]], *arguments: Any) -> Future:
        self._current = self._executor.submit(call, *arguments)
        return self._current

    def recover(self) -> bool:
        current, self._current = self._current, None
        return current is None or current.cancel()

    def hopeless(self) -> str | None:
        return (
            "the executor broke. What is finished is kept: run again with a new executor, or with the workers of this "
            "machine, which are replaced where they die."
        )

    def close(self) -> None:
        if self._current is not None:
            self._current.cancel()


def local(workers: int) -> list[Lane]:
    """Lanes over processes of this machine; processes start with their first cell."""
    return [ProcessLane() for _ in range(workers)]


def over(executor: Executor, width: int) -> list[Lane]:
    """Lanes over any executor, as many as it has workers, so that a cell never waits with its clock running."""
    return [SharedLane(executor) for _ in range(width)]


def _prepare_worker() -> None:
    # Two processes that share two cores were measured 2.3 to 3.5 times faster with one XLA thread each than with
    # XLA's default of one per core, and one process alone 2.3 times: steps of a simulation are too short to share.
    os.environ.setdefault("NPROC", "1")
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # A driver that is killed outright cannot stop its workers; they would hold the machine for nobody.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _kill(pid: int) -> None:
    for child in multiprocessing.active_children():
        if child.pid == pid:
            child.kill()
            child.join()
