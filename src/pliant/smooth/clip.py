"""A value kept between two bounds."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from pliant.core.trees import floating
from pliant.smooth._arguments import positive_width
from pliant.smooth._kernels import kernel_of


def clip(
    x: ArrayLike, width: ArrayLike, *, lower: ArrayLike, upper: ArrayLike, kernel: str = "logistic"
) -> Float[Array, "*shape"]:
    r"""A soft clip to [lower, upper]: $a + w R((x - a)/w) - w R((x - b)/w)$, monotone, within the bounds.

    **Arguments**: `x`, any shape; `width` $w > 0$ in the units of x; `lower` $a$ and `upper` $b$, infinite ones
    left out; all of shapes that broadcast; `kernel`, as in `step`, with $R'' = k$.

    It is the sharp clip averaged over the kernel. Averaged over a smooth density p of x, its bias is $\frac12
    \sigma^2 w^2 (p(a) - p(b)) + O(w^4)$: order 2. At a corner it is $\pm w R(0)$: order 1 at a single x. Bounds
    closer than the width flatten the slope between them, by $1 - (b - a) k(0) / w$.

    Raises ValueError for a width that is not positive, a lower bound above the upper one, or a kernel not listed.

    Source: the convolution of the clip, which is the difference of two ramps; see `threshold`.
    """
    if (
        not isinstance(lower, Tracer)
        and not isinstance(upper, Tracer)
        and np.any(np.asarray(lower) > np.asarray(upper))
    ):
        raise ValueError(f"Argument `lower` must not exceed `upper`, but they were {lower} and {upper}.")
    ramp, width, x = kernel_of(kernel).ramp, positive_width(width), floating(x)
    no_floor, no_ceiling = jnp.isneginf(lower), jnp.isposinf(upper)
    floor, ceiling = jnp.where(no_floor, 0.0, lower), jnp.where(no_ceiling, 0.0, upper)
    risen = jnp.where(no_floor, x, floor + width * ramp((x - floor) / width))
    return risen - jnp.where(no_ceiling, 0.0, width * ramp((x - ceiling) / width))
