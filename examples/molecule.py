"""A real molecule: how the dihedral angle phi of alanine dipeptide answers to its force field.

AMBER ff14SB in vacuum, read through OpenMM, 300 K. The chain is short: watch what the verdict says of it.
Needs `pip install pliant[molecules]`.
"""

import jax
import jax.numpy as jnp

import pliant
from pliant.core.geometry import dihedral
from pliant.dynamics import BAOAB
from pliant.estimators import Reweighting
from pliant.observables import TimeAverage
from pliant.potentials import Molecule

PHI = (4, 6, 8, 14)
KT = 0.0083144626 * 300  # kJ/mol


def main() -> None:
    molecule = Molecule.alanine_dipeptide()
    law = BAOAB(molecule, x0=molecule.reference_position, dt=0.0005, kT=KT, friction=20.0, mass=molecule.masses)
    angle = TimeAverage(lambda state: jnp.cos(dihedral(state.position, PHI)), burn_in=500)
    print(pliant.gradient(law, angle, Reweighting(), horizon=2000, replicas=16, key=jax.random.key(0),
                          wrt=lambda law: law.potential.nonbonded.charge))  # fmt: skip


if __name__ == "__main__":
    main()
