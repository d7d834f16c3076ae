"""Vectors between particles, and the numbers made of them, with derivatives that stay finite."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_norm(vector: Float[Array, "*shape d"]) -> Float[Array, "*shape"]:
    """The Euclidean length along the last axis; at the zero vector its derivative is zero instead of NaN.

    The square root is taken of one where the vector vanishes, and the result replaced afterwards: selecting only
    the result would leave 0 * inf = NaN in the derivative.
    """
    squared = jnp.sum(vector**2, axis=-1)
    vanishes = squared == 0
    return jnp.where(vanishes, 0, jnp.sqrt(jnp.where(vanishes, 1, squared)))


def minimum_image(displacement: Float[Array, "*shape d"], box: Float[Array, "#d"]) -> Float[Array, "*shape d"]:
    """The shortest of the periodic images of a displacement in an orthorhombic box of edge lengths `box`.

    Each component lands in [-box/2, box/2]. The number of boxes subtracted is constant between jumps, so the
    derivative with respect to the displacement is one, and with respect to the box is minus that number.
    """
    # One reciprocal for each edge, in place of one division for each displacement.
    return displacement - box * jnp.round(displacement * (1 / box))


def dihedral(position: Float[Array, "n 3"], indices: Sequence[int]) -> Float[Array, ""]:
    """The dihedral angle of four particles i-j-k-l about the bond j-k, in radians, in (-pi, pi].

    Zero when i and l eclipse each other (cis), positive when, seen along j -> k, l lies clockwise of i: the
    sign convention of IUPAC, so that phi and psi of a peptide come out as they are tabulated. The form with two
    arguments of the arctangent is smooth and accurate at 0 and pi, where an arccosine loses half of the digits;
    only when three neighbours are collinear is the angle undefined.

    Source: Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996), equation 4.
    """
    if len(indices) != 4:
        raise ValueError(
            f"Argument `indices` must hold four particle numbers, but it held {len(indices)}. "
            "Pass the particles i, j, k, l of the dihedral angle about the bond j-k."
        )
    first, second, third, fourth = (position[index] for index in indices)
    axis = third - second
    normal_1 = jnp.cross(second - first, axis)
    normal_2 = jnp.cross(axis, fourth - third)
    sine = jnp.dot(second - first, normal_2) * safe_norm(axis)
    return jnp.arctan2(sine, jnp.dot(normal_1, normal_2))
