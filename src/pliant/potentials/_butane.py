"""United-atom butane, the textbook molecule with one torsion: what a `Molecule` is by default.

Angles, torsion and Lennard-Jones parameters are those of TraPPE-UA (Martin and Siepmann, J. Phys. Chem. B 102, 2569
(1998), tables 1 and 2), converted from kelvin. TraPPE holds bonds rigid; here they have the stiffness of an AMBER
CT-CT bond, 310 kcal/(mol A^2) (Cornell et al., J. Am. Chem. Soc. 117, 5179 (1995)).
"""

import math

import jax.numpy as jnp

from pliant.potentials._nonbonded import Nonbonded
from pliant.potentials._terms import HarmonicAngles, HarmonicBonds, PeriodicTorsions

KELVIN = 0.00831446261815324
"""Boltzmann's constant: kJ/mol for each kelvin."""

ATOM_NAMES = ("CH3", "CH2", "CH2", "CH3")
MASSES = (15.035, 14.027, 14.027, 15.035)
BOND_LENGTH, BOND_ANGLE = 0.154, math.radians(114.0)


def bonds() -> HarmonicBonds:
    """Three C-C bonds."""
    return HarmonicBonds(_array([BOND_LENGTH] * 3), _array([2 * 310 * 418.4] * 3), ((0, 1), (1, 2), (2, 3)))


def angles() -> HarmonicAngles:
    """Two C-C-C angles."""
    return HarmonicAngles(_array([BOND_ANGLE] * 2), _array([62500 * KELVIN] * 2), ((0, 1, 2), (1, 2, 3)))


def torsions() -> PeriodicTorsions:
    """c1 (1 + cos phi) + c2 (1 - cos 2 phi) + c3 (1 + cos 3 phi), with phi = pi in the trans state."""
    barrier = _array([355.03 * KELVIN, -68.19 * KELVIN, 791.32 * KELVIN])
    return PeriodicTorsions.grouped(barrier, _array([0.0, math.pi, 0.0]), [(0, 1, 2, 3)] * 3, [1, 2, 3])


def nonbonded() -> Nonbonded:
    """Lennard-Jones sites that TraPPE lets interact only from four bonds on: here not at all."""
    return Nonbonded(
        charge=_array([0.0] * 4),
        sigma=_array([0.375, 0.395, 0.395, 0.375]),
        epsilon=_array([98 * KELVIN, 46 * KELVIN, 46 * KELVIN, 98 * KELVIN]),
        exception_charge_product=_array([0.0]),
        exception_sigma=_array([0.375]),
        exception_epsilon=_array([0.0]),
        exceptions=((0, 3),),
        exclusions=((0, 1), (0, 2), (1, 2), (1, 3), (2, 3)),
    )


def trans_geometry() -> tuple[tuple[float, float, float], ...]:
    """The zigzag of the trans state, every bond and angle relaxed: the global minimum of the energy."""
    along, across = BOND_LENGTH * math.sin(BOND_ANGLE / 2), BOND_LENGTH * math.cos(BOND_ANGLE / 2)
    return tuple((site * along, (site % 2) * across, 0.0) for site in range(4))


def _array(values: list[float]):
    return jnp.asarray(values, dtype=float)
