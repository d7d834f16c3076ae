"""The polar angle with a derivative at the origin."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, together
from pliant.smooth.safe._scale import unit


def arctan2(y: ArrayLike, x: ArrayLike) -> Float[Array, "*shape"]:
    """The angle of (x, y) in radians, in [-pi, pi]; at the origin 0, with derivatives 0 by convention.

    **Arguments**: `y` and `x`, of shapes that broadcast.

    Exact everywhere else. The jump by 2 pi over the negative x axis stays: take sine and cosine of it. Near the
    origin the slope is one over the radius, and not bounded. NaN stays NaN.

    Raises ValueError for what is no number, or shapes that do not broadcast.

    Source: the convention of IEEE 754 for the value at the origin; the derivative is the mean over directions, which is 0.
    """
    y, x = numbers("y", y), numbers("x", x)
    together(y=y, x=x)
    scale = unit(y[..., None], x[..., None])[..., 0]
    y, x = y / scale, x / scale
    origin = (x == 0) & (y == 0)
    return jnp.where(origin, 0, jnp.arctan2(y, jnp.where(origin, 1, x)))
