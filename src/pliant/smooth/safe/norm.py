"""A length with a derivative at the zero vector."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.smooth._arguments import numbers
from pliant.smooth.safe._scale import unit


def norm(x: ArrayLike, *, axis: int | None = -1) -> Float[Array, "*shape"]:
    r"""The Euclidean length; at the zero vector its derivative is 0, the least subgradient, in place of NaN.

    **Arguments**: `x`; `axis`: the one to take it along, or None for the whole array.

    Values are exact, those of vectors whose squares would overflow or underflow too. Second derivatives at 0 are 0 as
    well, by convention. NaN stays NaN.

    Raises ValueError for what is no number, or an axis that is not there.

    Source: Rockafellar, Convex Analysis (1970), section 23: the subgradients at 0 fill the
    unit ball, of which this is the centre.
    """
    given = numbers("x", x)
    if axis is not None and not (isinstance(axis, int) and -given.ndim <= axis < given.ndim):
        raise ValueError(f"Argument `axis` must be one of the {given.ndim} of `x`, or None, but it was {axis!r}.")
    rows = given.ravel() if axis is None else jnp.moveaxis(given, axis, -1)
    scale = unit(rows)
    return scale[..., 0] * safe_norm(rows / scale)
