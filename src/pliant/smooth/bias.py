"""How far a relaxation is from its limit."""

from collections.abc import Callable

import jax
from jaxtyping import PyTree

from pliant.smooth._arguments import positive_width
from pliant.smooth._richardson import Extrapolated as _Extrapolated


def bias(function: Callable[[PyTree], PyTree], width: PyTree, *, order: float = 2.0) -> _Extrapolated:
    r"""The bias of a relaxed quantity at the current width, by Richardson extrapolation over $w$ and $w/2$.

    **Arguments**: `function` of the width (or of a tree of widths, which are halved together), to a pytree: a
    value, a gradient, both; `width` > 0; `order` p of the bias: 2 for smooth averages over symmetric kernels, which
    is all of this package but for values at an edge itself (1), and `gumbel_softmax` (1).

    **Returns** `value` $f(w)$, `extrapolated` $f_0 = f(w/2) + (f(w/2) - f(w)) / (2^p - 1)$, with error $O(w^{p+2})$ for
    symmetric kernels, and `bias` $f(w) - f_0$.

    It means something where the width is small against the scale on which the average varies: at half the width,
    `bias` must be 2^p times smaller. Use the same key in both: function of the width alone. With n events the sharp
    answer is a staircase, and the estimate serves as long as many events lie within a width; below that all is
    noise.

    Raises ValueError for no width, or a width or order that is not positive. Cost: two evaluations.

    Source: Richardson, Phil. Trans. R. Soc. A 210, 307 (1911).
    """
    positive_width(order, "order")
    if not jax.tree.leaves(width):
        raise ValueError(f"Argument `width` must hold at least one width, but it was {width!r}.")
    jax.tree.map(positive_width, width)
    value, half = function(width), function(jax.tree.map(lambda w: w / 2, width))
    extrapolated = jax.tree.map(lambda fine, coarse: fine + (fine - coarse) / (2**order - 1), half, value)
    return _Extrapolated(value, extrapolated, jax.tree.map(lambda f, limit: f - limit, value, extrapolated))
