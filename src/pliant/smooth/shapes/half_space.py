"""One side of a plane."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.core.trees import floating


def half_space(point: ArrayLike, *, normal: ArrayLike, offset: ArrayLike = 0.0) -> Float[Array, "*shape"]:
    r"""The signed distance to the half space $n \cdot x < b$ with the unit vector $n$ that points outwards.

    **Arguments**: `point`, shape (..., d); `normal`, shape (d,), of any length but zero; `offset` $b$ along it.

    Exact, of slope one everywhere. Smooth in all arguments.

    Source: the Hesse normal form; Osher and Fedkiw, Level Set Methods and Dynamic Implicit Surfaces (2003), chapter 2.
    """
    outwards = floating(normal)
    return floating(point) @ (outwards / safe_norm(outwards)) - jnp.asarray(offset)
