"""An edge of finite width."""

from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, positive_width, together
from pliant.smooth._kernels import in_widths, kernel_of


def step(x: ArrayLike, width: ArrayLike, *, kernel: str = "logistic") -> Float[Array, "*shape"]:
    r"""A soft unit step, $K(x / w)$: 0 far on the left, 1 far on the right, 1/2 at 0.

    **Arguments**: `x`, any shape; `width` $w > 0$ in the units of x, of a shape that broadcasts; `kernel`, whose
    distribution function $K$ is: "logistic" (variance $\pi^2 w^2 / 3$, tails $e^{-|x|/w}$), "gaussian" (variance
    $w^2$), "cubic" (variance $w^2 / 5$; exactly 0 or 1 beyond $|x| = w$, one continuous derivative).

    It is the sharp step averaged over the kernel. Averaged in turn over a smooth density p of x, its bias is
    $-\frac12 \sigma^2 w^2 p'(0) + O(w^4)$, with $\sigma^2 w^2$ the variance: order 2, for the derivative by
    whatever moves p as well. At a single x it vanishes as the tail does, and at the edge it stays 1/2.

    Raises ValueError for what is no number, a width that is not positive, shapes that do not broadcast, or a kernel not
    listed. NaN stays NaN; infinite x are 0 or 1, with derivatives 0.

    Source: the convolution of the Heaviside step; the cubic kernel is that of Epanechnikov, Theory Probab. Appl. 14, 153
    (1969), whose integral is the cubic Hermite step.
    """
    values, width = numbers("x", x), positive_width(width)
    together(x=values, width=width)
    return kernel_of(kernel).step(in_widths(values, width))
