"""The explicit derivative: how an observable depends on parameters at a fixed trajectory."""

from collections.abc import Callable

import jax
from jaxtyping import PyTree

from pliant.core.estimator import Problem
from pliant.core.laws import State
from pliant.core.rollout import Rollout
from pliant.core.trees import stop_gradient


def of_term(problem: Problem, state: State) -> PyTree:
    """The derivative of an additive observable's term at a fixed state; free where the law does not enter."""
    return jax.jacrev(lambda p: problem.observable.term(problem.law(p), state))(problem.parameters)


def of_trajectory(problem: Problem, rollout: Rollout, start: Callable[[PyTree], State] | None = None) -> PyTree:
    """The derivative of any observable at a fixed trajectory, in checkpointed reverse mode.

    `start`: the initial state as a function of the parameters, where what the observable sees of it is to move too.
    """
    fixed = stop_gradient(problem.law())

    def observe(parameters: PyTree) -> PyTree:
        live, observable = problem.law(parameters), problem.observable

        def begin(law: PyTree, state: State) -> PyTree:
            return observable.start(live, state if start is None else start(parameters))

        def update(carry: PyTree, law: PyTree, state: State, noise: PyTree, after: State, t: PyTree) -> PyTree:
            return observable.update(carry, live, after, t + 1)

        return observable.result(rollout.fold(fixed, begin, update, checkpoint=True))

    return jax.jacrev(observe)(problem.parameters)
