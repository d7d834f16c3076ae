r"""Linear stochastic flow $dz = -A z\,dt + B\,dW$ with $B B^T = A + A^T$ over a finite time: its unit covariance is kept.

The propagator is $T = e^{-hA}$ and the noise it adds has the covariance

$$ \Sigma = \int_0^h e^{-sA} (A + A^T) e^{-sA^T} ds = 1 - T T^T. $$

The difference on the right loses all digits where noise reaches a variable only through others (the velocity of a
generalised Langevin equation gains $\Sigma_{vv} \sim h^3$). Series over a small fraction of h, then doublings
$\Sigma_{2h} = \Sigma_h + T \Sigma_h T^T$, add positive terms alone.

Source: Van Loan, IEEE Trans. Autom. Control 23, 395 (1978), section II, for the integral; scaling and squaring as in
Moler and Van Loan, SIAM Rev. 45, 3 (2003), method 3.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Sums and doublings are loops: unrolled, these products of small matrices take XLA half as long again to compile.
# Times 2^-10, matrices of norm up to 500 are below one half, where 14 terms reach round-off.
_DOUBLINGS, _TERMS = 10, 14
LARGEST = 500.0

Square = Float[Array, "n n"]


def propagator(drift: Square, time: Float[Array, ""] | float) -> Square:
    """The matrix exponential $e^{-time A}$; a negative time gives its inverse. Valid for |time A| below `LARGEST`."""
    change = lax.fori_loop(0, _DOUBLINGS, lambda _, change: 2 * change + change @ change, _small_change(drift, time))
    return jnp.eye(len(drift), dtype=change.dtype) + change


def _propagator_and_noise(drift: Square, time: Float[Array, ""] | float) -> tuple[Square, Square]:
    def double(_: Any, carry: tuple[Square, Square]) -> tuple[Square, Square]:
        change, covariance = carry
        moved = covariance + change @ covariance
        return 2 * change + change @ change, covariance + moved + moved @ change.T

    change, covariance = lax.fori_loop(
        0, _DOUBLINGS, double, (_small_change(drift, time), _small_covariance(drift, time))
    )
    return jnp.eye(len(drift), dtype=change.dtype) + change, jnp.linalg.cholesky(covariance)


@jax.custom_jvp
def propagator_and_noise(drift: Square, time: Float[Array, ""] | float) -> tuple[Square, Square]:
    r"""The propagator T and the lower triangular S with $S S^T = 1 - T T^T$."""
    return _propagator_and_noise(drift, time)


@propagator_and_noise.defjvp
def _along(at: tuple, tangent: tuple) -> tuple[tuple[Square, Square], tuple[Square, Square]]:
    """All derivatives first, then their product with the tangent.

    Reverse mode then turns that product around, not the doublings: in a batch they are the same for all replicas.
    """
    slopes = jax.jacfwd(_propagator_and_noise, (0, 1))(*at)
    moved = [jnp.tensordot(by_drift, tangent[0], 2) + by_time * tangent[1] for by_drift, by_time in slopes]
    return _propagator_and_noise(*at), (moved[0], moved[1])


def _small_change(drift: Square, time: Float[Array, ""] | float) -> Square:
    r"""$e^{-\epsilon A} - 1$ with $\epsilon$ the time over 2^doublings."""
    step = -drift * (time / 2**_DOUBLINGS)
    return _series(step, lambda term, order: term @ step / order)


def _small_covariance(drift: Square, time: Float[Array, ""] | float) -> Square:
    fraction = time / 2**_DOUBLINGS
    step = -drift * fraction

    def following(term: Square, order: Any) -> Square:
        moved = step @ term
        return (moved + moved.T) / order

    return _series(fraction * (drift + drift.T), following)


def _series(first: Square, following: Callable[[Square, Any], Square]) -> Square:
    """The sum of the terms of an exponential, each made from the one before it."""

    def add(order: Any, carry: tuple[Square, Square]) -> tuple[Square, Square]:
        term = following(carry[0], order)
        return term, carry[1] + term

    return lax.fori_loop(2, _TERMS + 1, add, (first, first))[1]
