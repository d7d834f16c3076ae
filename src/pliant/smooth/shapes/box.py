"""A box."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.smooth._arguments import numbers, points, positive_width


def box(point: ArrayLike, *, centre: ArrayLike = 0.0, lengths: ArrayLike = 1.0) -> Float[Array, "*shape"]:
    r"""The signed distance to a box whose edges are along the axes: $|\max(q, 0)| + \min(\max_i q_i, 0)$, $q = |x - c| - L/2$.

    **Arguments**: `point`, shape (..., d); `centre` and `lengths` of the edges, shape (d,) or a number, in the same
    units.

    Exact everywhere. Outside, edges and corners are rounded; inside, the nearest face changes on diagonal planes,
    where the distance has a kink.

    Raises ValueError for what is no number, or lengths that are not positive.

    Source: Quilez, "Distance functions", iquilezles.org.
    """
    half = jnp.asarray(positive_width(lengths, "lengths")) / 2
    beyond = jnp.abs(points(point) - numbers("centre", centre)) - half
    return safe_norm(jnp.maximum(beyond, 0)) + jnp.minimum(jnp.max(beyond, axis=-1), 0)
