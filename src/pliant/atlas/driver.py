"""A run from beginning to end: the store, the workers, the progress bar."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from pliant.atlas import lanes, runner
from pliant.atlas.cell import execute as measure
from pliant.atlas.cells import Cell
from pliant.atlas.config import Atlas
from pliant.atlas.lanes import Execute
from pliant.atlas.progress import progress_bar
from pliant.atlas.store import Store, driver_lock

_LIBRARIES = ("pliant", "jax", "jaxlib", "equinox", "numpy", "openmm")


def run(
    atlas: Atlas,
    folder: Path,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    execute: Execute = measure,
    progress: bool = True,
) -> None:
    """Measure what is missing of `atlas` in `folder`, and keep it there.

    A run that was interrupted in any way resumes: finished cells, failed ones among them, are not measured again.

    Parameters
    ----------
    atlas
        What to measure, from `pliant.atlas.config`.
    folder
        Where the store lies; it is made where it does not exist.
    workers
        How many cells run at once: one for every core of this machine by default. An executor's own number of
        workers must be given with it, since executors do not tell.
    executor
        Any `concurrent.futures.Executor`; by default every worker is a process of this machine, which alone can be
        killed where a cell runs past its limit and replaced where it dies.
    execute
        What turns a cell into its result.
    progress
        Whether to show a bar.

    Raises
    ------
    StoreError
        Where the folder holds another atlas, or another driver is at work in it.
    RunError
        Where no worker is left.
    """
    width = workers or cores()
    with driver_lock(folder), _opened(folder, atlas) as store, _shown(store, progress) as watch:
        places = lanes.local(width) if executor is None else lanes.over(executor, width)
        runner.run(store, places, execute, watch)


def versions() -> dict[str, str]:
    """The versions of the libraries on which results depend, as far as they are installed."""
    installed = {}
    for library in _LIBRARIES:
        try:
            installed[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return installed


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def _opened(folder: Path, atlas: Atlas) -> Iterator[Store]:
    store = Store.create(folder, atlas, versions())
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _shown(store: Store, wanted: bool) -> Iterator[Callable[[Cell, dict[str, Any]], None]]:
    if not wanted:
        yield lambda cell, result: None
        return
    with progress_bar([result["state"] for _, result in store.records()]) as watch:
        yield watch
