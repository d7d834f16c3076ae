"""The memory that a gradient takes."""

from collections.abc import Callable

import jax
from jaxtyping import PRNGKeyArray

from pliant.core.estimator import Estimator
from pliant.core.laws import Evolve
from pliant.core.observable import Observable
from pliant.diagnostics._program import gradient_program


def peak_memory(
    law: Evolve,
    observable: Observable,
    estimator: Estimator,
    *,
    horizon: int,
    replicas: int,
    key: PRNGKeyArray | None = None,
    wrt: Callable | None = None,
) -> int:
    """Bytes that `pliant.gradient` with these arguments takes at its peak on one device.

    They are what XLA has planned for the compiled program of one chunk of replicas: arguments, results and temporary
    arrays. Nothing is run. Python's own memory, some hundred megabytes of libraries, is not in it.

    Arguments and errors are those of `pliant.gradient`, with RuntimeError on a backend that does not tell. Cost: one
    compilation.

    Source: XLA's buffer assignment, as `jax.stages.Compiled.memory_analysis` reports it.
    """
    key = jax.random.key(0) if key is None else key
    run, arguments, _ = gradient_program(law, observable, estimator, horizon, replicas, key, wrt)
    planned = jax.jit(run).lower(*arguments).compile().memory_analysis()
    if planned is None:
        raise RuntimeError(f"The backend {jax.default_backend()!r} does not say how much memory its programs take.")
    sizes = planned.argument_size_in_bytes + planned.output_size_in_bytes + planned.temp_size_in_bytes
    return int(sizes - planned.alias_size_in_bytes)
