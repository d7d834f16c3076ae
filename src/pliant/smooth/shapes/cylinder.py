"""A cylinder of finite height."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.smooth._arguments import direction, numbers, points, positive_width


def cylinder(
    point: ArrayLike,
    *,
    centre: ArrayLike = 0.0,
    axis: ArrayLike | Sequence[float] = (0.0, 0.0, 1.0),
    radius: ArrayLike = 1.0,
    height: ArrayLike = 1.0,
) -> Float[Array, "*shape"]:
    r"""The signed distance to a capped cylinder: a rectangle in the coordinates along and across its axis.

    **Arguments**: `point`, shape (..., 3); `centre`, shape (3,) or a number; `axis`, shape (3,), of any length but
    zero; `radius` and `height` in the same units.

    Exact everywhere, rounded outside the rims. On the axis the derivative of the distance across is 0 by convention.

    Raises ValueError for what is no number, points of another shape, an axis that is zero, or a radius or height that is
    not positive.

    Source: Quilez, "Distance functions", iquilezles.org.
    """
    away, along = points(point, 3) - numbers("centre", centre), direction("axis", axis)
    radius, height = positive_width(radius, "radius"), positive_width(height, "height")
    along = along / safe_norm(along)
    level = away @ along
    across = safe_norm(away - level[..., None] * along) - radius
    beyond = jnp.stack([across, jnp.abs(level) - jnp.asarray(height) / 2], axis=-1)
    return safe_norm(jnp.maximum(beyond, 0)) + jnp.minimum(jnp.max(beyond, axis=-1), 0)
