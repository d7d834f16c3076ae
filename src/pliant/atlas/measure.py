"""What a computation costs: seconds of running apart from seconds of compiling, and bytes."""

import dataclasses
import pathlib
import resource
import sys
import time
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.extend.backend
import jax.monitoring

_COMPILE = "/jax/core/compile/"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one call cost.

    Parameters
    ----------
    seconds
        Wall-clock time less the time of compiling.
    compile_seconds
        Time that JAX spent on tracing, lowering and compiling; zero where it reused a compilation.
    bytes
        Memory of the largest program that ran, its arguments and results included.
    bytes_source
        `"xla"` where XLA said how much memory its program takes; `"peak"` where that is not known and the growth of
        the peak of the process stands in for it, a lower bound where an earlier call in the process took more.
    """

    seconds: float
    compile_seconds: float
    bytes: int
    bytes_source: str

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return dataclasses.asdict(self)


# What a group of cells was measured to take when its programs were compiled: later cells compile nothing.
_KNOWN_BYTES: dict[Hashable, int] = {}


def measured(call: Callable[[], Any], group: Hashable) -> tuple[Any, Cost]:
    """The result of `call` and what it cost; calls of one `group` share their compiled programs.

    JAX reports every interval that it spends on compiling; what is left of the wall clock is running. A second call
    to tell the two apart would double the cost of every cell.
    """
    intervals = _CompileIntervals()
    before, peak = {id(program): program for program in _executables()}, process_peak()
    start = time.perf_counter()
    jax.monitoring.register_event_duration_secs_listener(intervals)
    try:
        result = jax.block_until_ready(call())
    finally:
        jax.monitoring.unregister_event_duration_listener(intervals)
    wall = time.perf_counter() - start
    new = [_bytes_of(program) for program in _executables() if id(program) not in before]
    if new:
        # Small programs around the large one may be compiled anew where that is not.
        _KNOWN_BYTES[group] = max([*new, _KNOWN_BYTES.get(group, 0)])
    found = _KNOWN_BYTES.get(group)
    size, source = (process_peak() - peak, "peak") if found is None else (found, "xla")
    compiling = intervals.total()
    return result, Cost(max(wall - compiling, 0.0), compiling, size, source)


class _CompileIntervals:
    """Collects when JAX compiled; intervals nest, since tracing one function compiles others, so their union counts."""

    def __init__(self):
        self._spans: list[tuple[float, float]] = []

    def __call__(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event.startswith(_COMPILE):
            now = time.perf_counter()
            self._spans.append((now - duration_secs, now))

    def total(self) -> float:
        total, reached = 0.0, -float("inf")
        for start, end in sorted(self._spans):
            total += max(end - max(start, reached), 0.0)
            reached = max(reached, end)
        return total


def _executables() -> list[Any]:
    return list(getattr(jax.extend.backend.get_backend(), "live_executables", list)())


def _bytes_of(program: Any) -> int:
    memory = program.get_compiled_memory_stats()
    sizes = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return sizes - memory.alias_size_in_bytes


def process_peak() -> int:
    """Bytes of memory that this process has held at its peak.

    On Linux the resource usage of a process starts from the peak of the one that started it, even across `exec`; the
    high-water mark of its address space does not, so that one is read where there is one.
    """
    status = pathlib.Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    # macOS counts in bytes, the others in kibibytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
