"""The place of the largest value."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, width_of_rows


def argmax(x: ArrayLike, width: ArrayLike) -> tuple[Float[Array, "*shape"], Float[Array, "*shape n"]]:
    r"""The soft index $\sum_i i\,p_i$ of the largest value, and its soft one-hot weights $p_i \propto e^{x_i / w}$.

    **Arguments**: `x`, shape (..., n); `width` $w > 0$ in the units of x, of the shape of the batch (a temperature).

    The bias of a weight is at most $(n - 1) e^{-\Delta/w}$ with $\Delta$ the gap to the second: exponential at a
    single x. Over smooth laws of x it is of order 2. Ties share their weight, so that the index lies between them.
    The soft maximum $\sum_i p_i x_i$ is too small, by at most $w \log n$.

    Raises ValueError for a single number or none, an empty axis, or a width that is not positive or does not fit the
    batch. A value of -inf takes no share; +inf, like NaN, spoils its row.

    Source: the Boltzmann distribution of the values; Bridle, NIPS 2, 211 (1990).
    """
    values = numbers("x", x)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"Argument `x` must have a last axis that is not empty, but its shape was {values.shape}.")
    weights = jax.nn.softmax(values / width_of_rows(width, values)[..., None], axis=-1)
    return weights @ jnp.arange(values.shape[-1], dtype=weights.dtype), weights
