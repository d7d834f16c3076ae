"""The discrete adjoint by undoing steps: each is undone exactly, and differentiated where it began."""

import math
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from pliant.core.laws import State
from pliant.core.reversal import Active, Undo, inexact
from pliant.core.trees import strong

# Between two kept states round-off may grow by e^5: by two digits, of the sixteen or seven that there are.
_GROWTH = 5.0
# A regular motion loses digits too, in proportion to its steps: a state every so many costs nothing.
_LONGEST = 10_000


class Unstep(Undo):
    """The law's own `unstep`, and the derivative of `step` at the state that it gives."""

    def back(self, law: Any, after: State, noise: PyTree, t: Any) -> State:
        return law.unstep(after, noise, t)

    def pull(
        self, active: Active, leaves: PyTree, before: State, after: State, noise: PyTree, t: Any, cotangent: PyTree
    ) -> tuple[PyTree, PyTree]:
        held = eqx.filter(before, eqx.is_inexact_array, inverse=True)

        def step(leaves: PyTree, moving: PyTree) -> PyTree:
            return inexact(strong(active.law(leaves).step(eqx.combine(moving, held), noise, t)))

        return jax.vjp(step, leaves, inexact(before))[1](cotangent)


def steps_between(growth: Any) -> int:
    r"""Steps M between two kept states such that $M g \le 5$, from the series 1, 2, 5, 10, 20 ... up to 10,000.

    `growth`: the logarithm g of the factor by which undoing a step enlarges round-off, friction times dt. The series is
    coarse so that a sweep of the friction compiles few programs.
    """
    most = max(min(_GROWTH / max(float(np.max(np.asarray(growth))), 1e-300), _LONGEST), 1.0)
    power = 10 ** math.floor(math.log10(most))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= most)
