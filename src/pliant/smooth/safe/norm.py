"""A length with a derivative at the zero vector."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.core.trees import floating


def norm(x: ArrayLike, *, axis: int | None = -1) -> Float[Array, "*shape"]:
    r"""The Euclidean length; at the zero vector its derivative is 0, the least subgradient, in place of NaN.

    **Arguments**: `x`; `axis`: the one to take it along, or None for the whole array.

    Values are exact but where squares overflow or underflow: beyond about 1e154, or 1e19 in float32, and their
    inverses. Second derivatives at 0 are 0 as well, by convention. NaN stays NaN.

    Source: Rockafellar, Convex Analysis (1970), section 23: the subgradients at 0 fill the
    unit ball, of which this is the centre.
    """
    x = floating(x)
    return safe_norm(x.ravel() if axis is None else jnp.moveaxis(x, axis, -1))
