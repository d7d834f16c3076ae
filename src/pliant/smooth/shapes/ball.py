"""A ball."""

from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.smooth._arguments import numbers, points, positive_width


def ball(point: ArrayLike, *, centre: ArrayLike = 0.0, radius: ArrayLike = 1.0) -> Float[Array, "*shape"]:
    r"""The signed distance to a ball (a disc in two dimensions), $|x - c| - R$.

    **Arguments**: `point`, shape (..., d); `centre`, shape (d,) or a number; `radius`, in the same units.

    Exact everywhere, of slope one but at the centre, where the derivative is 0 by convention.

    Raises ValueError for what is no number, or a radius that is not positive.

    Source: Osher and Fedkiw, Level Set Methods and Dynamic Implicit Surfaces (2003), chapter 2.
    """
    return safe_norm(points(point) - numbers("centre", centre)) - positive_width(radius, "radius")
