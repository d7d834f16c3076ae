"""What the fields of potentials have in common: lazy default arrays, and one floating-point type per evaluation."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Tree = TypeVar("Tree")


def parameter(*default: float) -> Any:
    """A field whose default is an array (a parameter): of shape () for one number, else of shape (n,).

    The array is made when a potential is, not when the class is: importing must not start a JAX backend.
    """
    value = default[0] if len(default) == 1 else default
    return eqx.field(default_factory=lambda: jnp.asarray(value, dtype=float))


def in_precision_of(position: Float[Array, "*shape"], potential: Tree) -> Tree:
    """`potential` with its parameters in the floating-point type of `position`.

    Without it, parameters in float64 would turn a float32 state into float64 in the middle of a simulation.
    """

    def cast(leaf: Any) -> Any:
        return leaf.astype(position.dtype) if jnp.issubdtype(getattr(leaf, "dtype", int), jnp.inexact) else leaf

    return jax.tree.map(cast, potential)
