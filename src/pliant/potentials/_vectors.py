"""Many vectors at once, one array for each Cartesian component.

An array of shape (3, m) would read better, but every cross product would then cut it into rows and stack them again;
the derivative of that is a chain of paddings which XLA compiles four times more slowly and runs several times more slowly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Vectors:
    """m vectors of three components, each of shape (m,)."""

    x: Float[Array, " m"]
    y: Float[Array, " m"]
    z: Float[Array, " m"]

    def __add__(self, other: "Vectors") -> "Vectors":
        return Vectors(self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other: "Vectors") -> "Vectors":
        return Vectors(self.x - other.x, self.y - other.y, self.z - other.z)

    def __neg__(self) -> "Vectors":
        return Vectors(-self.x, -self.y, -self.z)

    def __rmul__(self, factor: Float[Array, " m"]) -> "Vectors":
        return Vectors(factor * self.x, factor * self.y, factor * self.z)


def dot(a: Vectors, b: Vectors) -> Float[Array, " m"]:
    """Inner products."""
    return a.x * b.x + a.y * b.y + a.z * b.z


def cross(a: Vectors, b: Vectors) -> Vectors:
    """Outer products."""
    return Vectors(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)


def pick(xyz: Float[Array, "3 n"], atoms: np.ndarray) -> list[Vectors]:
    """The positions of `atoms`, of shape (m, width): for each of the `width` columns, m vectors."""
    count, width = atoms.shape
    picked = xyz[:, atoms.T.ravel()].reshape(3 * width, count)
    rows = [row[0] for row in jax.lax.split(picked, (1,) * (3 * width))]
    return [Vectors(*rows[column::width]) for column in range(width)]


def add_up(vectors: Sequence[Vectors], atoms: np.ndarray, like: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
    """The transpose of `pick`: what each atom receives in all."""
    components = [[v.x for v in vectors], [v.y for v in vectors], [v.z for v in vectors]]
    received = jnp.stack([jnp.concatenate(component) for component in components])
    return jnp.zeros_like(like).at[:, atoms.T.ravel()].add(received)
