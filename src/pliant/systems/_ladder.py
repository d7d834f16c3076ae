r"""Chains on whole numbers that go up or down by one: the law of every time, by carrying probabilities.

$P_{t+1}(n) = P_t(n)\,(1 - u_n - d_n) + P_t(n - 1)\,u_{n-1} + P_t(n + 1)\,d_{n+1}$. Chances are analytic in the parameters,
so that a complex step gives derivatives to round-off.
"""

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Inexact

from pliant.systems._affine import complex_steps
from pliant.systems._system import OneCoordinate
from pliant.systems._truth import Truth, exact


class Ladder(OneCoordinate):
    """A system whose position is a whole number, up or down by one at a step.

    **Class attribute** `parameters`: their names, in the order of the leaves that `wrt` selects.
    """

    parameters: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def chances(self, law: Any, levels: Float[np.ndarray, " n"], **parameters: Any) -> tuple[Any, Any]:
        """The probabilities to go up and down from every level."""

    def average_square(self, law: Any, weight: Float[np.ndarray, " horizon"]) -> Truth:
        at = dict(zip(self.parameters, map(float, jax.tree.leaves(self.wrt(law))), strict=True))
        start = round(float(law.x0[0]))
        levels = np.arange(min(start - len(weight), 0), start + len(weight) + 1.0)
        square = lambda **given: _carried(levels, start, self.chances(law, levels, **given), weight)
        slopes = map(jnp.asarray, complex_steps(square, at))
        gradient = jax.tree.unflatten(jax.tree.structure(self.wrt(law)), slopes)
        return exact(square(**at), gradient, "the chain's own probabilities, carried step by step", "discretised")


def _carried(
    levels: Float[np.ndarray, " n"], start: int, chances: tuple[Any, Any], weight: Float[np.ndarray, " horizon"]
) -> Inexact[np.ndarray, ""]:
    """The weighted sum over times of the expectation of n^2."""
    up, down = chances
    law: Any = np.where(levels == start, 1.0, 0.0)
    total: Any = 0.0
    for share in weight:
        risen, fallen = law * up, law * down
        law = law - risen - fallen
        law[1:] += risen[:-1]
        law[:-1] += fallen[1:]
        total = total + share * (law @ levels**2)
    return total
