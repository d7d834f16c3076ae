"""The score of the discrete path density, followed along a trajectory: what all likelihood-ratio estimators share."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from pliant.core import trees
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Problem
from pliant.core.laws import State
from pliant.core.observable import leaves_seen
from pliant.core.rollout import Rollout


def of_path(problem: Problem, rollout: Rollout) -> tuple[Array, PyTree, PyTree, Array | None]:
    """Of one trajectory: its observable, its score, the score of its initial state, and whether it was cut short."""
    observable = problem.observable
    fixed: Any = problem.law()

    def begin(law: Any, state: State) -> PyTree:
        tracker = start(problem, state)
        return tracker[1], tracker, observable.start(law, state)

    def update(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        initial, tracker, folded = carry
        tracker = step(problem, tracker, state, noise, after, t)
        return initial, tracker, observable.update(folded, law, after, t + 1)

    initial, (_, score), folded = rollout.fold(fixed, begin, update)
    return observable.result(folded), score, initial, observable.unfinished(folded)


# The score is tracked as ((memory, its derivative by every parameter), score); without memory both are empty.


def start(problem: Problem, state: State) -> tuple[tuple[PyTree, Array], PyTree]:
    def density(parameters: PyTree) -> tuple[Array, tuple[Array, PyTree]]:
        law: Any = problem.law(parameters)
        memory, log_density = law.path_start(state)
        return jnp.asarray(log_density, trees.state_dtype(state)), memory

    score, memory = jax.grad(density, has_aux=True)(problem.parameters)
    flat, unravel = ravel_pytree(problem.parameters)
    tangents = jax.jacfwd(lambda p: ravel_pytree(density(unravel(p))[1])[0])(flat)
    return (memory, tangents.T), score


def step(problem: Problem, tracker: PyTree, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
    (memory, tangents), score = tracker

    def density(memory: PyTree, parameters: PyTree) -> tuple[PyTree, Array]:
        law: Any = problem.law(parameters)
        return law.path_step(memory, state, noise, after, t)

    if not jax.tree.leaves(memory):
        gained = jax.grad(lambda p: density(memory, p)[1])(problem.parameters)
        return (memory, tangents), jax.tree.map(jnp.add, score, gained)
    memory, tangents, gained = _through_memory(density, memory, tangents, problem.parameters)
    return (memory, tangents), jax.tree.map(jnp.add, score, gained)


def _through_memory(density: Any, memory: PyTree, tangents: Array, parameters: PyTree) -> tuple[PyTree, Array, PyTree]:
    """One step of forward mode: the memory depends on the parameters through all the path so far."""
    flat, unravel = ravel_pytree(parameters)
    held, restore = ravel_pytree(memory)

    def flat_density(held: Array, flat: Array) -> tuple[Array, Array]:
        memory, gained = density(restore(held), unravel(flat))
        return ravel_pytree(memory)[0], gained

    def along(tangent: Array, direction: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        return jax.jvp(flat_density, (held, flat), (tangent, direction))

    (after, _), (moved, gained) = jax.vmap(along, out_axes=((None, None), (0, 0)))(
        tangents, jnp.eye(flat.size, dtype=flat.dtype)
    )
    return restore(after), moved, unravel(gained)


def refuse_singular(problem: Problem, estimator: str) -> None:
    law: Any = problem.law()
    for name in law.path_singular:
        if jax.tree.leaves(getattr(problem.parameters, name, None)):
            raise NotApplicable(
                f"`{estimator}` cannot differentiate with respect to `{name}` of {type(law).__name__}: it moves the set of "
                "paths that are possible at all, so that path laws at two values are mutually singular; select other "
                "parameters with `wrt`, or use BPTT or ForwardSensitivity."
            )


def refuse_uncovered(problem: Problem, estimator: str) -> None:
    law: Any = problem.law()
    if law.path_covers is None:
        return
    for field in sorted(_fields_seen(problem) - set(law.path_covers)):
        raise NotApplicable(
            f"`{estimator}` on this {type(law).__name__} has a path density of {law.path_covers[0]}s alone, but the observable "
            f"sees `{field}`: the phase-space law of the scheme is singular; observe positions, or use OBABO or ABOBA."
        )


def _fields_seen(problem: Problem) -> set[str]:
    """The fields of the state that the observable's fold depends on."""
    law: Any = problem.law()
    state = trees.strong(law.init(jax.random.key(0)))
    fields = [trees.first_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    return {field for field, used in zip(fields, leaves_seen(problem.observable, law, state), strict=True) if used}
