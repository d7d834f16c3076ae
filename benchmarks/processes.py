"""What needs processes of its own: the import, several devices, and how often the compiler runs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from _measure import Row


def rows() -> Iterator[Row]:
    """The import, two devices against one, and the second call."""
    yield _import_row()
    yield _devices_row()
    yield _compilations_row()


def _import_row(rounds: int = 5) -> Row:
    seconds = [[_seconds(f"import {name}") for name in ("jax", "pliant")] for _ in range(rounds)]
    jax_time, pliant_time = np.min(seconds, axis=0)
    ratio = float(pliant_time / jax_time)
    measured = f"{ratio:.2f}x ({1e3 * pliant_time:.0f} / {1e3 * jax_time:.0f} ms)"
    return Row("import pliant over import jax", "<= 1.5x", measured, ratio <= 1.5)


def _seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


_CALLS = """
import json, time, jax, jax.numpy as jnp, pliant
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
    return estimate.cost["seconds"]
"""

_DEVICES = """
for devices in (1, 2):
    call(1.0, 0, devices)
print(json.dumps([[call(1.0, 0, devices) for devices in (1, 2)] for _ in range(9)]))
"""

_COMPILATIONS = """
call(1.0, 0, 1)
before = len(compiled)
call(1.5, 1, 1)
print(json.dumps([before, len(compiled) - before]))
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


def _compilations_row() -> Row:
    first, second = _answer(_COMPILATIONS)
    return Row("compilations at the second call of `gradient`", "0", f"{second} (first call: {first})", second == 0)
