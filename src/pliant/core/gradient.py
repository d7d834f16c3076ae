"""The one call: the gradient of what a simulation observes with respect to what it is made of."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from pliant.core import engine, prepare, scout
from pliant.core.estimate import GradientEstimate, summarise
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Law
from pliant.core.observable import Observable


def gradient(
    law: Law,
    observable: Observable,
    estimator: Estimator,
    *,
    horizon: int | None = None,
    replicas: int | None = None,
    key: PRNGKeyArray | None = None,
    wrt: Callable | None = None,
    keep_replicates: bool = False,
    memory: float = 1e9,
    generator: str = "fused",
    progress: bool = True,
    devices: int | None = None,
) -> GradientEstimate:
    """The derivative of the expected observable with respect to parameters of the law, with error bar and verdict.

    **Arguments**

    - `law`: an `Evolve`, `Weigh` or `Balance` law; its inexact array leaves are its parameters.
    - `observable`: what is measured, a fold over the trajectory; a scalar or an array of fixed shape.
    - `estimator`: how the gradient is estimated, from `pliant.estimators`.
    - `horizon`: steps; `replicas`: independent trajectories; `key`: from `jax.random.key`. Where nothing is simulated (a
      `Balance` law, a steady state solved on a grid) none of the three is needed. One replica is one long chain, whose
      error bar comes from batch means where the estimator has them.
    - `wrt`: a function of the law that selects parameters, `lambda law: law.potential`; all of them by default.
    - `keep_replicates`: keep the per-replica gradients in `.replicates`.
    - `memory`: bytes that a chunk of replicas may take, roughly; results do not depend on it.
    - `generator`: "fused" (this library's counter-based generator) or "jax" (`jax.random`).
    - `progress`: whether a bar is shown for what lasts longer than a few seconds.
    - `devices`: how many local devices to use; all by default.

    **Returns** a `GradientEstimate`: `.value` has the structure that `wrt` selects, leaves of shape
    `(*observable, *parameter)`.

    **Raises** ValueError for a bad argument, `NotApplicable` (with the physics) where the estimator cannot serve.

    Calls that differ only in key, parameter values or other array data reuse the compilation.
    """
    started = time.perf_counter()
    problem, pick = prepare.stated(law, observable, estimator, wrt)
    if estimator.solves(problem):
        return _solved(problem, estimator, pick, started)
    problem, estimator, steps = prepare.simulated(problem, estimator, horizon)
    settings = prepare.settings(problem, estimator, steps, replicas, key, memory, generator, devices)
    findings = _findings(problem, estimator, settings)
    if settings.replicas == 1:
        estimator = estimator.for_one_chain(problem)
    contribution, seconds = engine.gather(problem, estimator, settings, progress=progress)
    contribution = engine.merge_batches(contribution, estimator)
    return summarise(
        contribution,
        findings=findings + contribution.findings(),
        notes=list(_notes(problem, estimator, contribution)),
        estimator=type(estimator).__name__,
        keep=keep_replicates,
        correlated=estimator.batches is not None,
        cost={"seconds": seconds, "total_seconds": time.perf_counter() - started},
        pick=pick,
    )


def _notes(problem: Problem, estimator: Estimator, contribution: Any) -> Iterator[str]:
    """What to know of an estimate that nothing speaks against."""
    yield f"what is estimated: {estimator.describe(problem)}"
    yield from contribution.notes()
    if estimator.stationary and estimator.batches is None and not contribution.mixing():
        yield "the window of the average is too short to tell whether the chain has mixed: that is for you to know"


def _findings(problem: Problem, estimator: Estimator, settings: engine.Settings) -> list[str]:
    """What can be known before the run that speaks against trust."""
    law: Any = problem.law()
    states = scout.walk(law, jax.random.fold_in(settings.key, 0x5C0), settings.horizon)
    if len(jax.tree.leaves(states)[0]) == 0:
        return []
    found = list(scout.unstable(law, states))
    if estimator.pathwise:
        found += scout.discontinuous(problem, states)
        found += scout.biased(problem, jax.tree.map(lambda leaf: leaf[0], states))
    return found


def _solved(problem: Problem, estimator: Estimator, pick: Callable, started: float) -> GradientEstimate:
    """The gradient through one deterministic solve, whose error bar is that of the solver."""
    estimator.check(problem)
    contribution, findings = estimator.solve(problem)
    return summarise(
        contribution,
        findings=findings,
        notes=[
            f"what is estimated: {estimator.describe(problem)}",
            "nothing is simulated: the error bar is that of the solver",
        ],
        estimator=type(estimator).__name__,
        keep=False,
        correlated=False,
        cost={"total_seconds": time.perf_counter() - started},
        pick=pick,
        exact=True,
    )
