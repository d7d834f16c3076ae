"""Eigenvalues and eigenvectors with finite derivatives."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth.safe._spectra import distinct, moved, symmetric


def eigh(matrix: ArrayLike) -> tuple[Float[Array, "*shape n"], Float[Array, "*shape n n"]]:
    r"""Eigenvalues, ascending, and eigenvectors, in columns, of the symmetric part of a real matrix.

    **Arguments**: `matrix`, shape (..., n, n).

    Degenerate eigenvectors are any basis of their level and have no derivative; here they do not turn into one
    another: $dV = V (F \circ V^T dA\,V)$ with $F_{ij} = 1/(\lambda_j - \lambda_i)$ between levels and 0 within one,
    that is up to 100 n roundings of the largest. With that, first derivatives are finite and right for every
    function that does not depend on the basis: sums and other symmetric functions of the eigenvalues of a level,
    the projector $\sum v v^T$ on a whole level. A single eigenvalue of a level has a kink, and its derivative is
    one of its slopes. $V f(\lambda) V^T$ needs `matrix_function` where levels are degenerate: what splits a level
    is not in $\lambda$ and V. Second derivatives there are NaN; those of `projector` are right.

    Raises ValueError for a matrix that is not square and real. Cost: O(n³).

    Source: Magnus, Econom. Theory 1, 179 (1985); for the levels, Kato, Perturbation Theory for Linear Operators (1966),
    chapter II, section 2.
    """
    return _eigh(symmetric(matrix))


@jax.custom_jvp
def _eigh(matrix: Array) -> tuple[Array, Array]:
    levels, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return levels, vectors


@_eigh.defjvp
def _rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    levels, vectors = distinct(primals[0])
    return (levels, vectors), moved(levels, vectors, tangents[0], 0.0)
