"""Step functions: whole numbers of a real one, and where they switch."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from pliant.core.activity import inexact
from pliant.core.chance.inverses import far
from pliant.core.programs import Equation

# The threshold between k - 1 and k, and whether k begins at it or just after it.
Edges = Callable[[Any], tuple[Array, Any]]


def stairs(equation: Equation, operands: Sequence[Any]) -> tuple[int, Edges] | None:
    """Of which operand it is a step function, and its edges; None where it is none that is known."""
    name = equation.name
    if name in _EDGES:
        return 0, _EDGES[name]
    if name == "convert_element_type" and inexact(equation.operands[0]):
        whole = jnp.issubdtype(equation.results[0].dtype, jnp.integer)
        return (0, _truncated) if whole else None
    if name == "search_sorted" and len(equation.operands[0].shape) == 1:
        return 1, _between(operands[0])
    return None


def _truncated(k: Array) -> tuple[Array, Any]:
    return jnp.where(k > 0, k, k - 1), k > 0


def _sign(k: Array) -> tuple[Array, Any]:
    return jnp.where(k < 0, far(k), jnp.where(k > 1, -far(k), 0.0)), k <= 0


def _between(ladder: Array) -> Edges:
    """The index at which a number would be put into a sorted array."""

    def edges(k: Array) -> tuple[Array, Any]:
        rungs = jnp.concatenate([far(ladder)[None], ladder, -far(ladder)[None]])
        return rungs[jnp.clip(k, 0, len(ladder) + 1).astype(int)], True

    return edges


_EDGES: dict[str, Edges] = {
    "floor": lambda k: (k, True),
    "ceil": lambda k: (k - 1, False),
    "round": lambda k: (k - 0.5, True),
    "sign": _sign,
}
