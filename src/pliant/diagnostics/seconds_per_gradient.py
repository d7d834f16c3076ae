"""The time that a gradient takes."""

import time
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from pliant.core.estimator import Estimator
from pliant.core.laws import Evolve
from pliant.core.observable import Observable
from pliant.diagnostics._program import gradient_program


def seconds_per_gradient(
    law: Evolve,
    observable: Observable,
    estimator: Estimator,
    *,
    horizon: int,
    replicas: int,
    key: PRNGKeyArray | None = None,
    wrt: Callable | None = None,
    repeats: int = 7,
) -> tuple[float, float]:
    """Wall-clock seconds of one gradient over `replicas` replicas on one device, and their spread.

    The median of `repeats` runs of the compiled program and half the distance between their quartiles. Compilation,
    checks and the averaging over replicas are left out: what remains is what grows with horizon and replicas. Where
    memory cuts the replicas into chunks, one chunk is timed and counted as often as there are chunks.

    Arguments and errors are those of `pliant.gradient`. Cost: one compilation and `repeats` + 1 runs.

    Source: medians and quartiles of repeated runs, as in Hoefler and Belli, Scientific benchmarking of parallel computing
    systems, SC15 (2015).
    """
    key = jax.random.key(0) if key is None else key
    run, arguments, chunk = gradient_program(law, observable, estimator, horizon, replicas, key, wrt)
    compiled = jax.jit(run).lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    seconds = [_seconds(compiled, arguments) for _ in range(repeats)]
    low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75]) * -(-replicas // chunk)
    return float(middle), float((high - low) / 2)


def _seconds(compiled: Callable, arguments: tuple) -> float:
    started = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    return time.perf_counter() - started
