"""Symmetric positive definite block-tridiagonal systems, by block elimination."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def solve(
    diagonal: Float[Array, "k m m"], upper: Float[Array, "k m m"], right: Float[Array, "k m"]
) -> Float[Array, "k m"]:
    r"""The solution of $U_{i-1}^T x_{i-1} + S_i x_i + U_i x_{i+1} = r_i$; the last of `upper` is not used.

    Cost: $O(k m^3)$, memory $O(k m^2)$. Stable without pivoting, since the Schur complements stay positive definite.

    Source: Golub and Van Loan, Matrix Computations (2013), section 4.5.1.
    """

    def eliminate(before: tuple[Array, Array], row: tuple[Array, Array, Array]) -> tuple:
        (link, known), (block, above, value) = before, row
        pivot = jax.scipy.linalg.cho_factor(block - link)[0]
        # Two solves: the first serves all right-hand sides of a batch.
        gone, reduced = (jax.scipy.linalg.cho_solve((pivot, False), b) for b in (above, value - known))
        return (above.T @ gone, above.T @ reduced), (gone, reduced)

    def substitute(after: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        gone, reduced = row
        found = reduced - gone @ after
        return found, found

    nothing = jnp.zeros_like(right[0])
    _, rows = jax.lax.scan(eliminate, (jnp.zeros_like(diagonal[0]), nothing), (diagonal, upper, right))
    # The last row couples to nothing: what stands in its `upper` meets zeros.
    return jax.lax.scan(substitute, nothing, rows, reverse=True)[1]
