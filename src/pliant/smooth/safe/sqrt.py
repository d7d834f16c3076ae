"""A square root with a derivative at 0."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers


def sqrt(x: ArrayLike) -> Float[Array, "*shape"]:
    r"""$\sqrt x$; at 0 all its derivatives are 0 by convention, in place of infinity.

    **Arguments**: `x`, any shape. A negative number gives NaN, as a fault should, and so does NaN.

    Values are exact everywhere, derivatives everywhere but at 0. Near 0 the slope is $1 / 2\sqrt x$ and not bounded.

    Source: JAX documentation, FAQ, "Gradients contain NaN where using where": the root is taken of 1 where x is 0.
    """
    x = numbers("x", x)
    vanishes = x == 0
    return jnp.where(vanishes, 0, jnp.sqrt(jnp.where(vanishes, 1, x)))
