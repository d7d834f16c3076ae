"""The bonded terms of a molecular force field: harmonic bonds, harmonic angles, periodic torsions.

Each term holds its topology as constants and its parameters as arrays, and gives its energy and its force in
closed form. Coordinates come as structure of arrays, `xyz` of shape (3, n): every operation below then runs along
contiguous memory.
"""

from collections.abc import Iterable
from functools import cached_property

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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
        i, j = _columns(self.atoms, 2)
        return jnp.sum(self.stiffness * (_norm(xyz[:, i] - xyz[:, j]) - self.length) ** 2) / 2

    def force(self, xyz: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """The force on every atom."""
        i, j = _columns(self.atoms, 2)
        bond = xyz[:, i] - xyz[:, j]
        pull = self.stiffness * (self.length / _norm(bond) - 1) * bond
        return _add_up(xyz, [(i, pull), (j, -pull)])


class HarmonicAngles(eqx.Module):
    """E = sum over angles i-j-k of k (theta - theta0)^2 / 2, theta at j, in radians; k in kJ/(mol rad^2)."""

    angle: Float[Array, " angles"]
    stiffness: Float[Array, " angles"]
    atoms: tuple[Triple, ...] = eqx.field(static=True)

    def energy(self, xyz: Float[Array, "3 n"]) -> Float[Array, ""]:
        """The energy of all angles."""
        i, j, k = _columns(self.atoms, 3)
        cosine, sine = _unnormalised_angle(xyz[:, i] - xyz[:, j], xyz[:, k] - xyz[:, j])
        return jnp.sum(self.stiffness * (jnp.arctan2(sine, cosine) - self.angle) ** 2) / 2

    def force(self, xyz: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """The force on every atom; zero for an angle that is exactly straight, where its direction is undefined."""
        i, j, k = _columns(self.atoms, 3)
        a, b = xyz[:, i] - xyz[:, j], xyz[:, k] - xyz[:, j]
        cosine, sine = _unnormalised_angle(a, b)
        torque = self.stiffness * (jnp.arctan2(sine, cosine) - self.angle) / jnp.where(sine == 0, 1, sine)
        on_i = torque * (b - a * (cosine / _dot(a, a)))
        on_k = torque * (a - b * (cosine / _dot(b, b)))
        return _add_up(xyz, [(i, on_i), (j, -on_i - on_k), (k, on_k)])


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
        waves = _Torsion(self.atoms, xyz).harmonics(self._orders())
        energies = [e * cosine + o * sine for e, o, (cosine, sine) in zip(*self._fourier(), waves, strict=True)]
        return sum(map(jnp.sum, energies), start=jnp.sum(self.barrier))

    def force(self, xyz: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """The force on every atom."""
        torsion = _Torsion(self.atoms, xyz)
        waves = torsion.harmonics(self._orders())
        slopes = [e * sine - o * cosine for e, o, (cosine, sine) in zip(*self._fourier(), waves, strict=True)]
        # The orders are added one by one: stacking them first would cost more than all of the arithmetic.
        torque = sum(
            (n * slope for n, slope in enumerate(slopes, start=1)), start=jnp.zeros(len(self.atoms), xyz.dtype)
        )
        return torsion.force(torque, xyz)

    def _orders(self) -> int:
        return max((n for _, n in self.terms), default=0)

    def _fourier(self) -> tuple[Float[Array, "orders angles"], Float[Array, "orders angles"]]:
        row, order = _columns(self.terms, 2)
        empty = jnp.zeros((self._orders(), len(self.atoms)), self.barrier.dtype)
        even = empty.at[order - 1, row].add(self.barrier * jnp.cos(self.phase))
        odd = empty.at[order - 1, row].add(self.barrier * jnp.sin(self.phase))
        return even, odd


class _Torsion:
    """The geometry of many dihedral angles i-j-k-l at once."""

    def __init__(self, atoms: tuple[Quadruple, ...], xyz: Float[Array, "3 n"]):
        self.atoms = i, j, k, l = _columns(atoms, 4)  # noqa: E741
        self.first, self.axis, self.last = xyz[:, j] - xyz[:, i], xyz[:, k] - xyz[:, j], xyz[:, l] - xyz[:, k]
        self.normal_1, self.normal_2 = _cross(self.first, self.axis), _cross(self.axis, self.last)

    @cached_property
    def squares(self) -> tuple[Float[Array, " angles"], Float[Array, " angles"], Float[Array, " angles"]]:
        """Squared lengths of the two normals and of the axis."""
        return _dot(self.normal_1, self.normal_1), _dot(self.normal_2, self.normal_2), _dot(self.axis, self.axis)

    def harmonics(self, orders: int) -> list[tuple[Float[Array, " angles"], Float[Array, " angles"]]]:
        """cos(n phi) and sin(n phi) for n from 1 to `orders`."""
        square_1, square_2, square_axis = self.squares
        scale = 1 / jnp.sqrt(square_1 * square_2)
        cosine = _dot(self.normal_1, self.normal_2) * scale
        sine = _dot(self.first, self.normal_2) * jnp.sqrt(square_axis) * scale
        waves = [(cosine, sine)]
        for _ in range(orders - 1):
            c, s = waves[-1]
            waves.append((c * cosine - s * sine, s * cosine + c * sine))
        return waves[:orders]

    def force(self, torque: Float[Array, " angles"], xyz: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """The force on every atom where `torque` is minus the derivative of the energy by each angle."""
        square_1, square_2, square_axis = self.squares
        torque = torque * jnp.sqrt(square_axis)
        on_i, on_l = (-torque / square_1) * self.normal_1, (torque / square_2) * self.normal_2
        transfer = (_dot(self.first, self.axis) * on_i - _dot(self.last, self.axis) * on_l) / square_axis
        i, j, k, l = self.atoms  # noqa: E741
        return _add_up(xyz, [(i, on_i), (j, -on_i - transfer), (k, transfer - on_l), (l, on_l)])


def _columns(rows: tuple[tuple[int, ...], ...], width: int) -> np.ndarray:
    return np.asarray(rows, dtype=np.int32).reshape(-1, width).T


def _add_up(xyz: Float[Array, "3 n"], contributions: list) -> Float[Array, "3 n"]:
    # One scatter for each term, rather than one for the whole molecule, is what XLA's CPU backend does fastest.
    atoms = np.concatenate([atoms for atoms, _ in contributions])
    return jnp.zeros_like(xyz).at[:, atoms].add(jnp.concatenate([force for _, force in contributions], axis=1))


def _dot(a: Float[Array, "3 m"], b: Float[Array, "3 m"]) -> Float[Array, " m"]:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Float[Array, "3 m"], b: Float[Array, "3 m"]) -> Float[Array, "3 m"]:
    return jnp.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _norm(a: Float[Array, "3 m"]) -> Float[Array, " m"]:
    return jnp.sqrt(_dot(a, a))


def _unnormalised_angle(
    a: Float[Array, "3 m"], b: Float[Array, "3 m"]
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    # The double where keeps the derivative of the length finite where a and b are parallel.
    square = _dot(normal := _cross(a, b), normal)
    sine = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
    return _dot(a, b), sine
