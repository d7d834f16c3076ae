"""What spectral functions share."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import floating


def symmetric(matrix: ArrayLike) -> Float[Array, "*shape n n"]:
    """The symmetric part; ValueError for what is not a square real matrix."""
    array = jnp.asarray(matrix)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or jnp.iscomplexobj(array):
        raise ValueError(
            f"Argument `matrix` must be real with shape (..., n, n), but it was of {array.dtype} with shape {array.shape}."
        )
    array = floating(array)
    return (array + transposed(array)) / 2


def transposed(matrix: Float[Array, "*shape n m"]) -> Float[Array, "*shape m n"]:
    """With the last two axes swapped."""
    return jnp.swapaxes(matrix, -1, -2)


def gaps(levels: Float[Array, "*shape n"]) -> Float[Array, "*shape n n"]:
    """The level of the column minus that of the row."""
    return levels[..., None, :] - levels[..., :, None]


def spread(levels: Float[Array, "*shape n"]) -> Float[Array, "*shape 1 1"]:
    """The largest level in size, to compare gaps with."""
    return jnp.max(jnp.abs(levels), axis=-1, initial=0)[..., None, None]
