"""A quotient with a value at 0."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, together


def divide(numerator: ArrayLike, denominator: ArrayLike, *, otherwise: ArrayLike = 0.0) -> Float[Array, "*shape"]:
    """The quotient; where the denominator is 0, `otherwise`, with derivatives 0 in both.

    **Arguments**: three arrays of shapes that broadcast.

    Exact wherever the denominator is not 0, however small it is: what is near 0 is not bounded. NaN stays NaN.

    Raises ValueError for what is no number, or shapes that do not broadcast.

    Source: the double selection: the quotient is taken by 1 where the denominator is 0, as in `pliant.smooth.safe.sqrt`.
    """
    numerator, denominator = numbers("numerator", numerator), numbers("denominator", denominator)
    otherwise = otherwise if isinstance(otherwise, int | float) else numbers("otherwise", otherwise)
    together(numerator=numerator, denominator=denominator, otherwise=otherwise)
    vanishes = denominator == 0
    return jnp.where(vanishes, otherwise, numerator / jnp.where(vanishes, 1, denominator))
