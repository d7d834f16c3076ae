"""Energies and forces against OpenMM's Reference platform, term by term, on distorted geometries."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pliant.potentials import LennardJones, Molecule

openmm = pytest.importorskip("openmm", reason="OpenMM is the oracle of these tests; install pliant[molecules]")
app = pytest.importorskip("openmm.app")

TERM_OF = {
    "HarmonicBondForce": "bonds",
    "HarmonicAngleForce": "angles",
    "PeriodicTorsionForce": "torsions",
    "NonbondedForce": "nonbonded",
    "GBSAOBCForce": "solvent",
    "CustomGBForce": "solvent",
}
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dipeptide"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the AMBER files of alanine dipeptide are not in {DATA}")
NO_CUTOFF = {"nonbondedMethod": app.NoCutoff, "constraints": None}


def from_force_field(*files: str):
    topology = app.PDBFile(str(DATA / "alanine-dipeptide.pdb")).topology
    return app.ForceField(*files).createSystem(topology, **NO_CUTOFF), topology


def from_prmtop(solvent=None):
    prmtop = app.AmberPrmtopFile(str(DATA / "alanine-dipeptide.prmtop"))
    return prmtop.createSystem(implicitSolvent=solvent, **NO_CUTOFF), prmtop.topology


SYSTEMS = {
    "ff14SB": lambda: from_force_field("amber14/protein.ff14SB.xml"),
    "ff14SB, OBC2": lambda: from_force_field("amber14/protein.ff14SB.xml", "implicit/obc2.xml"),
    "ff96": lambda: from_prmtop(),
    "ff96, OBC2": lambda: from_prmtop(app.OBC2),
    "ff96 of OpenMM, GBSAOBCForce": lambda: from_force_field("amber96.xml", "amber96_obc.xml"),
}


def geometry_a() -> np.ndarray:
    inpcrd = app.AmberInpcrdFile(str(DATA / "alanine-dipeptide.crd"))
    return np.array(inpcrd.positions.value_in_unit(openmm.unit.nanometer))


def distorted(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(20)
    return [geometry_a() + 0.01 * generator.normal(size=(22, 3)) for _ in range(count)]


def reference_context(system):
    for group, force in enumerate(system.getForces()):
        force.setForceGroup(group)
    platform = openmm.Platform.getPlatformByName("Reference")
    return openmm.Context(system, openmm.VerletIntegrator(0.001), platform)


def evaluate(context, position, groups: set[int] | int = -1):
    context.setPositions(position)
    state = context.getState(getEnergy=True, getForces=True, groups=groups)
    forces = state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoule_per_mole / openmm.unit.nanometer)
    return state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole), np.array(forces)


@eqx.filter_jit
def evaluate_terms(molecule: Molecule, position):
    """Energy and force of every term by name."""

    def evaluate_term(name):
        term = getattr(molecule, name)
        more = (molecule.nonbonded.charge,) if name == "solvent" else ()
        return term.energy(position.T, *more), term.force(position.T, *more).T

    names = [name for name in dict.fromkeys(TERM_OF.values()) if getattr(molecule, name) is not None]
    return {name: evaluate_term(name) for name in names}


@eqx.filter_jit
def evaluate_total(molecule: Molecule, position):
    return molecule(position), molecule.force(position), -jax.grad(molecule)(position)


@needs_data
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_term_agrees_with_the_reference_platform(name):
    system, topology = SYSTEMS[name]()
    molecule, context = Molecule.from_openmm(system, topology), reference_context(system)
    compared = set()
    for position in distorted(3):
        ours = evaluate_terms(molecule, jnp.asarray(position))
        for group, force in enumerate(system.getForces()):
            if (term := TERM_OF.get(type(force).__name__)) is None:
                continue
            energy, forces = ours[term]
            expected_energy, expected_forces = evaluate(context, position, {group})
            assert float(energy) == pytest.approx(expected_energy, rel=1e-12), term
            np.testing.assert_allclose(forces, expected_forces, rtol=0, atol=1e-12 * np.abs(expected_forces).max())
            compared.add(term)
    assert compared == {"bonds", "angles", "torsions", "nonbonded"} | ({"solvent"} if "OBC" in name else set())


@needs_data
@pytest.mark.parametrize("name", ["ff14SB", "ff96, OBC2"])
def test_total_energy_and_force(name):
    system, topology = SYSTEMS[name]()
    molecule, context = Molecule.from_openmm(system, topology), reference_context(system)
    for position in distorted(3):
        energy, forces = evaluate(context, position)
        ours, closed_form, derivative = evaluate_total(molecule, jnp.asarray(position))
        assert float(ours) == pytest.approx(energy, rel=1e-12)
        for force in (closed_form, derivative):
            np.testing.assert_allclose(force, forces, rtol=0, atol=1e-12 * np.abs(forces).max())


@eqx.filter_jit
def energies_of(molecule: Molecule, position) -> dict:
    return molecule.energies(position)


@needs_data
def test_published_energies_of_the_planar_geometry():
    """Energies of the planar geometry (phi = psi = 180 degrees) in kJ/mol, computed beforehand by independent code."""
    molecule = Molecule.alanine_dipeptide()
    position = jnp.asarray(geometry_a())
    energies = energies_of(molecule, position)
    assert float(energies["bonds"]) == pytest.approx(0.08618335, abs=1e-8)
    assert float(energies["angles"]) == pytest.approx(1.51456873, abs=1e-8)
    assert float(energies["torsions"]) == pytest.approx(40.35049237, abs=1e-8)
    parts = {
        (True, False, False, False): 11.76534902,
        (False, True, False, False): -335.24957867,
        (False, False, True, False): 20.98565404,
        (False, False, False, True): 204.75306864,
    }
    for keep, expected in parts.items():
        assert float(energies_of(only(molecule, *keep), position)["nonbonded"]) == pytest.approx(expected, abs=1e-8)
    assert float(molecule(position)) == pytest.approx(-55.7942625241, abs=1e-9)
    assert float(Molecule.from_openmm(from_prmtop()[0])(position)) == pytest.approx(-88.0885885808, abs=1e-9)


def only(molecule: Molecule, dispersion: bool, coulomb: bool, dispersion_14: bool, coulomb_14: bool) -> Molecule:
    """The molecule with the other parts of its non-bonded term switched off through their parameters."""

    def parameters(molecule):
        terms = molecule.nonbonded
        return terms.epsilon, terms.charge, terms.exception_epsilon, terms.exception_charge_product

    keep = (dispersion, coulomb, dispersion_14, coulomb_14)
    return eqx.tree_at(parameters, molecule, [k * p for k, p in zip(keep, parameters(molecule), strict=True)])


@needs_data
def test_the_topology_built_in_code_is_that_of_the_pdb_file():
    topology = app.PDBFile(str(DATA / "alanine-dipeptide.pdb")).topology
    built_in = Molecule.alanine_dipeptide("ff14SB", "OBC2")
    read = Molecule.from_openmm(*SYSTEMS["ff14SB, OBC2"]())
    assert built_in.atom_names == tuple(atom.name for atom in topology.atoms())
    np.testing.assert_array_equal(built_in.masses, read.masses)
    for position in distorted(2):
        ours, theirs = (sum(energies_of(molecule, jnp.asarray(position)).values()) for molecule in (built_in, read))
        assert float(ours) == pytest.approx(float(theirs), rel=1e-14)


@needs_data
def test_ff96_of_openmm_is_that_of_the_prmtop_but_for_rounded_angles():
    position = jnp.asarray(geometry_a())
    ours = float(Molecule.alanine_dipeptide("ff96")(position))
    assert ours == pytest.approx(float(Molecule.from_openmm(from_prmtop()[0])(position)), abs=2e-4)


@needs_data
def test_parameter_derivatives_against_differences_in_openmm():
    system, topology = SYSTEMS["ff14SB"]()
    molecule = Molecule.from_openmm(system, topology)
    position = distorted(1)[0]
    slopes = eqx.filter_jit(eqx.filter_grad(lambda molecule: molecule(jnp.asarray(position))))(molecule)
    forces = {type(force).__name__: force for force in system.getForces()}
    context = reference_context(system)

    def difference(force, kind, index, column, step):
        read, write = getattr(force, f"get{kind}Parameters"), getattr(force, f"set{kind}Parameters")
        original, energies = read(index), []
        for sign in (1, -1):
            moved = list(original)
            moved[column] = moved[column] + sign * step * moved[column].unit
            write(index, *moved)
            force.updateParametersInContext(context)
            energies.append(evaluate(context, position)[0])
        write(index, *original)
        force.updateParametersInContext(context)
        return (energies[0] - energies[1]) / (2 * step)

    nonbonded, torsion = forces["NonbondedForce"], forces["PeriodicTorsionForce"]
    assert float(slopes.bonds.length[5]) == pytest.approx(
        difference(forces["HarmonicBondForce"], "Bond", 5, 2, 1e-5), rel=1e-6
    )
    assert float(slopes.angles.angle[7]) == pytest.approx(
        difference(forces["HarmonicAngleForce"], "Angle", 7, 3, 1e-4), rel=1e-6
    )
    assert float(slopes.torsions.phase[3]) == pytest.approx(difference(torsion, "Torsion", 3, 5, 1e-4), rel=1e-6)
    assert float(slopes.torsions.barrier[4]) == pytest.approx(difference(torsion, "Torsion", 4, 6, 1e-2), rel=1e-6)
    for column, slope in enumerate((slopes.nonbonded.charge, slopes.nonbonded.sigma, slopes.nonbonded.epsilon)):
        assert float(slope[4]) == pytest.approx(difference(nonbonded, "Particle", 4, column, 1e-5), rel=1e-5)


def test_born_radii_where_one_atom_lies_inside_another():
    """A small atom inside a large one takes a branch of the descreening integral that molecules never reach."""
    system, solvent, nonbonded = openmm.System(), openmm.GBSAOBCForce(), openmm.NonbondedForce()
    for charge, radius in ((0.4, 0.06), (-0.7, 0.25), (0.3, 0.17)):
        system.addParticle(1)
        solvent.addParticle(charge, radius, 0.8)
        nonbonded.addParticle(charge, 0.1, 0.0)
    system.addForce(solvent)
    system.addForce(nonbonded)
    position = np.array([[0.0, 0.0, 0.0], [0.03, 0.02, 0.05], [0.2, 0.1, -0.1]])
    energy, forces = evaluate(reference_context(system), position, {0})
    ours = evaluate_terms(Molecule.from_openmm(system), jnp.asarray(position))["solvent"]
    assert float(ours[0]) == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(ours[1], forces, rtol=0, atol=1e-12 * np.abs(forces).max())


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("switch", [None, 2.0])
def test_periodic_lennard_jones(switch, tail):
    edges, cutoff, epsilon, sigma = np.array([6.0, 6.5, 7.0]), 2.6, 0.7, 0.9
    lattice = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)
    position = lattice * edges / 5 + 0.08 * np.random.default_rng(1).normal(size=(125, 3)) + 3.0
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(force.CutoffPeriodic)
    force.setCutoffDistance(cutoff)
    force.setUseDispersionCorrection(tail)
    force.setUseSwitchingFunction(switch is not None)
    force.setSwitchingDistance(switch or 0.0)
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*np.diag(edges))
    for _ in position:
        system.addParticle(1)
        force.addParticle(0, sigma, epsilon)
    system.addForce(force)
    energy, forces = evaluate(reference_context(system), position)
    ours = LennardJones(epsilon, sigma, jnp.asarray(edges), cutoff, switch, tail)
    assert float(ours(jnp.asarray(position))) == pytest.approx(energy, rel=1e-11)
    np.testing.assert_allclose(ours.force(jnp.asarray(position)), forces, rtol=0, atol=1e-12 * np.abs(forces).max())
