"""What is known about a benchmark system: the value of its observable and the gradient, with their errors."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

Kind = Literal["discretised", "exact stationary"]

# The source of truths that are integrals over the stationary density.
QUADRATURE = (
    "quadrature of the Boltzmann density of the continuous dynamics: samples differ by the scheme's error in dt and by "
    "what the burn-in leaves of the start"
)


class Truth(eqx.Module):
    """The value and the gradient that estimates are judged against.

    **Fields**: `value`: shape of the observable; `gradient`: the structure that the system's `wrt` selects, leaves of
    shape `(*observable, *parameter)`; `value_error`, `gradient_error`: standard errors of both, zero where they are
    exact to round-off; `source`: where the numbers come from and what they leave out, in a sentence; `of`: whose value
    and gradient they are: those of the "discretised" dynamics at its dt and horizon, or those of the "exact stationary"
    density of the continuous dynamics.
    """

    value: Float[Array, "*obs"]
    gradient: PyTree
    value_error: Float[Array, "*obs"]
    gradient_error: PyTree
    source: str = eqx.field(static=True)
    of: Kind = eqx.field(static=True)


def exact(value: Any, gradient: PyTree, source: str, of: Kind) -> Truth:
    """A truth without error, its numbers as arrays in the precision of the process."""
    gradient = jax.tree.map(jnp.asarray, gradient)
    zeros = jax.tree.map(jnp.zeros_like, gradient)
    return Truth(jnp.asarray(value), gradient, jnp.zeros(np.shape(value)), zeros, source, of)
