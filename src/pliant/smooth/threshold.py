"""A value that passes above a level."""

from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, positive_width, together
from pliant.smooth._kernels import in_widths, kernel_of


def threshold(
    x: ArrayLike, width: ArrayLike, *, level: ArrayLike = 0.0, kernel: str = "logistic"
) -> Float[Array, "*shape"]:
    r"""A soft form of "x where it is above `level`, else 0": $w\,R((x - l)/w) + l\,K((x - l)/w)$.

    **Arguments**: `x`, any shape; `width` $w > 0$ and `level` $l$ in the units of x, of shapes that broadcast;
    `kernel`, as in `step`, with distribution function $K$ and $R' = K$. At level 0 it is the soft ramp: softplus
    for "logistic", $x\Phi + w\varphi$ for "gaussian", a quartic joint for "cubic", exact beyond $|x - l| = w$.

    It is the ramp above the level, averaged over the kernel, plus the level times the soft step. Averaged over a smooth
    density p of x, its bias is $\frac12 \sigma^2 w^2 (p(l) - l\,p'(l)) + O(w^4)$: order 2. At the kink itself it is
    $w R(0)$ = 0.69, 0.40, 0.19 w: order 1 at a single x. From above where the level is 0.

    Raises ValueError for what is no number, a width that is not positive, shapes that do not broadcast, or a kernel not
    listed. NaN stays NaN.

    Source: the convolution of the ramp; Dugas, Bengio, Bélisle, Nadeau and Garcia, NIPS 13, 472 (2000) for softplus.
    """
    chosen, width, values = kernel_of(kernel), positive_width(width), numbers("x", x)
    level = level if isinstance(level, int | float) else numbers("level", level)
    together(x=values, width=width, level=level)
    above = values - level
    return chosen.ramp_of(above, width) + chosen.step(in_widths(above, width)) * level
