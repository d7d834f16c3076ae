"""What central differences share: the shifted parameters, and slopes as a tree of the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree


def shifts(parameters: PyTree, step: float) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
    """The half width of every difference, relative to its parameter (absolute where that is zero), and one shift a row."""
    flat, _ = ravel_pytree(parameters)
    widths = step * jnp.where(flat == 0, 1.0, jnp.abs(flat))
    return widths, widths[:, None] * jnp.eye(flat.size, dtype=flat.dtype)


def shifted(parameters: PyTree, shift: Float[Array, " p"]) -> PyTree:
    """The parameters moved by `shift`."""
    flat, unravel = ravel_pytree(parameters)
    return unravel(flat + shift)


def slopes(
    above: Float[Array, "p *obs"], below: Float[Array, "p *obs"], widths: Float[Array, " p"], parameters: PyTree
) -> PyTree:
    """Central differences as the tree of parameters for every component of the observable, its axes in front."""
    found = jnp.moveaxis((above - below) / (2 * widths.reshape((-1,) + (1,) * (above.ndim - 1))), 0, -1)
    rebuild: Any = ravel_pytree(parameters)[1]
    for _ in range(found.ndim - 1):
        rebuild = jax.vmap(rebuild)
    return rebuild(found)
