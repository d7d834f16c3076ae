"""The reference for the system `AlanineDipeptide`: a long run of OpenMM, and the covariance formula.

Nothing of pliant's dynamics, energies or estimators enters, only the geometry to start from: OpenMM integrates and
evaluates ff14SB; the dihedral angles and the covariances are worked out here. Independent chains give the errors.

    python benchmarks/references/alanine_dipeptide.py [minutes]
"""

import sys
import time

import numpy as np
import openmm
from openmm import app, unit

from pliant.potentials._dipeptide import C7EQ, topology

TEMPERATURE, FRICTION, DT = 600.0, 5.0, 0.001
KT = 8.31446261815324e-3 * TEMPERATURE
PHI, PSI = (4, 6, 8, 14), (6, 8, 14, 16)
# Between these angles phi lies in the basin C7ax, beyond a barrier of 39 kJ/mol.
C7AX = (0.35, 2.3)
BURN_IN, STRIDE, SAMPLES = 10_000, 50, 1_000
TORSION, COULOMB = 1, 2


def build() -> openmm.System:
    """ff14SB in vacuum; the torsions and a bare Coulomb energy stand in force groups of their own."""
    field = app.ForceField("amber14/protein.ff14SB.xml")
    system = field.createSystem(topology(), nonbondedMethod=app.NoCutoff, constraints=None, removeCMMotion=False)
    for force in list(system.getForces()):
        if isinstance(force, openmm.PeriodicTorsionForce):
            force.setForceGroup(TORSION)
        if isinstance(force, openmm.NonbondedForce):
            system.addForce(bare_coulomb(force))
    return system


def bare_coulomb(force: openmm.NonbondedForce) -> openmm.NonbondedForce:
    """The same charges without Lennard-Jones: measured, not integrated."""
    bare = openmm.NonbondedForce()
    bare.setNonbondedMethod(openmm.NonbondedForce.NoCutoff)
    bare.setForceGroup(COULOMB)
    for index in range(force.getNumParticles()):
        charge, sigma, _ = force.getParticleParameters(index)
        bare.addParticle(charge, sigma, 0.0)
    for index in range(force.getNumExceptions()):
        i, j, product, sigma, _ = force.getExceptionParameters(index)
        bare.addException(i, j, product, sigma, 0.0)
    return bare


def dihedral(xyz: np.ndarray, atoms: tuple[int, ...]) -> float:
    """The angle between the planes of the first and the last three of four atoms, by projection."""
    p = xyz[list(atoms)]
    axis = (p[2] - p[1]) / np.linalg.norm(p[2] - p[1])
    first, last = p[0] - p[1], p[3] - p[2]
    first, last = first - first @ axis * axis, last - last @ axis * axis
    return float(np.arctan2(np.cross(axis, first) @ last, first @ last))


def chain(context: openmm.Context, seed: int) -> np.ndarray | None:
    """One chain from C7eq: rows of (observable, torsion energy, twice the Coulomb energy); None once it leaves."""
    context.setPositions(np.array(C7EQ))
    context.setVelocitiesToTemperature(TEMPERATURE, seed)
    integrator = context.getIntegrator()
    integrator.step(BURN_IN)
    rows = []
    for _ in range(SAMPLES):
        integrator.step(STRIDE)
        xyz = context.getState(getPositions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        phi, psi = dihedral(xyz, PHI), dihedral(xyz, PSI)
        if C7AX[0] < phi < C7AX[1]:
            return None
        rows.append([np.sin(psi), energy(context, TORSION), 2 * energy(context, COULOMB)])
    return np.array(rows)


def energy(context: openmm.Context, group: int) -> float:
    """The energy of one force group, in kJ/mol."""
    state = context.getState(getEnergy=True, groups={group})
    return state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


def summary(chains: np.ndarray) -> None:
    """Means over chains of the observable and of its centred products with the scores, with their errors."""
    pooled = chains - chains.mean(axis=(0, 1))
    gradients = -np.mean(pooled[:, :, :1] * pooled[:, :, 1:], axis=1) / KT
    values = np.concatenate([chains[:, :, 0].mean(axis=1)[:, None], gradients], axis=1)
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    print(f"{len(chains)} chains of {SAMPLES * STRIDE * DT:.0f} ps")
    for name, m, e in zip(("value", "torsion", "charge"), mean, error, strict=True):
        print(f"{name:8s} {m:.6f} +- {e:.6f}")


def main(minutes: float) -> None:
    """As many chains as the time allows."""
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, FRICTION, DT)
    integrator.setRandomNumberSeed(1)
    integrator.setIntegrationForceGroups({0, TORSION})
    context = openmm.Context(build(), integrator, openmm.Platform.getPlatformByName("Reference"))
    started, chains = time.perf_counter(), []
    while time.perf_counter() - started < 60 * minutes:
        chains.append(chain(context, seed=len(chains) + 1))
    kept = [rows for rows in chains if rows is not None]
    print(f"{len(chains) - len(kept)} of {len(chains)} chains left for C7ax and are dropped")
    summary(np.array(kept))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 6.0)
