"""The bonded terms of a molecular force field: harmonic bonds, harmonic angles, periodic torsions.

Each term holds its topology as constants and its parameters as arrays, and gives its energy and its force in
closed form. Coordinates come as structure of arrays, `xyz` of shape (3, n): every operation below then runs along
contiguous memory.
"""

from collections.abc import Iterable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pliant.potentials._vectors import Vectors, add_up, cross, dot, pick

Pair = tuple[int, int]
Triple = tuple[int, int, int]
Quadruple = tuple[int, int, int, int]


class HarmonicBonds(eqx.Module):
    """E = sum over bonds of k (r - r0)^2 / 2, in kJ/mol with r0 in nm and k in kJ/(mol nm^2)."""

    length: Float[Array, " bonds"]
    stiffness: Float[Array, " bonds"]
    atoms: tuple[Pair, ...] = eqx.field(static=True)

    def energy(self, xyz: Float[Array, "3 n"]) -> Float[Array, ""]:
        """The energy of all bonds."""
        i, j = pick(xyz, _table(self.atoms, 2))
        return jnp.sum(self.stiffness * (_norm(i - j) - self.length) ** 2) / 2

    def force(self, xyz: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """The force on every atom."""
        i, j = pick(xyz, _table(self.atoms, 2))
        pull = self.stiffness * (self.length / _norm(i - j) - 1) * (i - j)
        return add_up([pull, -pull], _table(self.atoms, 2), xyz)


class HarmonicAngles(eqx.Module):
    """E = sum over angles i-j-k of k (theta - theta0)^2 / 2, theta at j, in radians; k in kJ/(mol rad^2)."""

    angle: Float[Array, " angles"]
    stiffness: Float[Array, " angles"]
    atoms: tuple[Triple, ...] = eqx.field(static=True)

    def energy(self, xyz: Float[Array, "3 n"]) -> Float[Array, ""]:
        """The energy of all angles."""
        i, j, k = pick(xyz, _table(self.atoms, 3))
        cosine, sine = _unnormalised_angle(i - j, k - j)
        return jnp.sum(self.stiffness * (jnp.arctan2(sine, cosine) - self.angle) ** 2) / 2

    def force(self, xyz: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """The force on every atom; zero for an angle that is exactly straight, where its direction is undefined."""
        i, j, k = pick(xyz, _table(self.atoms, 3))
        a, b = i - j, k - j
        cosine, sine = _unnormalised_angle(a, b)
        torque = self.stiffness * (jnp.arctan2(sine, cosine) - self.angle) / jnp.where(sine == 0, 1, sine)
        on_i = torque * (b - (cosine / dot(a, a)) * a)
        on_k = torque * (a - (cosine / dot(b, b)) * b)
        return add_up([on_i, -on_i - on_k, on_k], _table(self.atoms, 3), xyz)


class PeriodicTorsions(eqx.Module):
    """E = sum over terms of k (1 + cos(n phi - phi0)), phi the dihedral angle of a term; k in kJ/mol.

    Several terms share a dihedral angle, so the geometry is done once for each angle: `terms` says for every term
    the row of `atoms` it belongs to and its periodicity n. No angle is ever computed: cos(n phi) and sin(n phi)
    follow from cos(phi) and sin(phi), which are rational in the coordinates, by the addition theorem.

    Source: Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996), equations 4 and 27, for a force without the
    spurious singularity at phi = 0.
    """

    barrier: Float[Array, " terms"]
    phase: Float[Array, " terms"]
    atoms: tuple[Quadruple, ...] = eqx.field(static=True)
    terms: tuple[Pair, ...] = eqx.field(static=True)

    @classmethod
    def grouped(cls, barrier, phase, atoms: Iterable[Quadruple], periodicity: Iterable[int]) -> "PeriodicTorsions":
        """From one row per term, finding the terms that share their atoms."""
        atoms = list(atoms)
        rows = {quadruple: row for row, quadruple in enumerate(dict.fromkeys(atoms))}
        terms = tuple((rows[quadruple], n) for quadruple, n in zip(atoms, periodicity, strict=True))
        return cls(barrier, phase, tuple(rows), terms)

    def energy(self, xyz: Float[Array, "3 n"]) -> Float[Array, ""]:
        """The energy of all torsions."""
        waves = _Torsion(pick(xyz, _table(self.atoms, 4))).harmonics(self._orders())
        energies = [e * cosine + o * sine for e, o, (cosine, sine) in zip(*self._fourier(), waves, strict=True)]
        return sum(map(jnp.sum, energies), start=jnp.sum(self.barrier))

    def force(self, xyz: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """The force on every atom."""
        torsion = _Torsion(pick(xyz, _table(self.atoms, 4)))
        waves = torsion.harmonics(self._orders())
        slopes = [e * sine - o * cosine for e, o, (cosine, sine) in zip(*self._fourier(), waves, strict=True)]
        # The orders are added one by one: stacking them first would cost more than all of the arithmetic.
        torque = sum(
            (n * slope for n, slope in enumerate(slopes, start=1)), start=jnp.zeros(len(self.atoms), xyz.dtype)
        )
        return add_up(torsion.forces(torque), _table(self.atoms, 4), xyz)

    def _orders(self) -> int:
        return max((n for _, n in self.terms), default=0)

    def _fourier(self) -> tuple[Float[Array, "orders angles"], Float[Array, "orders angles"]]:
        row, order = _table(self.terms, 2).T
        empty = jnp.zeros((self._orders(), len(self.atoms)), self.barrier.dtype)
        even = empty.at[order - 1, row].add(self.barrier * jnp.cos(self.phase))
        odd = empty.at[order - 1, row].add(self.barrier * jnp.sin(self.phase))
        return even, odd


class _Torsion:
    """The geometry of many dihedral angles i-j-k-l at once."""

    def __init__(self, corners: Sequence[Vectors]):
        i, j, k, l = corners  # noqa: E741
        self.first, self.axis, self.last = j - i, k - j, l - k
        self.normal_1, self.normal_2 = cross(self.first, self.axis), cross(self.axis, self.last)
        self.square_1, self.square_2 = dot(self.normal_1, self.normal_1), dot(self.normal_2, self.normal_2)
        self.square_axis = dot(self.axis, self.axis)

    def harmonics(self, orders: int) -> list[tuple[Float[Array, " angles"], Float[Array, " angles"]]]:
        """cos(n phi) and sin(n phi) for n from 1 to `orders`."""
        scale = 1 / jnp.sqrt(self.square_1 * self.square_2)
        cosine = dot(self.normal_1, self.normal_2) * scale
        sine = dot(self.first, self.normal_2) * jnp.sqrt(self.square_axis) * scale
        waves = [(cosine, sine)]
        for _ in range(orders - 1):
            c, s = waves[-1]
            waves.append((c * cosine - s * sine, s * cosine + c * sine))
        return waves[:orders]

    def forces(self, torque: Float[Array, " angles"]) -> list[Vectors]:
        """The forces on i, j, k and l where `torque` is minus the derivative of the energy by each angle."""
        torque = torque * jnp.sqrt(self.square_axis)
        on_i, on_l = (-torque / self.square_1) * self.normal_1, (torque / self.square_2) * self.normal_2
        share_i = dot(self.first, self.axis) / self.square_axis
        share_l = dot(self.last, self.axis) / self.square_axis
        transfer = share_i * on_i - share_l * on_l
        return [on_i, -on_i - transfer, transfer - on_l, on_l]


def _table(rows: tuple[tuple[int, ...], ...], width: int) -> np.ndarray:
    return np.asarray(rows, dtype=np.int32).reshape(-1, width)


def _norm(a: Vectors) -> Float[Array, " m"]:
    return jnp.sqrt(dot(a, a))


def _unnormalised_angle(a: Vectors, b: Vectors) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    # The double where keeps the derivative of the length finite where a and b are parallel.
    square = dot(normal := cross(a, b), normal)
    sine = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
    return dot(a, b), sine
