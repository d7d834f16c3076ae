"""A molecule in a classical force field."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.potential import Potential
from pliant.potentials import _butane, _dipeptide, _openmm
from pliant.potentials._gbsa import OBC2
from pliant.potentials._nonbonded import Nonbonded
from pliant.potentials._parameters import in_precision_of
from pliant.potentials._terms import HarmonicAngles, HarmonicBonds, PeriodicTorsions


class Molecule(Potential):
    """Bonds, angles, torsions, Coulomb and Lennard-Jones pairs, and optionally implicit solvent, all differentiable.

    Every parameter of the force field is an array, so a gradient with respect to a molecule holds the derivative with
    respect to each bond length, charge, torsion barrier ... of the simulation. Build one from any OpenMM system
    (`from_openmm`) or take alanine dipeptide (`alanine_dipeptide`); without arguments it is united-atom butane,
    which needs no OpenMM.

    Positions have shape (n, 3), in nm; energies are in kJ/mol, masses in atomic mass units, so times are in ps.
    There are no constraints: the fastest bonds to hydrogen turn at about 620 rad/ps, which makes velocity Verlet
    unstable above 3.2 fs; use 1 fs or less. One evaluation costs O(n^2), made for tens to hundreds of atoms. The
    energy is not defined where two atoms coincide or three atoms of a torsion lie on a line.

    Parameters of 1-4 pairs are independent of the charges they were once derived from, as in OpenMM. The solvent
    shares the charges of `nonbonded`. The derivative with respect to a Lennard-Jones depth that is exactly zero is
    infinite; it is given as zero.

    Source: Cornell et al., J. Am. Chem. Soc. 117, 5179 (1995), equation 1; for the solvent, Onufriev, Bashford and
    Case, Proteins 55, 383 (2004). Butane: Martin and Siepmann, J. Phys. Chem. B 102, 2569 (1998).
    """

    bonds: HarmonicBonds = eqx.field(default_factory=_butane.bonds)
    angles: HarmonicAngles = eqx.field(default_factory=_butane.angles)
    torsions: PeriodicTorsions = eqx.field(default_factory=_butane.torsions)
    nonbonded: Nonbonded = eqx.field(default_factory=_butane.nonbonded)
    solvent: OBC2 | None = None
    atom_names: tuple[str, ...] = eqx.field(static=True, default=_butane.ATOM_NAMES)
    # Constants, not parameters: no energy depends on them.
    _masses: tuple[float, ...] = eqx.field(static=True, default=_butane.MASSES)
    _reference: tuple[tuple[float, ...], ...] | None = eqx.field(static=True, default=_butane.trans_geometry())

    @classmethod
    def from_openmm(cls, system: Any, topology: Any = None, positions: Any = None) -> "Molecule":
        """The molecule that an OpenMM system describes.

        Supported are HarmonicBondForce, HarmonicAngleForce, PeriodicTorsionForce, NonbondedForce without cut-off
        (with its exceptions), GBSAOBCForce, and CustomGBForce where it is OBC2; CMMotionRemover is ignored, because it
        is not a force. Energies and forces agree with OpenMM's Reference platform to rounding. OpenMM is needed only
        here, not to simulate.

        Parameters
        ----------
        system
            An `openmm.System` without constraints, virtual sites or periodic box.
        topology
            An `openmm.app.Topology` (or an iterable of atoms with names) from which to keep the atoms' names.
        positions
            A geometry to keep as `reference_position`: an OpenMM quantity, or numbers in nm, of shape (n, 3).

        Raises
        ------
        ValueError
            Names the first force, constraint or setting of the system that has no counterpart here.
        ImportError
            OpenMM is not installed.
        """
        terms = _openmm.read_terms(system)
        return cls(
            **terms,
            atom_names=_openmm.read_atom_names(topology, system.getNumParticles()),
            _masses=_openmm.read_masses(system),
            _reference=_openmm.read_positions(positions, system.getNumParticles()),
        )

    @classmethod
    def alanine_dipeptide(cls, forcefield: str = "ff14SB", solvent: str | None = None) -> "Molecule":
        """Alanine dipeptide, ACE-ALA-NME, 22 atoms: the fruit fly of biomolecular simulation.

        Its free energy is mapped by two dihedral angles: phi, atoms (4, 6, 8, 14), and psi, atoms (6, 8, 14, 16).
        The reference position is C7eq, the global minimum of ff14SB in vacuum.

        Parameters
        ----------
        forcefield
            "ff14SB" (Maier et al., J. Chem. Theory Comput. 11, 3696 (2015)) or "ff96" (Kollman, Acc. Chem. Res. 29,
            461 (1996)), read from the files that OpenMM carries.
        solvent
            None for vacuum, or "OBC2" for generalised Born water with AMBER's mbondi2 radii.
        """
        system = _dipeptide.system(forcefield, solvent)
        return cls.from_openmm(system, _dipeptide.topology(), _dipeptide.C7EQ)

    @property
    def masses(self) -> Float[Array, " n"]:
        """Masses of the atoms, in atomic mass units."""
        return jnp.asarray(self._masses, dtype=float)

    @property
    def reference_position(self) -> Float[Array, "n 3"]:
        """A geometry to start from, in nm."""
        if self._reference is None:
            raise ValueError(
                "This molecule has no reference position: an OpenMM system holds none. "
                "Pass `positions` to `Molecule.from_openmm`."
            )
        return jnp.asarray(self._reference, dtype=float)

    @property
    def example_position(self) -> Float[Array, "n 3"]:
        return self.reference_position

    def __call__(self, position: Float[Array, "n 3"]) -> Float[Array, ""]:
        """The energy in kJ/mol."""
        return sum(self.energies(position).values(), start=jnp.zeros((), position.dtype))

    def energies(self, position: Float[Array, "n 3"]) -> dict[str, Float[Array, ""]]:
        """The energy of each term of the force field, in kJ/mol, by the name of its field."""
        molecule, xyz = self._prepared(position)
        energies = {name: getattr(molecule, name).energy(xyz) for name in ("bonds", "angles", "torsions", "nonbonded")}
        if molecule.solvent is not None:
            energies["solvent"] = molecule.solvent.energy(xyz, molecule.nonbonded.charge)
        return energies

    def force(self, position: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        """The force in kJ/(mol nm), in closed form for every term."""
        molecule, xyz = self._prepared(position)
        force = molecule.nonbonded.force(xyz) + molecule.bonds.force(xyz)
        force = force + molecule.angles.force(xyz) + molecule.torsions.force(xyz)
        if molecule.solvent is not None:
            force = force + molecule.solvent.force(xyz, molecule.nonbonded.charge)
        return force.T

    def _prepared(self, position: Float[Array, "n 3"]) -> tuple["Molecule", Float[Array, "3 n"]]:
        if position.shape != (len(self._masses), 3):
            raise ValueError(
                f"Argument `position` must have shape ({len(self._masses)}, 3), one row for each atom, "
                f"but it had shape {position.shape}. Vectorise over several geometries with jax.vmap."
            )
        return in_precision_of(position, self), position.T
