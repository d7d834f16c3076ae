"""Forward runs alone: the expected observable with its error bar."""

import equinox as eqx
import numpy as np
from jaxtyping import PRNGKeyArray

from pliant.core import engine, prepare, validate
from pliant.core.averages import BATCHES, in_batches
from pliant.core.contributions import Contribution, Forward
from pliant.core.estimate import Estimate, estimate_of
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Law
from pliant.core.observable import Additive, Observable
from pliant.core.rollout import Rollout


class ForwardRun(Estimator):
    """The observable of a trajectory, without a gradient; `cut`: batches of one long chain."""

    cut: int | None = eqx.field(static=True, default=None)

    @property
    def batches(self) -> int | None:
        return self.cut

    def for_one_chain(self, problem: Problem) -> "ForwardRun":
        observable = problem.observable
        return ForwardRun(BATCHES if isinstance(observable, Additive) and observable.spread >= 2 * BATCHES else None)

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        observable = problem.observable
        if self.cut is None or not isinstance(observable, Additive):
            value, (_, unfinished) = problem.observe(rollout, problem.parameters)
            return Forward(value, unfinished)
        return Forward(in_batches(rollout, problem.law(), observable, observable.term, self.cut))


def expectation(
    law: Law,
    observable: Observable,
    *,
    horizon: int,
    replicas: int,
    key: PRNGKeyArray,
    keep_replicates: bool = False,
    memory: float = 1e9,
    generator: str = "fused",
    progress: bool = True,
    devices: int | None = None,
) -> Estimate:
    """The expectation of an observable, `.value` and `.standard_error`, from forward runs alone.

    Arguments and errors are those of `gradient`. One replica is one long chain: a time average then takes its error
    bar from the means of 64 batches, widened by what correlation is left between them; other observables of a single
    replica have none (nan).
    """
    validate.of_type("observable", observable, Observable, "pliant.observables")
    evolution = validate.evolving(law)
    steps = validate.positive_whole("horizon", horizon)
    problem = prepare.forward_problem(evolution, observable.at_horizon(steps))
    run = ForwardRun()
    settings = prepare.settings(problem, run, steps, replicas, key, memory, generator, devices)
    if settings.replicas == 1:
        run = run.for_one_chain(problem)
    contribution, _ = engine.gather(problem, run, settings, progress=progress)
    values = np.asarray(engine.merge_batches(contribution, run).observable)
    return estimate_of(values, correlated=run.batches is not None, keep=keep_replicates)
