"""A value kept between two bounds."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, positive_width, together
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

    Raises ValueError for what is no number, a width that is not positive, shapes that do not broadcast, a lower bound
    above the upper one, or a kernel not listed. NaN stays NaN; infinite x are the bounds.

    Source: the convolution of the clip, which is the difference of two ramps; see `threshold`.
    """
    ramp_of, width, values = kernel_of(kernel).ramp_of, positive_width(width), numbers("x", x)
    lower, upper = _bound("lower", lower), _bound("upper", upper)
    together(x=values, width=width, lower=lower, upper=upper)
    known = not isinstance(lower, Tracer) and not isinstance(upper, Tracer)
    if known and np.any(np.asarray(lower) > np.asarray(upper)):
        raise ValueError(f"Argument `lower` must not exceed `upper`, but they were {lower} and {upper}.")
    # Seen from the nearer bound, beyond which both ramps vanish; from the other, their difference would lose its digits.
    above = values > (lower + upper) / 2
    sign, near, far = jnp.where(above, -1.0, 1.0), jnp.where(above, upper, lower), jnp.where(above, lower, upper)
    from_near, from_far = (
        ramp_of(sign * (values - jnp.where(jnp.isinf(bound), 0, bound)), width) for bound in (near, far)
    )
    risen = sign * (from_near - jnp.where(jnp.isinf(far), 0, from_far))
    return jnp.where(jnp.isinf(near), values, jnp.where(jnp.isinf(near), 0, near) + risen)


def _bound(name: str, value: ArrayLike) -> ArrayLike:
    return value if isinstance(value, int | float) else numbers(name, value)
