"""What needs processes of its own: the import, several devices, and how often the compiler runs."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
from _measure import Row


def rows() -> Iterator[Row]:
    """The import, two devices against one, and the second call."""
    yield from _import_rows()
    yield _devices_row()
    yield from _second_call()


def _import_rows(rounds: int = 7) -> Iterator[Row]:
    """In seconds of the processor, which other processes disturb less than those of the clock."""
    names = {"import pliant": "import pliant", "all of its core": "from pliant import gradient"}
    seconds = [[_seconds(code) for code in ("import jax", *names.values())] for _ in range(rounds)]
    base, *times = np.min(seconds, axis=0)
    for name, taken, goal in zip(names, times, (1.5, None), strict=True):
        measured = f"{taken / base:.2f}x ({1e3 * taken:.0f} / {1e3 * base:.0f} ms)"
        limit, passed = (f"<= {goal:g}x", bool(taken <= goal * base)) if goal else ("", None)
        yield Row(f"{name}, over import jax", limit, measured, passed)


def _seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


_CALLS = """
import json, jax, jax.numpy as jnp, pliant
from pliant.dynamics import BAOAB
from pliant.estimators import BPTT
from pliant.observables import Final
from pliant.potentials import DoubleWell

compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
)

def call(a, seed, devices):
    law = BAOAB(DoubleWell(a=jnp.array(a), b=jnp.array(0.0)), x0=jnp.zeros(1), dt=0.01, kT=1.0)
    observable = Final(lambda state: jnp.sum(state.position ** 2))
    key = jax.random.key(seed)
    estimate = pliant.gradient(
        law, observable, BPTT(), horizon=2000, replicas=4096, key=key, progress=False, devices=devices,
        wrt=lambda law: law.potential,
    )
    return estimate.cost
"""

_DEVICES = """
for devices in (1, 2):
    call(1.0, 0, devices)
print(json.dumps([[call(1.0, 0, devices)["seconds"] for devices in (1, 2)] for _ in range(9)]))
"""

_COMPILATIONS = """
call(1.0, 0, 1)
before = len(compiled)
costs = [call(1.5 + 0.1 * i, i, 1) for i in range(5)]
print(json.dumps([before, len(compiled) - before, min(c["total_seconds"] - c["seconds"] for c in costs)]))
"""


def _answer(code: str, **environment: str) -> list:
    environment = {**os.environ, **environment}
    run = [sys.executable, "-c", _CALLS + code]
    return json.loads(subprocess.run(run, check=True, capture_output=True, text=True, env=environment).stdout)


def _devices_row() -> Row:
    seconds = np.array(_answer(_DEVICES, XLA_FLAGS="--xla_force_host_platform_device_count=2"))
    ratio = float(np.median(seconds[:, 0] / seconds[:, 1]))
    measured = f"{ratio:.2f}x ({1e3 * np.median(seconds[:, 0]):.3g} / {1e3 * np.median(seconds[:, 1]):.3g} ms)"
    return Row("BPTT of 4096 replicas: one host device over two", ">= 1x", measured, ratio >= 1)


def _second_call() -> Iterator[Row]:
    first, later, beside = _answer(_COMPILATIONS)
    measured = f"{later} (first call: {first})"
    yield Row("compilations at later calls of `gradient` with new values", "0", measured, later == 0)
    yield Row("a later call of `gradient`: time beside the run itself", "", f"{1e3 * beside:.0f} ms")
