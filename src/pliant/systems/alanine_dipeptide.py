"""Alanine dipeptide in vacuum: a real molecule in a real force field."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.geometry import dihedral
from pliant.core.observable import Observable
from pliant.core.potential import Potential
from pliant.dynamics import BAOAB, Langevin, OverdampedLangevin
from pliant.observables import TimeAverage
from pliant.potentials import Molecule
from pliant.systems._system import System, build, weights
from pliant.systems._truth import Truth

PHI, PSI = (4, 6, 8, 14), (6, 8, 14, 16)
# kJ/mol: the molar gas constant times 300 K.
_KT = 8.31446261815324e-3 * 300


class _Scales(eqx.Module):
    """Dimensionless strengths of parts of a force field, one where it is as published."""

    torsion: Float[Array, ""]
    charge: Float[Array, ""]


class _Scaled(Potential):
    """A molecule whose torsion barriers and charges are scaled; 1-4 charge products scale as the charges squared."""

    scales: _Scales
    molecule: Molecule

    def __call__(self, position: Float[Array, "n 3"]) -> Float[Array, ""]:
        return self._scaled()(position)

    def force(self, position: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        return self._scaled().force(position)

    def _scaled(self) -> Molecule:
        molecule, scales = self.molecule, self.scales
        torsions = dataclasses.replace(molecule.torsions, barrier=scales.torsion * molecule.torsions.barrier)
        nonbonded = dataclasses.replace(
            molecule.nonbonded,
            charge=scales.charge * molecule.nonbonded.charge,
            exception_charge_product=scales.charge**2 * molecule.nonbonded.exception_charge_product,
        )
        return dataclasses.replace(molecule, torsions=torsions, nonbonded=nonbonded)


def _crankshaft(state: Any) -> Float[Array, ""]:
    return jnp.cos(dihedral(state.position, PHI) + dihedral(state.position, PSI))


class AlanineDipeptide(System):
    r"""ACE-ALA-NME in AMBER ff14SB, vacuum, 300 K: nm, ps, kJ/mol.

    The observable is $\cos(\phi + \psi)$, bounded and smooth across the cut of the angles. The peptide plane between two
    alpha carbons turns by raising $\phi$ and lowering $\psi$ together (the crankshaft); $\phi + \psi$ is what is left, and is
    nearly the same in the two basins C7eq and C5. It forgets its start within 1 ps, whereas the exchange between the
    basins takes 3 ps. The parameters are the common strength of all torsion barriers and that of all charges:

    $$ \frac{\partial U}{\partial s_\text{torsion}} = U_\text{torsion}, \qquad
       \frac{\partial U}{\partial s_\text{charge}} = 2\, U_\text{Coulomb} \quad (s = 1), \qquad
       \frac{\partial \langle O \rangle}{\partial s}
       = -\frac{1}{kT} \operatorname{Cov}\left(O, \frac{\partial U}{\partial s}\right). $$

    The truth is an ESTIMATE with its own standard error, from a long run of another engine (OpenMM) by this formula:
    see `benchmarks/references/alanine_dipeptide.py`. It is the average over the basins C7eq and C5 (negative $\phi$): a
    barrier of 39 kJ/mol, 16 kT, parts them from C7ax, which no run of less than microseconds ever reaches. It holds for
    Langevin dynamics at the published force field and 300 K. Overdamped dynamics, whose steps must resolve the stretching
    of bonds and so need some 10^5 to relax, and velocity Verlet, which keeps its energy, have no truth here (None).

    Hydrogen stretches at 620 rad/ps: dt below 0.003 ps; 0.001 ps is what is used. Needs OpenMM, to read the force field.

    Source: Maier et al., J. Chem. Theory Comput. 11, 3696 (2015), for the force field.
    """

    name: ClassVar[str] = "alanine_dipeptide"
    title: ClassVar[str] = "Alanine dipeptide"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        **{
            name: dict(dt=0.001, horizon=4000, burn_in=1000, replicas=64)
            for name in ("Langevin", "BAOAB", "OBABO", "ABOBA")
        },
        "OverdampedLangevin": dict(dt=0.0001, horizon=2000, burn_in=500, replicas=64),
        "VelocityVerlet": dict(dt=0.001, horizon=500, burn_in=0, replicas=64),
    }

    def law(self, dynamics: type = BAOAB, dt: float = 0.001) -> Any:
        molecule = Molecule.alanine_dipeptide()
        potential = _Scaled(_Scales(torsion=jnp.array(1.0), charge=jnp.array(1.0)), molecule)
        # Overdamped motion slips at a rate that leaves the stiffest bond stable at the default step.
        friction = 100.0 if issubclass(dynamics, OverdampedLangevin) else 10.0
        start, mass = molecule.reference_position, molecule.masses
        return build(dynamics, potential, x0=start, dt=dt, kT=_KT, friction=friction, mass=mass)

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(_crankshaft, burn_in=burn_in)

    def wrt(self, law: PyTree) -> PyTree:
        return law.potential.scales

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        if weights(observable, _crankshaft, horizon) is None or not isinstance(law, Langevin):
            return None
        return _reference()


def _reference() -> Truth:
    """Printed by benchmarks/references/alanine_dipeptide.py with its default of six minutes."""
    source = (
        "an ESTIMATE with its own standard error: 24 independent OpenMM chains of 200 ps (LangevinMiddleIntegrator, 1 fs, "
        "Reference platform), covariance formula"
    )
    scales = lambda torsion, charge: _Scales(torsion=jnp.array(torsion), charge=jnp.array(charge))
    return Truth(
        value=jnp.array(0.848360),
        gradient=scales(-0.072543, 0.399204),
        value_error=jnp.array(0.002695),
        gradient_error=scales(0.006674, 0.026894),
        source=source,
        of="exact stationary",
    )
