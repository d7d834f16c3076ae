"""The compiled program behind `pliant.gradient`, for the figures that say what it costs."""

from collections.abc import Callable

from jaxtyping import PRNGKeyArray

from pliant.core import engine, prepare
from pliant.core.estimator import Estimator
from pliant.core.laws import Evolve
from pliant.core.observable import Observable

MEMORY = 1e9


def gradient_program(
    law: Evolve,
    observable: Observable,
    estimator: Estimator,
    horizon: int,
    replicas: int,
    key: PRNGKeyArray,
    wrt: Callable | None,
) -> tuple[Callable, tuple, int]:
    """A function of arrays that runs one chunk of replicas on one device, its arguments, and the size of the chunk."""
    problem, _ = prepare.stated(law, observable, estimator, wrt)
    problem, ready, steps = prepare.simulated(problem, estimator, horizon)
    settings = prepare.settings(problem, ready, steps, replicas, key, MEMORY, "fused", 1)
    return *engine.program(problem, ready, settings), settings.chunk
