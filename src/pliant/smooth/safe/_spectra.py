"""What spectral functions share."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float

from pliant.smooth._arguments import numbers


def symmetric(matrix: ArrayLike) -> Float[Array, "*shape n n"]:
    """The symmetric part; ValueError for what is not a square real matrix."""
    array = numbers("matrix", matrix)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(
            f"Argument `matrix` must be real with shape (..., n, n), but it was of {array.dtype} with shape {array.shape}."
        )
    return (array + transposed(array)) / 2


def transposed(matrix: Float[Array, "*shape n m"]) -> Float[Array, "*shape m n"]:
    """With the last two axes swapped."""
    return jnp.swapaxes(matrix, -1, -2)


def gaps(levels: Float[Array, "*shape n"]) -> Float[Array, "*shape n n"]:
    """The level of the column minus that of the row."""
    return levels[..., None, :] - levels[..., :, None]


def one_level(levels: Float[Array, "*shape n"]) -> Bool[Array, "*shape n n"]:
    """Which pairs of levels are apart by no more than rounding."""
    return jnp.abs(gaps(levels)) <= 100 * levels.shape[-1] * jnp.finfo(levels.dtype).eps * spread(levels)


@jax.custom_jvp
def distinct(matrix: Float[Array, "*shape n n"]) -> tuple[Float[Array, "*shape n"], Float[Array, "*shape n n"]]:
    """Levels and vectors whose derivative is NaN where levels are degenerate: inside rules, for second derivatives.

    Without it the inverse of a gap of rounding errors makes a number that is finite, and wrong.
    """
    levels, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return levels, vectors


@distinct.defjvp
def _rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    levels, vectors = distinct(primals[0])
    return (levels, vectors), moved(levels, vectors, tangents[0], jnp.nan)


def moved(levels: Array, vectors: Array, change: Array, turn_within: float) -> tuple[Array, Array]:
    """How levels and vectors change with the matrix; within a level vectors turn at a given rate."""
    diagonal = jnp.eye(levels.shape[-1], dtype=bool)
    apart = ~one_level(levels) & ~diagonal
    turn = jnp.where(apart, 1 / jnp.where(apart, gaps(levels), 1), jnp.where(diagonal, 0, turn_within))
    inside = transposed(vectors) @ change @ vectors
    return jnp.diagonal(inside, axis1=-2, axis2=-1), vectors @ (turn * inside)


def spread(levels: Float[Array, "*shape n"]) -> Float[Array, "*shape 1 1"]:
    """The largest level in size, to compare gaps with."""
    return jnp.max(jnp.abs(levels), axis=-1, initial=0)[..., None, None]
