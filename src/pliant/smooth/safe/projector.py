"""The projector on some levels of a symmetric matrix."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth.safe._spectra import gaps, symmetric, transposed


def projector(matrix: ArrayLike, start: int, stop: int) -> Float[Array, "*shape n n"]:
    r"""The projector $P = \sum_i v_i v_i^T$ on the eigenvectors of number start .. stop - 1, ascending from 0.

    **Arguments**: `matrix`, shape (..., n, n), of which the symmetric part counts; 0 <= `start` < `stop` <= n.

    Levels inside may be degenerate, and so may levels outside: derivatives of every order are right and finite,
    from the commutator $[A, P] = 0$ alone: $X = (1 - P)\,dP\,P$ solves $A X - X A = -(1 - P)\,dA\,P$. They grow as
    one over the gap between inside and outside. Where a degenerate level is cut in two the projector jumps, and its
    derivative is not finite.

    Raises ValueError for a matrix that is not square and real, or numbers out of range. Cost: O(n³).

    Source: Kato, Perturbation Theory for Linear Operators (1966), chapter II, section 2; as an implicit function.
    """
    given = symmetric(matrix)
    if not 0 <= start < stop <= given.shape[-1]:
        raise ValueError(
            f"Arguments `start` and `stop` must obey 0 <= start < stop <= {given.shape[-1]}, but they were {start} and {stop}."
        )
    alone = jnp.vectorize(partial(_projector, start, stop), signature="(n,n)->(n,n)")
    return alone(given)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _projector(start: int, stop: int, matrix: Array) -> Array:
    vectors = jnp.linalg.eigh(matrix)[1][:, start:stop]
    return vectors @ transposed(vectors)


@_projector.defjvp
def _rule(start: int, stop: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (matrix,), (change,) = primals, tangents
    inside = _projector(start, stop, matrix)
    outside = jnp.eye(len(matrix), dtype=matrix.dtype) - inside

    def commutator(x: Array) -> Array:
        # The identity on all other blocks, so that it can be inverted; symmetric, since the matrix is.
        block = outside @ x @ inside
        return matrix @ block - block @ matrix + x - block

    def solve(_: object, right: Array) -> Array:
        levels, vectors = jnp.linalg.eigh(matrix)
        number = jnp.arange(len(matrix))
        chosen = (number >= start) & (number < stop)
        divisor = jnp.where(~chosen[:, None] & chosen, -gaps(levels), 1)
        return vectors @ ((transposed(vectors) @ right @ vectors) / divisor) @ transposed(vectors)

    x = jax.lax.custom_linear_solve(commutator, -outside @ change @ inside, solve, symmetric=True)
    return inside, x + transposed(x)
