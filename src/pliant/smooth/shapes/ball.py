"""A ball."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.smooth._arguments import floating


def ball(point: ArrayLike, *, centre: ArrayLike = 0.0, radius: ArrayLike = 1.0) -> Float[Array, "*shape"]:
    r"""The signed distance to a ball (a disc in two dimensions), $|x - c| - R$.

    **Arguments**: `point`, shape (..., d); `centre`, shape (d,) or a number; `radius`, in the same units.

    Exact everywhere, of slope one but at the centre, where the derivative is 0 by convention.

    Source: Quilez, "Distance functions" (2008); Osher and Fedkiw, Level Set Methods (2003), section 2.1.
    """
    return safe_norm(floating(point) - jnp.asarray(centre)) - radius
