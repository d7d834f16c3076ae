"""A logarithm that goes on below a floor."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, positive_width, together


def log(x: ArrayLike, *, floor: ArrayLike | None = None) -> Float[Array, "*shape"]:
    r"""$\log x$ above `floor` $a$, below it the tangent there, $\log a + (x - a) / a$.

    **Arguments**: `x`, any shape; `floor` > 0 in the units of x, of a shape that broadcasts, or None for the square
    root of the least normal number (1e-154, or 1e-19 in float32), so that products of slopes stay finite.

    Exact from the floor on. One continuous derivative, at most 1/a; concave and increasing, negative numbers
    included: a penalty where a sharp logarithm has none. The bias of a mean over a density that is finite at 0 is
    of order 1 in a.

    Raises ValueError for what is no number, a floor that is not positive, or shapes that do not broadcast. NaN stays NaN.

    Source: an extrapolated barrier, as in Ben-Tal and Zibulevsky, SIAM J. Optim. 7, 347 (1997), by a line in place of
    their parabola.
    """
    x = numbers("x", x)
    if floor is None:
        floor = float(np.sqrt(jnp.finfo(x.dtype).tiny))
    lowest = positive_width(floor, "floor")
    together(x=x, floor=lowest)
    below = x < lowest
    return jnp.where(below, jnp.log(lowest) + (x / lowest - 1), jnp.log(jnp.where(below, 1, x)))
