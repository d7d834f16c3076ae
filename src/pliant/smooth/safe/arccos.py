"""An arccosine with a derivative at its ends."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers


def arccos(x: ArrayLike) -> Float[Array, "*shape"]:
    r"""The arccosine in radians of x kept within [-1, 1]; at the ends and beyond its derivative is 0, in place of infinity.

    **Arguments**: `x`, any shape.

    Values are exact inside. A cosine beyond an end by rounding is the end; one far beyond is so too, without a
    complaint. Close to the ends half of the digits are lost in x itself: `angle` of two vectors keeps them. NaN
    stays NaN.

    Source: the derivative of an even function of the angle at 0, which vanishes; for the digits, Kahan, "How futile are
    mindless assessments of roundoff in floating-point computation?" (2006), "Mangled angles".
    """
    x = numbers("x", x)
    ends = jnp.abs(x) >= 1
    return jnp.where(ends, jnp.where(x > 0, 0, jnp.pi), jnp.arccos(jnp.where(ends, 0, x))).astype(x.dtype)
