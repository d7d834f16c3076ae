"""The compiled program behind `pliant.gradient` and `pliant.expectation`, without what both do before and after it."""

from collections.abc import Callable
from typing import Any

import jax

from pliant.core import engine, prepare
from pliant.core.estimator import Estimator
from pliant.core.expectation import ForwardRun
from pliant.core.laws import Evolve
from pliant.core.observable import Observable


class Program:
    """One chunk of replicas on one device, compiled ahead; calling it runs it.

    `estimator=None` runs forward alone. `temporary` is the memory, in bytes, that the program takes beside its
    arguments and results.
    """

    def __init__(
        self,
        law: Evolve,
        observable: Observable,
        estimator: Estimator | None = None,
        *,
        horizon: int = 1000,
        replicas: int = 1024,
        wrt: Callable = lambda law: law.potential,
    ):
        ready = observable.at_horizon(horizon)
        problem = prepare.problem(law, ready, wrt) if estimator else prepare.forward_problem(law, ready)
        chosen = (estimator or ForwardRun()).at_horizon(problem, horizon)
        settings = prepare.settings(problem, chosen, horizon, replicas, jax.random.key(0), 1e10, "fused", 1)
        run, self._arguments = engine.program(problem, chosen, settings)
        self._compiled = jax.jit(run).lower(*self._arguments).compile()

    def __call__(self) -> Any:
        return self._compiled(*self._arguments)

    @property
    def temporary(self) -> int:
        """Bytes of temporary memory, as XLA has planned them."""
        return self._compiled.memory_analysis().temp_size_in_bytes
