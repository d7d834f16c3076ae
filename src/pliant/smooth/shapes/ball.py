"""A ball."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.core.trees import floating


def ball(point: ArrayLike, *, centre: ArrayLike = 0.0, radius: ArrayLike = 1.0) -> Float[Array, "*shape"]:
    r"""The signed distance to a ball (a disc in two dimensions), $|x - c| - R$.

    **Arguments**: `point`, shape (..., d); `centre`, shape (d,) or a number; `radius`, in the same units.

    Exact everywhere, of slope one but at the centre, where the derivative is 0 by convention.

    Source: Osher and Fedkiw, Level Set Methods and Dynamic Implicit Surfaces (2003), chapter 2.
    """
    return safe_norm(floating(point) - jnp.asarray(centre)) - radius
