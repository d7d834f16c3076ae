"""The continuous adjoint: state and cotangent integrated backward along the differential equation behind a scheme.

In increments over a step, with the drift b in Stratonovich's sense and the noise path of the forward run,

    F(theta, y) = h b(theta, y) + sigma(theta, y) dW,   dy = F,   da = -(dF/dy)^T a,   dg = -(dF/dtheta)^T a,

walked from the end to the start by Heun's method, which converges to Stratonovich's solution.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from pliant.core import trees
from pliant.core.estimator import Problem
from pliant.core.laws import State
from pliant.core.noise import declared
from pliant.core.observable import leaves_seen
from pliant.core.reversal import Active, Undo, inexact


class Backsolve(Undo):
    """One step of Heun's method backward, for state, cotangent and gradient together."""

    def back(self, law: Any, after: State, noise: PyTree, t: Any) -> State:
        here = self.rebuilt(law, after)
        moved = _increment(law, after, noise, t + 1)
        again = _increment(law, eqx.combine(_minus(here, moved), after), noise, t)
        return eqx.combine(_minus(here, _mean(moved, again)), after)

    def pull(
        self, active: Active, leaves: PyTree, before: State, after: State, noise: PyTree, t: Any, cotangent: PyTree
    ) -> tuple[PyTree, PyTree]:
        here = self.rebuilt(active.law(leaves), after)
        of_here = _at_places_of(here, cotangent)

        def slopes(y: PyTree, a: PyTree, t: Any) -> tuple[PyTree, PyTree, PyTree]:
            def increment(leaves: PyTree, y: PyTree) -> PyTree:
                return _increment(active.law(leaves), eqx.combine(y, after), noise, t)

            moved, pull = jax.vjp(increment, leaves, y)
            return moved, *pull(a)

        moved, by_law, by_state = slopes(here, of_here, t + 1)
        _, by_law_again, by_state_again = slopes(_minus(here, moved), _plus(of_here, by_state), t)
        nothing = jax.tree.map(jnp.zeros_like, inexact(after))
        of_before = _plus(of_here, _mean(by_state, by_state_again))
        return _mean(by_law, by_law_again), eqx.combine(of_before, nothing)

    def rebuilt(self, law: Any, state: State) -> PyTree:
        return _at_places_of(_in_place(law.drift(state, 0), state), state)


def unseen(problem: Problem) -> set[str]:
    """Fields of the state that the observable looks at and the equation does not move: they cannot be rebuilt."""
    law = problem.law()
    state = trees.strong(law.init(jax.random.key(0)))
    fields = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    seen = {field for field, used in zip(fields, leaves_seen(problem.observable, law, state), strict=True) if used}
    moving = jax.tree_util.tree_leaves_with_path(_in_place(law.drift(state, 0), state))
    return seen - {jax.tree_util.keystr(path) for path, _ in moving}


def _increment(law: Any, state: State, noise: PyTree, t: Any) -> PyTree:
    """What the equation adds to the state over a step."""
    h, drift = law.time(1), _in_place(law.drift(state, t), state)
    if not declared(law.noise):
        return jax.tree.map(lambda b: (h * b).astype(b.dtype), drift)
    terms = drift, _correction(law, state, t), _spread(law, state, t), _in_place(law.increments(noise), state)
    return jax.tree.map(lambda b, c, s, w: (h * (b - c) + s * w).astype(b.dtype), *terms)


def _spread(law: Any, state: State, t: Any) -> PyTree:
    return _in_place(law.diffusion(state, t), state)


def _correction(law: Any, state: State, t: Any) -> PyTree:
    r"""From Itô's drift to Stratonovich's: $\frac12 \sigma_i \partial_i \sigma_i$, zero where the noise is additive."""
    flat, unravel = ravel_pytree(_at_places_of(_spread(law, state, t), state))

    def spread(flat: Array) -> Array:
        return ravel_pytree(_spread(law, eqx.combine(unravel(flat), state), t))[0]

    if not any(trees.inputs_used(spread, flat)):
        return unravel(jnp.zeros_like(flat))
    # The diagonal of the Jacobian: one tangent a coordinate.
    return unravel(0.5 * spread(flat) * jnp.diagonal(jax.jacfwd(spread)(flat)))


def _in_place(field: PyTree, state: State) -> PyTree:
    """The leaves of a drift at their places in the state, None elsewhere; a bare array stands for the first leaf."""
    places = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    found = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(field)}
    if set(found) == {""}:
        found = {places[0]: found[""]}
    return jax.tree.unflatten(jax.tree.structure(state), [found.get(place) for place in places])


def _at_places_of(places: PyTree, tree: PyTree) -> PyTree:
    """The leaves of `tree` where `places` is not None."""
    return jax.tree.map(lambda place, leaf: None if place is None else leaf, places, tree, is_leaf=lambda x: x is None)


def _plus(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _minus(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.subtract, a, b)


def _mean(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(lambda x, y: 0.5 * (x + y), a, b)
