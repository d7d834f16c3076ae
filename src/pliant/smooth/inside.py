"""The indicator of a region with a soft wall."""

from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, positive_width, together
from pliant.smooth._kernels import in_widths, kernel_of


def inside(distance: ArrayLike, width: ArrayLike, *, kernel: str = "cubic") -> Float[Array, "*shape"]:
    r"""A soft indicator, $K(-d / w)$: 1 deep inside, 0 far outside, 1/2 on the wall.

    **Arguments**: `distance` $d$, signed, negative inside, any shape (exact ones in `pliant.smooth.shapes`); `width`
    $w > 0$ in units of length; `kernel`, as in `step`. "cubic" is exact beyond a distance w from the wall.

    Integrated against a smooth $f$, the bias is $\frac12 \sigma^2 w^2 \oint (\partial_n f + H f)\,dS + O(w^4)$,
    with $H$ the sum of the principal curvatures of the wall: order 2. A flat wall keeps its volume; a ball of
    radius R gains $4 \pi R\, \sigma^2 w^2$. At corners the order is 2 as well, with another constant. The
    derivative by parameters of a shape has the same order. An intersection is a product of indicators, a complement
    one minus it.

    Raises ValueError for what is no number, a width that is not positive, shapes that do not broadcast, or a kernel not
    listed.

    Source: Osher and Fedkiw, Level Set Methods (2003), section 1.5; the bias is Steiner's formula averaged over
    the kernel.
    """
    values, width = numbers("distance", distance), positive_width(width)
    together(distance=values, width=width)
    return kernel_of(kernel).step(in_widths(-values, width))
