"""Alanine dipeptide in vacuum: a real molecule in a real force field."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.geometry import dihedral
from pliant.core.observable import Observable
from pliant.core.potential import Potential
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.observables import TimeAverage
from pliant.potentials import Molecule
from pliant.systems._system import System, build, canonical, weights
from pliant.systems._truth import Truth

_PSI = (6, 8, 14, 16)
# kJ/mol: the molar gas constant times 600 K.
_KT = 8.31446261815324e-3 * 600


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


def _sine(state: Any) -> Float[Array, ""]:
    return jnp.sin(dihedral(state.position, _PSI))


class AlanineDipeptide(System):
    r"""ACE-ALA-NME in AMBER ff14SB, vacuum, 600 K: nm, ps, kJ/mol.

    The observable is $\sin \psi$; the parameters are the common strength of all torsion barriers and that of all charges:

    $$ \frac{\partial U}{\partial s_\text{torsion}} = U_\text{torsion}, \qquad
       \frac{\partial U}{\partial s_\text{charge}} = 2\, U_\text{Coulomb} \quad (s = 1), \qquad
       \frac{\partial \langle O \rangle}{\partial s}
       = -\frac{1}{kT} \operatorname{Cov}\left(O, \frac{\partial U}{\partial s}\right). $$

    It is warm so that it mixes: from C7eq to C5 takes about 1 ps, against 3 ps at 300 K, and sin psi, which is alike in
    both, forgets its start within 2 ps. Neither temperature takes the molecule over the barrier of 39 kJ/mol (8 kT here)
    to C7ax within nanoseconds: what is averaged over are the basins C7eq and C5, of negative $\phi$.

    The truth is an ESTIMATE with its own standard error, from a long run of another engine (OpenMM) by this formula, in
    the same basins: `benchmarks/references/alanine_dipeptide.py`. It holds for every canonical dynamics that relaxes
    within the run, Nosé-Hoover chains up to the angular momentum, whose direction they keep. Overdamped dynamics, whose
    steps must resolve the stretching of bonds and so need some 10^5 to relax, and velocity Verlet, which keeps its
    energy, have no truth here (None).

    Hydrogen stretches at 620 rad/ps: dt below 0.003 ps; 0.001 ps is what is used. Needs OpenMM, to read the force field.

    Source: Maier et al., J. Chem. Theory Comput. 11, 3696 (2015), for the force field.
    """

    name: ClassVar[str] = "alanine_dipeptide"
    title: ClassVar[str] = "Alanine dipeptide"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        **{
            name: dict(dt=0.001, horizon=5000, burn_in=2000, replicas=64)
            for name in ("Langevin", "BAOAB", "OBABO", "ABOBA", "GeneralizedLangevin", "NoseHooverChain")
        },
        "ESH": dict(dt=0.01, horizon=5000, burn_in=2000, replicas=64),
        "OverdampedLangevin": dict(dt=0.0001, horizon=2000, burn_in=500, replicas=64),
        "VelocityVerlet": dict(dt=0.001, horizon=500, burn_in=0, replicas=64),
    }

    def law(self, dynamics: type = BAOAB, dt: float = 0.001) -> Any:
        molecule = Molecule.alanine_dipeptide()
        potential = _Scaled(_Scales(torsion=jnp.array(1.0), charge=jnp.array(1.0)), molecule)
        # Overdamped motion slips at a rate that leaves the stiffest bond stable at the default step.
        friction = 100.0 if issubclass(dynamics, OverdampedLangevin) else 5.0
        start, mass = molecule.reference_position, molecule.masses
        settings = dict(x0=start, dt=dt, kT=_KT, friction=friction, mass=mass, momentum_conserved=True)
        return build(dynamics, potential, **settings)

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(_sine, burn_in=burn_in)

    def wrt(self, law: PyTree) -> PyTree:
        return law.potential.scales

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        stationary = canonical(law) and not isinstance(law, OverdampedLangevin)
        if weights(observable, _sine, horizon) is None or not stationary:
            return None
        return _reference()


def _reference() -> Truth:
    """Printed by benchmarks/references/alanine_dipeptide.py with its default of six minutes."""
    source = (
        "an ESTIMATE with its own standard error: 244 independent OpenMM chains of 50 ps (LangevinMiddleIntegrator, 1 fs, "
        "Reference platform), covariance formula"
    )
    scales = lambda torsion, charge: _Scales(torsion=jnp.array(torsion), charge=jnp.array(charge))
    return Truth(
        value=jnp.array(0.566409),
        gradient=scales(-0.189796, 0.483252),
        value_error=jnp.array(0.002394),
        gradient_error=scales(0.002589, 0.008158),
        source=source,
        of="exact stationary",
    )
