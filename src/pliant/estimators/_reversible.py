"""The discrete adjoint by undoing steps: each is undone exactly, and differentiated where it began."""

import math
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from pliant.core.estimator import Problem
from pliant.core.laws import State
from pliant.core.noise import draw_once
from pliant.core.observable import leaves_seen
from pliant.core.reversal import Active, Undo, inexact
from pliant.core.trees import inputs_used, state_dtype

# Between two kept states round-off may grow by e^5: by two digits, of the sixteen or seven that there are.
_GROWTH = 5.0
# A regular motion loses digits too, in proportion to its steps: a state every so many costs nothing.
_LONGEST = 10_000


class Unstep(Undo):
    """The law's own `unstep`, and the derivative of `step` at the state that it gives.

    **Fields**: `accounts`: for every leaf of the state, whether it is an account that nothing reads, and stays as it is.
    """

    accounts: tuple[bool, ...] = eqx.field(static=True)

    def ahead(self, law: Any, before: State, noise: PyTree, t: Any) -> State:
        return self._held(before, super().ahead(law, before, noise, t))

    def back(self, law: Any, after: State, noise: PyTree, t: Any) -> State:
        return self._held(after, law.unstep(after, noise, t))

    def pull(
        self, active: Active, leaves: PyTree, before: State, after: State, noise: PyTree, t: Any, cotangent: PyTree
    ) -> tuple[PyTree, PyTree]:
        held = eqx.filter(before, eqx.is_inexact_array, inverse=True)

        def step(leaves: PyTree, moving: PyTree) -> PyTree:
            return inexact(self.ahead(active.law(leaves), eqx.combine(moving, held), noise, t))

        return jax.vjp(step, leaves, inexact(before))[1](cotangent)

    def _held(self, here: State, moved: State) -> State:
        """The state that was moved to, with accounts as they were here."""
        leaves, structure = jax.tree.flatten(moved)
        chosen = [
            a if account else b for a, b, account in zip(jax.tree.leaves(here), leaves, self.accounts, strict=True)
        ]
        return jax.tree.unflatten(structure, chosen)


def accounts(problem: Problem, state: State) -> tuple[bool, ...]:
    """For every leaf of a state, whether nothing but such leaves reads it, such as the heat that has gone into a bath.

    The derivative by what came of it is zero, and nobody asks for its value: it need not be walked back.
    """
    law = problem.law()
    noise = draw_once(law.noise, jax.random.key(0), state_dtype(state))
    unread = [not read for read in leaves_seen(problem.observable, law, state)]
    while True:

        def others(state: State, unread: list[bool] = unread) -> list[Array]:
            moved = jax.tree.leaves(law.step(state, noise, 0))
            return [leaf for leaf, alone in zip(moved, unread, strict=True) if not alone]

        left = [alone and not read for alone, read in zip(unread, inputs_used(others, state), strict=True)]
        if left == unread:
            return tuple(unread)
        unread = left


def steps_between(growth: Any) -> int:
    r"""Steps M between two kept states such that $M g \le 5$, from the series 1, 2, 5, 10, 20 ... up to 10,000.

    `growth`: the logarithm g of the factor by which undoing a step enlarges round-off, friction times dt. The series is
    coarse so that a sweep of the friction compiles few programs.
    """
    most = max(min(_GROWTH / max(float(np.max(np.asarray(growth))), 1e-300), _LONGEST), 1.0)
    power = 10 ** math.floor(math.log10(most))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= most)
