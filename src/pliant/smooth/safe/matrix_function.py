"""A function of a symmetric matrix."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth.safe._spectra import distinct, gaps, spread, symmetric, transposed

Elementwise = Callable[..., Array]


def matrix_function(function: Elementwise, matrix: ArrayLike) -> Float[Array, "*shape n n"]:
    r"""$f(A) = V f(\lambda) V^T$ for the symmetric part of a real matrix, differentiable in A and in what f closes over.

    **Arguments**: `function`, elementwise, smooth; `matrix`, shape (..., n, n).

    First derivatives are right and finite at degenerate levels too: $df(A) = V (f[\lambda_i, \lambda_j] \circ V^T
    dA\,V) V^T$ with divided differences, which are integrals of $f'$ (Simpson's rule) where levels are closer than
    the cube root of the rounding error, relative to the largest: f must be smooth on that scale. Second derivatives
    are right where levels are distinct, and NaN where they are not.

    Raises ValueError for what is no function, or a matrix that is not square and real. Cost: O(n³), and f and f' of an
    n x n array.

    Source: Daleckii and Krein, AMS Transl. 47, 1 (1965); Higham, Functions of Matrices (2008), theorem 3.11.
    """
    if not callable(function):
        raise ValueError(f"Argument `function` must be a function of the levels, but it was {function!r}.")
    given = symmetric(matrix)
    # What f closes over becomes an argument, for a derivative of its own.
    closed, constants = jax.closure_convert(function, jnp.zeros_like(given, shape=given.shape[-1:]))
    alone = jnp.vectorize(lambda one: _apply(closed, one, *constants), signature="(n,n)->(n,n)")
    return alone(given)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _apply(function: Elementwise, matrix: Array, *constants: Array) -> Array:
    levels, vectors = jnp.linalg.eigh(matrix)
    return (vectors * function(levels, *constants)) @ transposed(vectors)


@_apply.defjvp
def _rule(function: Elementwise, primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    (matrix, *constants), (change, *changes) = primals, tangents
    levels, vectors = distinct(matrix)
    slopes = _divided_differences(lambda x: function(x, *constants), levels)
    values, moved = jax.jvp(lambda *given: function(levels, *given), tuple(constants), tuple(changes))
    by_matrix = slopes * (transposed(vectors) @ change @ vectors)
    back = lambda diagonal_frame: vectors @ diagonal_frame @ transposed(vectors)
    return back(jnp.diag(values)), back(by_matrix + jnp.diag(moved))


def _divided_differences(f: Elementwise, levels: Array) -> Array:
    gap = gaps(levels)
    close = jnp.abs(gap) <= jnp.cbrt(jnp.finfo(levels.dtype).eps) * spread(levels)
    slope = lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
    at, middle = slope(levels), jax.vmap(slope)((levels + levels[:, None]) / 2)
    integral = (at + 4 * middle + at[:, None]) / 6
    return jnp.where(close, integral, gaps(f(levels)) / jnp.where(close, 1, gap))
