"""Molecules: their stationary points, what OpenMM systems are refused, and life without OpenMM."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from pliant.core.geometry import dihedral
from pliant.potentials import Molecule

PHI, PSI = (4, 6, 8, 14), (6, 8, 14, 16)


def degrees(position) -> np.ndarray:
    return np.degrees([dihedral(position, PHI), dihedral(position, PSI)])


@pytest.fixture(scope="module")
def dipeptide() -> Molecule:
    pytest.importorskip("openmm", reason="reading force fields needs OpenMM; install pliant[molecules]")
    return Molecule.alanine_dipeptide()


@pytest.fixture(scope="module")
def relax(dipeptide):
    """Finds the minimum next to a pair of dihedral angles: the molecule is first held there, then let go."""

    def energy(flat, stiffness, phi, psi):
        position = flat.reshape(-1, 3)
        away = [1 - jnp.cos(dihedral(position, PHI) - phi), 1 - jnp.cos(dihedral(position, PSI) - psi)]
        return dipeptide(position) + stiffness * sum(away)

    both = eqx.filter_jit(jax.value_and_grad(energy))

    def search(phi: float, psi: float) -> tuple[jax.Array, float]:
        flat, lowest = np.ravel(dipeptide.reference_position), np.inf
        for stiffness in (500.0, 0.0):
            arguments = (stiffness, phi, psi)
            found = minimize(lambda x, *a: [np.asarray(part, float) for part in both(x, *a)], flat, arguments, jac=True)
            flat, lowest = found.x, float(found.fun)
        return jnp.asarray(flat.reshape(-1, 3)), lowest

    return search


def turn_last_bond(position: jax.Array, angle: float) -> jax.Array:
    axis = (position[2] - position[1]) / jnp.linalg.norm(position[2] - position[1])
    arm = position[3] - position[2]
    along = jnp.dot(arm, axis) * axis
    turned = along + jnp.cos(angle) * (arm - along) + jnp.sin(angle) * jnp.cross(axis, arm)
    return position.at[3].set(position[2] + turned)


@eqx.filter_jit
def force_and_hessian(molecule: Molecule) -> tuple[jax.Array, jax.Array]:
    """At the reference position."""
    position = molecule.reference_position
    hessian = -jax.jacfwd(molecule.force)(position)
    return molecule.force(position), hessian.reshape(position.size, position.size)


class TestButane:
    def test_the_reference_position_is_a_minimum(self):
        butane = Molecule()
        force, hessian = force_and_hessian(butane)
        np.testing.assert_allclose(force, 0, atol=1e-9)
        curvatures = np.linalg.eigvalsh(hessian)
        assert np.sum(np.abs(curvatures) < 1e-6) == 6
        assert np.sum(curvatures > 1.0) == 6

    @pytest.mark.parametrize("angle", [0.0, 1.1, 2.5])
    def test_the_torsion_is_that_of_trappe(self, angle):
        butane, kelvin = Molecule(), 0.00831446261815324
        turned = turn_last_bond(butane.reference_position, angle)
        phi = float(dihedral(turned, (0, 1, 2, 3)))
        assert abs(phi) == pytest.approx(np.pi - angle, abs=1e-12)
        series = 355.03 * (1 + np.cos(phi)) - 68.19 * (1 - np.cos(2 * phi)) + 791.32 * (1 + np.cos(3 * phi))
        assert float(butane.torsions.energy(turned.T)) == pytest.approx(series * kelvin, rel=1e-12, abs=1e-12)

    def test_every_parameter_is_an_array(self):
        arrays = jax.tree.leaves(eqx.filter(Molecule(), eqx.is_inexact_array))
        assert len(arrays) == 12
        assert jax.tree.leaves(eqx.filter(Molecule(), eqx.is_inexact_array, inverse=True)) == []

    def test_a_position_of_another_shape_is_refused(self):
        with pytest.raises(ValueError, match=r"Argument `position` must have shape \(4, 3\).*\(12,\)"):
            Molecule()(jnp.zeros(12))

    def test_a_straight_angle_has_finite_derivatives(self):
        butane = Molecule()
        straight = butane.reference_position.at[:3].set(jnp.array([[0.0, 0, 0], [0.154, 0, 0], [0.308, 0, 0]]))
        slope = eqx.filter_jit(lambda angles, xyz: jax.grad(angles.energy)(xyz))(butane.angles, straight.T)
        assert np.all(np.isfinite(slope))
        assert np.all(np.isfinite(butane.angles.force(straight.T)))


class TestWithOpenMM:
    openmm = pytest.importorskip("openmm", reason="reading force fields needs OpenMM; install pliant[molecules]")

    @pytest.mark.parametrize(
        ("phi", "psi", "energy", "place"),
        [
            (-75.0, 54.0, -91.27398, (-75.046, 53.951)),
            (-151.0, 160.0, -87.00069, (-151.55, 160.07)),
            (61.0, -41.0, -85.03686, (61.18, -41.23)),
        ],
    )
    def test_minima_of_alanine_dipeptide(self, relax, phi, psi, energy, place):
        found, lowest = relax(np.radians(phi), np.radians(psi))
        assert lowest == pytest.approx(energy, abs=1e-5)
        np.testing.assert_allclose(degrees(found), place, atol=0.01)

    def test_the_reference_position_is_c7eq_of_l_alanine(self, dipeptide):
        position = dipeptide.reference_position
        assert float(eqx.filter_jit(dipeptide)(position)) == pytest.approx(-91.27398, abs=1e-5)
        nitrogen, carbonyl, side_chain = (position[atom] - position[8] for atom in (6, 14, 10))
        assert float(jnp.dot(jnp.cross(nitrogen, carbonyl), side_chain)) > 0

    def test_the_fastest_mode(self, dipeptide):
        root = jnp.repeat(jnp.sqrt(dipeptide.masses), 3)
        hessian = force_and_hessian(dipeptide)[1] / jnp.outer(root, root)
        assert np.sqrt(np.linalg.eigvalsh(hessian).max()) == pytest.approx(622.8, abs=0.1)

    def test_counts_of_terms(self):
        molecule = Molecule.alanine_dipeptide(solvent="OBC2")
        assert (len(molecule.bonds.atoms), len(molecule.angles.atoms)) == (21, 36)
        assert len(molecule.torsions.terms) == 42
        assert len(molecule.nonbonded.exceptions) == 41
        assert len(molecule.nonbonded.exceptions) + len(molecule.nonbonded.exclusions) == 98

    @pytest.mark.parametrize("argument", [{"forcefield": "ff99"}, {"solvent": "GBn2"}])
    def test_unknown_names_are_refused(self, argument):
        ((name, value),) = argument.items()
        with pytest.raises(ValueError, match=f"Argument `{name}` must be .* or .*, but it was '{value}'"):
            Molecule.alanine_dipeptide(**argument)

    def test_a_molecule_without_positions_says_so(self):
        with pytest.raises(ValueError, match="no reference position.*Pass `positions`"):
            _ = Molecule.from_openmm(self.pair()).reference_position

    def test_positions_and_names_are_kept(self):
        positions = np.array([[0.0, 0, 0], [0.1, 0, 0]]) * 10 * self.openmm.unit.angstrom
        molecule = Molecule.from_openmm(self.pair(), positions=positions)
        np.testing.assert_allclose(molecule.reference_position, [[0, 0, 0], [0.1, 0, 0]])
        np.testing.assert_array_equal(molecule.masses, [12.0, 12.0])
        assert molecule.atom_names == ("0", "1")
        with pytest.raises(ValueError, match=r"Argument `positions` must have shape \(2, 3\).*3 rows"):
            Molecule.from_openmm(self.pair(), positions=np.zeros((3, 3)))

    def test_a_remover_of_motion_is_ignored(self):
        system = self.pair(self.openmm.CMMotionRemover())
        assert float(Molecule.from_openmm(system)(jnp.zeros((2, 3)).at[0, 0].set(1.0))) == 0.0

    @pytest.mark.parametrize("name", ["CMAPTorsionForce", "RBTorsionForce", "CustomBondForce", "MonteCarloBarostat"])
    def test_other_forces_are_refused_by_name(self, name):
        arguments = {"CustomBondForce": ("r",), "MonteCarloBarostat": (1.0, 300.0)}.get(name, ())
        with pytest.raises(
            ValueError, match=f"Argument `system` must .* but it has a {name}, which has no counterpart"
        ):
            Molecule.from_openmm(self.pair(getattr(self.openmm, name)(*arguments)))

    def test_constraints_are_refused(self):
        system = self.pair()
        system.addConstraint(0, 1, 0.1)
        with pytest.raises(ValueError, match="1 constraints.*constraints=None"):
            Molecule.from_openmm(system)

    def test_virtual_sites_are_refused(self):
        system = self.pair()
        system.addParticle(0.0)
        system.setVirtualSite(2, self.openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
        with pytest.raises(ValueError, match="virtual sites"):
            Molecule.from_openmm(system)

    @pytest.mark.parametrize("method", ["CutoffNonPeriodic", "CutoffPeriodic", "PME"])
    def test_cutoffs_are_refused(self, method):
        nonbonded = self.nonbonded()
        nonbonded.setNonbondedMethod(getattr(nonbonded, method))
        with pytest.raises(ValueError, match="NonbondedForce with (a cut-off or Ewald|periodic)"):
            Molecule.from_openmm(self.pair(nonbonded))

    def test_two_forces_of_a_kind_are_refused(self):
        bonds = self.openmm.HarmonicBondForce
        with pytest.raises(ValueError, match="more than one HarmonicBondForce"):
            Molecule.from_openmm(self.pair(bonds(), bonds()))

    def test_a_solvent_with_charges_of_its_own_is_refused(self):
        solvent = self.openmm.GBSAOBCForce()
        for charge in (0.5, -0.4):
            solvent.addParticle(charge, 0.15, 0.8)
        with pytest.raises(ValueError, match="charges in its GBSAOBCForce that differ"):
            Molecule.from_openmm(self.pair(self.nonbonded(), solvent))

    @pytest.mark.parametrize(
        ("model", "salt"), [("hct", 0.0), ("obc1", 0.0), ("gbn", 0.0), ("gbn2", 0.0), ("obc2", 0.5)]
    )
    def test_other_generalised_born_models_are_refused(self, model, salt):
        from openmm import app

        from pliant.potentials import _dipeptide

        field = app.ForceField("amber14/protein.ff14SB.xml", f"implicit/{model}.xml")
        more = {"implicitSolventKappa": salt} if salt else {}
        system = field.createSystem(_dipeptide.topology(), nonbondedMethod=app.NoCutoff, **more)
        with pytest.raises(ValueError, match="CustomGBForce that is not the salt-free OBC2"):
            Molecule.from_openmm(system)

    def nonbonded(self):
        force = self.openmm.NonbondedForce()
        for charge in (0.5, -0.5):
            force.addParticle(charge, 0.3, 0.5)
        return force

    def pair(self, *forces):
        system = self.openmm.System()
        for _ in range(2):
            system.addParticle(12.0)
        for force in forces:
            system.addForce(force)
        return system


def test_without_openmm_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    monkeypatch.setitem(sys.modules, "openmm.app", None)
    with pytest.raises(ImportError, match=r"pliant\[molecules\]"):
        Molecule.alanine_dipeptide()
    assert np.isfinite(float(Molecule()(Molecule().reference_position)))
