"""A trajectory walked backward: its states are rebuilt from the last one, and cotangents ride along.

Forward, one state is kept at the start of every segment of so many steps. Backward, a segment's states are rebuilt from
its end with the noise drawn again, and the start that was kept takes the place of the rebuilt one; how far the two are
apart is measured. Memory is that of the kept states, whatever happens between them.

The carry of the observable is not rebuilt. It need not be where the derivative of `update` does not depend on it, as in
every sum over states: `carry_matters` tells.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from pliant.core.blocks import Blocks
from pliant.core.estimator import Problem
from pliant.core.laws import Evolve, State
from pliant.core.rollout import Rollout
from pliant.core.trees import inputs_used, strong

# A block's states are kept while it is walked back; drawing noise for more steps at once is no faster.
_BLOCK = 20
# Every part of a state that is kept costs array operations of its own. From this many parts on, rebuilding and pulling
# in one loop is cheaper, though XLA on a CPU then computes more of it twice.
_MANY_PARTS = 6


class Reversed(eqx.Module):
    """What the walk back found.

    **Fields**: `value`, `unfinished` of the observable; `gradient`: leaves of shape `(*obs, *parameter)`; `missed`: the
    largest distance between a state that was rebuilt and the one that was kept; `size`: the largest norm of those.
    """

    value: Float[Array, "*obs"]
    unfinished: Float[Array, ""] | None
    gradient: PyTree
    missed: Float[Array, ""]
    size: Float[Array, ""]


class Active(eqx.Module):
    """The prepared law in two parts: leaves that the parameters may move are an argument, the others are held."""

    held: PyTree

    def law(self, leaves: PyTree) -> Any:
        """The law with `leaves` in their places."""
        return eqx.combine(leaves, self.held)


class Undo(eqx.Module):
    """How a step is walked back: first the states of a block, then the cotangents along them.

    Two loops, because XLA on a CPU computes every output of a loop's body from its beginning; one, for states of many
    parts.
    """

    def ahead(self, law: Any, before: State, noise: PyTree, t: Any) -> State:
        """From `x_t` to `x_{t+1}`."""
        return strong(law.step(before, noise, t))

    @abc.abstractmethod
    def back(self, law: Any, after: State, noise: PyTree, t: Any) -> State:
        """From `x_{t+1}` to `x_t`."""

    @abc.abstractmethod
    def pull(
        self, active: Active, leaves: PyTree, before: State, after: State, noise: PyTree, t: Any, cotangent: PyTree
    ) -> tuple[PyTree, PyTree]:
        """From the cotangent of `x_{t+1}`: those of the law's leaves and of `x_t`."""

    def rebuilt(self, law: Any, state: State) -> PyTree:
        """The part of a state that is rebuilt, None elsewhere."""
        return inexact(state)


def reverse(problem: Problem, rollout: Rollout, undo: Undo, every: int) -> Reversed:
    """Observable and gradient of one trajectory, its reverse walked by `undo` over segments of `every` steps."""
    leaves, active, to_parameters = _prepare(problem)
    walk = _Walk(problem.observable, rollout, active, undo, *_spacing(rollout, every))
    value, unfinished, gradient, *measured = walk.there_and_back(leaves)
    (gradient,) = _each(value.size, to_parameters)(gradient)
    shaped = jax.tree.map(lambda g, p: g.reshape(value.shape + p.shape), gradient, problem.parameters)
    return Reversed(value, unfinished, shaped, *measured)


def carry_matters(problem: Problem, state: State) -> bool:
    """Whether the derivative of the observable's `update` depends on the carry that it is given."""
    observable, law = problem.observable, problem.law()
    if observable.last_only:
        return False
    carry = strong(observable.start(law, state))
    ones = jax.tree.map(jnp.ones_like, inexact(carry))

    def slopes(carry: PyTree) -> PyTree:
        return _pull_update(observable, lambda p: problem.law(p), problem.parameters, carry, state, 1)(ones)

    return any(inputs_used(slopes, carry))


def inexact(tree: PyTree) -> PyTree:
    """The floating point leaves of a tree, None elsewhere: what has a derivative."""
    return eqx.filter(tree, eqx.is_inexact_array)


def _prepare(problem: Problem) -> tuple[PyTree, Active, Callable]:
    """The leaves of the prepared law that parameters may move, the rest of it, and the pull-back to parameters."""
    constants = {id(leaf) for leaf in jax.tree.leaves(problem.rest)}

    def split(parameters: PyTree) -> tuple[PyTree, PyTree]:
        law = problem.law(parameters).prepared()
        return eqx.partition(law, lambda leaf: eqx.is_inexact_array(leaf) and id(leaf) not in constants)

    leaves, to_parameters = jax.vjp(lambda parameters: split(parameters)[0], problem.parameters)
    return strong(leaves), Active(split(problem.parameters)[1]), to_parameters


def _spacing(rollout: Rollout, every: int) -> tuple[int, int]:
    """Steps per block of noise and per segment: whole pairs of steps, whole blocks."""
    every = max(min(every, rollout.horizon + rollout.horizon % 2), 2)
    block = min(rollout.block, every, _BLOCK)
    block -= block % 2
    return block, every // block * block


def _each(components: int, pull: Callable) -> Callable:
    """A pull-back of one cotangent, for one of every component of the observable along a leading axis."""
    # A batch axis of length one makes XLA write slower loops.
    return pull if components == 1 else jax.vmap(pull)


def _pull_update(observable: Any, law_of: Callable, leaves: PyTree, carry: PyTree, state: State, t: Any) -> Callable:
    """The pull-back of one update of the carry, to the law, the carry and the state."""
    held_carry, held_state = (eqx.filter(tree, eqx.is_inexact_array, inverse=True) for tree in (carry, state))

    def update(leaves: PyTree, carry: PyTree, state: PyTree) -> PyTree:
        before, here = eqx.combine(carry, held_carry), eqx.combine(state, held_state)
        return inexact(strong(observable.update(before, law_of(leaves), here, t)))

    return jax.vjp(update, leaves, inexact(carry), inexact(state))[1]


class _Walk(eqx.Module):
    """One trajectory, forward and back."""

    observable: Any
    rollout: Rollout
    active: Active
    undo: Undo
    block: int
    every: int

    def there_and_back(self, leaves: PyTree) -> tuple:
        """Value, share unfinished, gradient by `leaves`; how far states were missed, and their size."""
        law = self.active.law(leaves)
        state, carry, kept = self._forward(law)
        moving = leaves, inexact(state), inexact(carry)
        value, pull, unfinished = jax.vjp(lambda *moved: self._finish(moved, state, carry), *moving, has_aux=True)
        basis = jnp.eye(value.size, dtype=value.dtype).reshape(value.shape if value.size == 1 else (-1, *value.shape))
        gradient, of_state, of_carry = _each(value.size, pull)(basis)
        measured = jnp.zeros((), value.dtype), _norm(self.undo.rebuilt(law, state)).astype(value.dtype)
        back = (state, of_state, of_carry, gradient, *measured)
        _, of_state, of_carry, gradient, *measured = self._backward(leaves, carry, value.size, back, kept)
        (more,) = _each(value.size, jax.vjp(self._opening, leaves)[1])((of_state, of_carry))
        return value, unfinished, _add(gradient, more), *measured

    def _forward(self, law: Evolve) -> tuple[State, PyTree, list]:
        """The last state and carry, and the states at the start of every segment."""
        state = self.rollout.initial(law)
        blocks, kept = self._blocks(law, state), []

        def advance(carry: PyTree, noise: PyTree, t: Any) -> PyTree:
            moved = self.undo.ahead(law, carry[0], noise, t)
            return moved, self._update(law, carry[1], moved, t + 1)

        carry = (state, self._start(law, state))
        for begins, steps in self._legs():

            def segment(carry: PyTree, begin: Any, steps: int = steps) -> tuple[PyTree, State]:
                return blocks.walk(advance, carry, steps, begin), carry[0]

            carry, starts = lax.scan(segment, carry, begins)
            kept.append(starts)
        return *carry, kept

    def _backward(self, leaves: PyTree, carry: PyTree, components: int, back: tuple, kept: list) -> tuple:
        """From the last state with its cotangents to the first one with its own, and the gradient on the way."""
        law = self.active.law(leaves)
        blocks = self._blocks(law, back[0])
        at_once = len(jax.tree.leaves(back[0])) >= _MANY_PARTS

        def rebuild(state: State, noise: PyTree, t: Any) -> State:
            return strong(self.undo.back(law, state, noise, t))

        def retreat(back: tuple, *step: Any) -> tuple:
            return self._retreat(leaves, carry, components, back, *step)

        for (begins, steps), starts in zip(reversed(self._legs()), reversed(kept), strict=True):

            def segment(back: tuple, leg: tuple, steps: int = steps) -> tuple[tuple, None]:
                (begin, start), (end, *cotangents, missed, size) = leg, back
                carry = (end, tuple(cotangents))
                state, cotangents = blocks.walk_back(rebuild, retreat, carry, steps, begin, at_once=at_once)
                kept, found = self.undo.rebuilt(law, start), self.undo.rebuilt(law, state)
                missed = _larger(missed, _norm(jax.tree.map(jnp.subtract, found, kept)))
                return (start, *cotangents, missed, _larger(size, _norm(kept))), None

            back, _ = lax.scan(segment, back, (begins, starts), reverse=True)
        return back

    def _retreat(
        self, leaves: PyTree, carry: PyTree, components: int, back: tuple,
        before: State, after: State, noise: PyTree, t: Any,
    ) -> tuple:  # fmt: skip
        """Cotangents one step back: through the observable's update at x_{t+1}, then through the step that led there."""
        of_state, of_carry, gradient = back
        if not self.observable.last_only:
            pull = _pull_update(self.observable, self.active.law, leaves, carry, after, t + 1)
            explicit, of_carry, more = _each(components, pull)(of_carry)
            of_state, gradient = _add(of_state, more), _add(gradient, explicit)
        pull = lambda cotangent: self.undo.pull(self.active, leaves, before, after, noise, t, cotangent)
        through, of_state = _each(components, pull)(of_state)
        return of_state, of_carry, _add(gradient, through)

    def _legs(self) -> list[tuple[Array, int]]:
        """Segments of equal length by their first steps, and what is left at the end."""
        whole, rest = divmod(self.rollout.horizon, self.every)
        begins = self.every * jnp.arange(whole + 1, dtype=jnp.int32)
        return [(begins[:whole], self.every)] * bool(whole) + [(begins[whole:], rest)] * bool(rest)

    def _blocks(self, law: Evolve, state: State) -> Blocks:
        return dataclasses.replace(self.rollout, block=self.block).blocks(law, state)

    def _opening(self, leaves: PyTree) -> PyTree:
        law = self.active.law(leaves)
        state = self.rollout.initial(law)
        return inexact(state), inexact(self._start(law, state))

    def _start(self, law: Evolve, state: State) -> PyTree:
        return () if self.observable.last_only else strong(self.observable.start(law, state))

    def _update(self, law: Evolve, carry: PyTree, state: State, t: Any) -> PyTree:
        return () if self.observable.last_only else strong(self.observable.update(carry, law, state, t))

    def _finish(self, moved: tuple, state: State, carry: PyTree) -> tuple[Float[Array, "*obs"], Any]:
        """The observable as a function of the law's leaves and of what moves in the last state and carry."""
        law, state, carry = self.active.law(moved[0]), eqx.combine(moved[1], state), eqx.combine(moved[2], carry)
        if self.observable.last_only:
            carry = self.observable.update(None, law, state, self.rollout.horizon)
        return self.observable.result(carry), self.observable.unfinished(carry)


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _larger(a: Array, b: Array) -> Array:
    return jnp.maximum(a, b.astype(a.dtype))


def _norm(tree: PyTree) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
