"""All pairs of particles at once, as one n x n matrix for each Cartesian component.

Three separate matrices, not one array of shape (3, n, n): XLA then fuses a pair potential into few loops over
contiguous memory, which for an ensemble, or for hundreds of particles, is about three times faster.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pliant.core.geometry import minimum_image

Rows = tuple[Float[Array, "n n"], Float[Array, "n n"], Float[Array, "n n"]]


def displacements(xyz: Float[Array, "3 n"], box: Float[Array, "3"] | None = None) -> Rows:
    """x_i - x_j, component by component, for i along the rows and j along the columns; its shortest image in a box."""
    x, y, z = (row[:, None] - row[None, :] for row in xyz)
    if box is None:
        return x, y, z
    return minimum_image(x, box[0]), minimum_image(y, box[1]), minimum_image(z, box[2])


def squared_distances(rows: Rows) -> Float[Array, "n n"]:
    """|x_i - x_j|^2."""
    return rows[0] ** 2 + rows[1] ** 2 + rows[2] ** 2


def same_particle(count: int) -> Bool[Array, "n n"]:
    """True on the diagonal."""
    index = jnp.arange(count)
    return index[:, None] == index[None, :]


def total_force(radial: Float[Array, "n n"], rows: Rows) -> Float[Array, "3 n"]:
    """sum_j radial_ij (x_i - x_j), where radial is minus the slope of the pair energy over the distance."""
    return jnp.stack([jnp.sum(radial * row, axis=1) for row in rows])
