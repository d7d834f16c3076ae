"""A staircase: what an analogue-to-digital converter reads."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.validate import positive_whole
from pliant.smooth._arguments import numbers, positive_width, together
from pliant.smooth._kernels import in_widths, kernel_of


def digitise(
    x: ArrayLike,
    width: ArrayLike,
    *,
    codes: int,
    spacing: ArrayLike = 1.0,
    origin: ArrayLike = 0.0,
    reach: int | None = None,
    kernel: str = "cubic",
) -> Float[Array, "*shape"]:
    r"""A soft digital code, $\sum_{c=1}^{codes-1} K((x - x_0 - c\,\Delta)/w)$, in units of the least significant bit.

    **Arguments**: `x`, any shape; `width` $w > 0$ in the units of x; `codes`: how many there are, $2^{bits}$; `spacing`
    $\Delta$ between transitions and `origin` $x_0$, the lower end of code 0; `reach`: sum over so many transitions on
    either side of x alone (None: all of them); `kernel`, as in `step`.

    The sharp limit is `floor((x - origin) / spacing)` kept within 0 .. codes - 1: clipping below and above is that
    of the converter. A "cubic" step of width up to $\Delta / 2$ leaves the middle of each code exact; one of width
    $\Delta$ has a derivative everywhere inside the range. Averaged over a smooth density of x the bias is of order
    2, and within one step at a single x.

    Raises ValueError for what is no number, a width or spacing that is not positive, shapes that do not broadcast,
    fewer than one code, or a kernel not listed. Cost: O(codes) an element, in memory too; with `reach` O(reach), with
    nothing lost for "cubic" if w <= reach x spacing.

    Source: Bennett, Bell Syst. Tech. J. 27, 446 (1948) for the staircase; each step as in `step`.
    """
    step, width, values = kernel_of(kernel).step, positive_width(width), numbers("x", x)
    spacing = positive_width(spacing, "spacing")
    origin = origin if isinstance(origin, int | float) else numbers("origin", origin)
    together(x=values, width=width, spacing=spacing, origin=origin)
    last = positive_whole("codes", codes) - 1
    if reach is None:
        near = jnp.broadcast_to(jnp.arange(1, last + 1), (*values.shape, last))
        below = 0
    else:
        reach = positive_whole("reach", reach)
        # Far outside nothing more happens; a whole number there would overflow.
        nearest = jnp.round((jax.lax.stop_gradient(values) - origin) / spacing)
        centre = jnp.clip(nearest, -reach, last + 1 + reach).astype(int)
        near = centre[..., None] + jnp.arange(-reach, reach + 1)
        below = jnp.clip(near[..., 0] - 1, 0, last)
    # Shapes that broadcast against x get a last axis for the transitions.
    width, spacing, origin = (jnp.asarray(value)[..., None] for value in (width, spacing, origin))
    risen = step(in_widths(values[..., None] - origin - near * spacing, width))
    return below + jnp.sum(jnp.where((near >= 1) & (near <= last), risen, 0), axis=-1)
