"""One side of a plane."""

from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.smooth._arguments import direction, numbers, points


def half_space(point: ArrayLike, *, normal: ArrayLike, offset: ArrayLike = 0.0) -> Float[Array, "*shape"]:
    r"""The signed distance to the half space $n \cdot x < b$ with the unit vector $n$ that points outwards.

    **Arguments**: `point`, shape (..., d); `normal`, shape (d,), of any length but zero; `offset` $b$ along it.

    Exact, of slope one everywhere. Smooth in all arguments.

    Raises ValueError for what is no number, a normal that is zero, or points of another dimension.

    Source: the Hesse normal form; Osher and Fedkiw, Level Set Methods and Dynamic Implicit Surfaces (2003), chapter 2.
    """
    outwards = direction("normal", normal)
    return points(point, outwards.size) @ (outwards / safe_norm(outwards)) - numbers("offset", offset)
