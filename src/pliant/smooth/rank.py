"""Ranks as sums of soft comparisons."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, width_of_rows
from pliant.smooth._kernels import in_widths, kernel_of


def rank(x: ArrayLike, width: ArrayLike, *, kernel: str = "logistic") -> Float[Array, "*shape n"]:
    r"""Soft ranks along the last axis, from 1 for the least: $r_i = \frac12 + \sum_j K((x_i - x_j) / w)$.

    **Arguments**: `x`, shape (..., n); `width` $w > 0$ in the units of x, of the shape of the batch; `kernel`, as
    in `step`.

    Ties share their mean rank at every width, and the sum is $n(n+1)/2$. Ranks have as many derivatives as the
    kernel, ties included. The bias of one is at most the sum of its tails, $\sum_{j \ne i} K(-|x_i - x_j|/w)$:
    exponentially small where gaps exceed w, zero for "cubic". Over smooth laws of x it is of order 2.

    Raises ValueError for a single number or none, a width that is not positive or does not fit the batch, or a kernel
    not listed. NaN makes all ranks of its row NaN; infinities are the first and the last. Cost: O(n²), in memory too.

    Source: Qin, Liu and Li, Inf. Retr. 13, 375 (2010), with any symmetric kernel.
    """
    values = numbers("x", x)
    if values.ndim == 0:
        raise ValueError("Argument `x` must have an axis to rank along, but it was a number.")
    width = width_of_rows(width, values)[..., None, None]
    one, other = values[..., :, None], values[..., None, :]
    apart = jnp.where(jnp.isinf(one) & (one == other), 0, one - other)
    return 0.5 + jnp.sum(kernel_of(kernel).step(in_widths(apart, width)), axis=-1)
