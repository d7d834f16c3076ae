"""A dask cluster as an executor."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from pliant.atlas.errors import MissingLibrary, SchedulerError

_CONNECT_SECONDS = 30


@contextmanager
def connected(address: str) -> Iterator[tuple[Executor, int]]:
    """The executor of the dask scheduler at `address`, and how many cells it can run at once.

    The workers must have this library installed. A cell past its limit cannot be stopped there: its worker is lost
    to the run.

    Raises `SchedulerError` where the scheduler does not answer or has no workers, and
    `MissingLibrary` without `distributed`.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingLibrary("`--scheduler` needs dask's distributed: pip install 'pliant[cluster]'.") from None
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise SchedulerError(f"no dask scheduler answers at {address}: {error}.") from None
    with client:
        width = _threads(client)
        if not width:
            raise SchedulerError(f"the dask scheduler at {address} has no workers; start some and run again.")
        # A cell is pure, but dask would hand back its own memory of an earlier run instead of measuring.
        yield client.get_executor(pure=False), width


def _threads(client: Any) -> int:
    return sum(client.nthreads().values())
