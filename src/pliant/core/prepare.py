"""From a user's arguments to a problem and the settings of its run."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from pliant.core import engine, scout, trees, validate
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Balance, Evolve, Law
from pliant.core.noise import declared
from pliant.core.observable import Observable
from pliant.core.rollout import block_length


def forward_problem(law: Law, observable: Observable) -> Problem:
    """The problem without parameters."""
    nothing, rest = eqx.partition(law, lambda _: False)
    return Problem(nothing, rest, observable)


def problem(law: Law, observable: Observable, pick: Callable) -> Problem:
    """The problem with the parameters that `pick` selects set apart."""
    parameters, rest = eqx.partition(law, trees.select(law, pick))
    return Problem(parameters, rest, observable)


def through(law: Law, wrt: Callable | None) -> Callable:
    """`wrt` as the engine sees the law: a weight is wrapped in its sampler."""
    chosen = (lambda tree: tree) if wrt is None else wrt
    if isinstance(law, Evolve | Balance):
        return chosen
    return lambda sampled: chosen(sampled.weigh)


def stated(law: Law, observable: Observable, estimator: Estimator, wrt: Callable | None) -> tuple[Problem, Callable]:
    """The problem that a user's arguments state, and what takes the user's subtree from its gradient."""
    validate.observable_and_estimator(observable, estimator)
    simulation, pick = validate.simulation(law), through(law, wrt)
    stated = problem(simulation, observable, pick)
    reason = observable.refusal(estimator)
    if reason is not None:
        raise NotApplicable(f"`{type(estimator).__name__}` cannot differentiate {type(observable).__name__}: {reason}")
    return stated, pick


def simulated(problem: Problem, estimator: Estimator, horizon: int | None) -> tuple[Problem, Estimator, int]:
    """Problem and estimator made ready for a horizon, each checked against the other; and the horizon, checked too."""
    steps = validate.positive_whole("horizon", horizon)
    ready = dataclasses.replace(problem, observable=problem.observable.at_horizon(steps))
    estimator.check(ready)
    return ready, estimator.at_horizon(ready, steps), steps


def settings(
    problem: Problem,
    estimator: Estimator,
    horizon: int,
    replicas: int | None,
    key: PRNGKeyArray | None,
    memory: float,
    generator: str,
    devices: int | None,
) -> engine.Settings:
    """How the problem is run, after every check that can be made before the run."""
    law: Any = problem.law()
    replicas, key = validate.positive_whole("replicas", replicas), validate.prng_key(key)
    scout.check_start(law, key)
    scout.check_shapes(law, problem.observable, key)
    state = eqx.filter_eval_shape(lambda law, key: law.init(key), law, key)
    carry = eqx.filter_eval_shape(lambda o, law, state: o.start(law, state), problem.observable, law, state)
    size = sum(leaf.size for leaf in declared(law.noise))
    bytes_each = estimator.memory(engine.nbytes(state), engine.nbytes(carry), horizon)
    count = engine.count_devices(devices) if replicas > 1 else 1
    work = float(replicas) * horizon * max(size, engine.nbytes(state) / 8)
    chunk = engine.chunk_size(replicas, bytes_each, validate.memory_budget(memory), count, work)
    block = block_length(horizon, size, -(-chunk // count))
    return engine.Settings(horizon, replicas, key, chunk, count, block, validate.noise_generator(generator))
