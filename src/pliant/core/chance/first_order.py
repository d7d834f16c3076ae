"""Estimates that have a first derivative alone: a value that may be differentiated no further."""

from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero


@jax.custom_jvp
def first_order(x: Any) -> Any:
    """The value itself; a derivative of it raises."""
    return x


def _refuse(primals: tuple, tangents: tuple) -> tuple:
    if any(not isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(tangents)):
        raise TypeError(
            "`expect` has a first derivative only: a derivative of the estimate is no estimate of the second derivative. "
            "Differentiate a first derivative that you know in closed form, or take differences of first derivatives at "
            "independent keys."
        )
    return primals[0], tangents[0]


first_order.defjvp(_refuse, symbolic_zeros=True)
