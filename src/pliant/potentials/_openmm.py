"""Reading an OpenMM `System`: every force that has a counterpart here is converted, any other is refused by name."""

import importlib
import math
import re
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.potentials._gbsa import OBC2
from pliant.potentials._nonbonded import COULOMB_CONSTANT, Nonbonded
from pliant.potentials._terms import HarmonicAngles, HarmonicBonds, PeriodicTorsions

HARMLESS = ("CMMotionRemover",)
"""Not forces: they change momenta, and add nothing to the energy."""


def require(module: str = "openmm") -> Any:
    """`openmm` or one of its modules, or an error that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            "Reading a molecular force field needs OpenMM, which is not installed. "
            "Install it with: pip install 'pliant[molecules]'"
        ) from error


def read_terms(system: Any) -> dict[str, Any]:
    """The terms of a `Molecule`, by field name, from an `openmm.System`.

    Raises a ValueError that names the first thing in the system that has no counterpart here.
    """
    require()
    _refuse_constraints(system)
    forces = _one_of_each_kind(system)
    terms = {
        "bonds": _bonds(forces.get("HarmonicBondForce")),
        "angles": _angles(forces.get("HarmonicAngleForce")),
        "torsions": _torsions(forces.get("PeriodicTorsionForce")),
        "nonbonded": _nonbonded(forces.get("NonbondedForce"), system.getNumParticles()),
        "solvent": None,
    }
    for name, read in (("GBSAOBCForce", _gbsa), ("CustomGBForce", _custom_gb)):
        if name in forces:
            charge, terms["solvent"] = read(forces[name])
            _refuse_other_charges(name, charge, terms["nonbonded"].charge)
    return terms


def read_masses(system: Any) -> tuple[float, ...]:
    """Masses in atomic mass units."""
    return tuple(_number(system.getParticleMass(atom)) for atom in range(system.getNumParticles()))


def _one_of_each_kind(system: Any) -> dict[str, Any]:
    known = ("HarmonicBondForce", "HarmonicAngleForce", "PeriodicTorsionForce", "NonbondedForce")
    implicit = ("GBSAOBCForce", "CustomGBForce")
    found: dict[str, Any] = {}
    for force in system.getForces():
        name = type(force).__name__
        if name in HARMLESS:
            continue
        if name not in known + implicit:
            raise _refusal(
                f"a {name}, which has no counterpart here", f"Remove it, or use only {', '.join(known + implicit)}."
            )
        if name in found or (name in implicit and found.keys() & set(implicit)):
            raise _refusal(f"more than one {name} or implicit solvent", "Merge them into one force of each kind.")
        if force.usesPeriodicBoundaryConditions():
            raise _refusal(f"a {name} with periodic boundary conditions", "Build the system without a periodic box.")
        found[name] = force
    return found


def _refuse_constraints(system: Any) -> None:
    if system.getNumConstraints():
        raise _refusal(
            f"{system.getNumConstraints()} constraints, and rigid bonds are not simulated here",
            "Build the system with constraints=None and rigidWater=False, and a time step of at most 1 fs.",
        )
    if any(system.isVirtualSite(atom) for atom in range(system.getNumParticles())):
        raise _refusal("virtual sites", "Use a model in which every site is an atom with a mass.")


def _bonds(force: Any) -> HarmonicBonds:
    rows = _rows(force, "Bond", 4)
    return HarmonicBonds(_array(rows, 2), _array(rows, 3), tuple((row[0], row[1]) for row in rows))


def _angles(force: Any) -> HarmonicAngles:
    rows = _rows(force, "Angle", 5)
    return HarmonicAngles(_array(rows, 3), _array(rows, 4), tuple((row[0], row[1], row[2]) for row in rows))


def _torsions(force: Any) -> PeriodicTorsions:
    rows = _rows(force, "Torsion", 7)
    atoms = [(row[0], row[1], row[2], row[3]) for row in rows]
    return PeriodicTorsions.grouped(_array(rows, 6), _array(rows, 5), atoms, [row[4] for row in rows])


def _nonbonded(force: Any, atoms: int) -> Nonbonded:
    if force is not None:
        _refuse_cutoff(force)
        if force.getNumParticleParameterOffsets() or force.getNumExceptionParameterOffsets():
            raise _refusal("a NonbondedForce with parameter offsets", "Fold the offsets into the parameters.")
    rows = _rows(force, "Particle", 3) if force is not None else [[0.0, 1.0, 0.0]] * atoms
    pairs = _rows(force, "Exception", 5)
    own = [pair for pair in pairs if _interacts(pair)]
    return Nonbonded(
        charge=_array(rows, 0),
        sigma=_array(rows, 1),
        epsilon=_array(rows, 2),
        exception_charge_product=_array(own, 2),
        exception_sigma=_array(own, 3),
        exception_epsilon=_array(own, 4),
        exceptions=tuple((pair[0], pair[1]) for pair in own),
        exclusions=tuple((pair[0], pair[1]) for pair in pairs if not _interacts(pair)),
    )


def _interacts(exception: list) -> bool:
    return exception[2] != 0 or exception[4] != 0


def _gbsa(force: Any) -> tuple[Float[Array, " n"], OBC2]:
    _refuse_cutoff(force)
    rows = _rows(force, "Particle", 3)
    dielectrics = force.getSoluteDielectric(), force.getSolventDielectric()
    return _array(rows, 0), _obc2(rows, *dielectrics, _number(force.getSurfaceAreaEnergy()), COULOMB_CONSTANT)


# OpenMM writes the generalised Born models of AMBER as text. The text of OBC2 is matched whole, so that a model that
# differs in one coefficient, or one with salt or with another surface term, is refused rather than misread.
_INTEGRAL = (
    "select(step(r+sr2-or1),0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r),0);"
    "U=r+sr2;L=max(or1,D);D=abs(r-sr2)"
)
_BORN = "1/(1/or-tanh(psi-0.8*psi^2+4.85*psi^3)/radius);psi=I*or;radius=or+offset;offset=0.009"
_POLAR = r"(?P<coulomb>[\d.]+)\*\(1/soluteDielectric-1/solventDielectric\)"
_TAIL = r";solventDielectric=(?P<outside>[\d.e+-]+);soluteDielectric=(?P<inside>[\d.e+-]+);kappa=0;offset=0\.00(9|89+)"
_SELF = re.compile(r"-0\.5\*" + _POLAR + r"\*charge\^2/B" + _TAIL)
_CROSS = re.compile("-" + _POLAR + r"\*charge1\*charge2/f;f=sqrt\(r\^2\+B1\*B2\*exp\(-r\^2/\(4\*B1\*B2\)\)\)" + _TAIL)
_SURFACE = re.compile(r"(?P<surface>[\d.]+)\*\(radius\+0\.14\)\^2\*\(radius/B\)\^6;radius=or\+offset" + _TAIL)


def _custom_gb(force: Any) -> tuple[Float[Array, " n"], OBC2]:
    _refuse_cutoff(force)
    pair, single = force.ParticlePairNoExclusions, force.SingleParticle
    values = [_squeezed(force.getComputedValueParameters(i)) for i in range(force.getNumComputedValues())]
    energies = [_squeezed(force.getEnergyTermParameters(i)) for i in range(force.getNumEnergyTerms())]
    names = tuple(force.getPerParticleParameterName(i) for i in range(force.getNumPerParticleParameters()))
    extras = force.getNumGlobalParameters() + force.getNumTabulatedFunctions() + force.getNumExclusions()
    if values != [("I", _INTEGRAL, pair), ("B", _BORN, single)] or names != ("charge", "or", "sr") or extras:
        raise _not_obc2()
    self_term = _matched(_SELF, energies, single)
    cross_term = _matched(_CROSS, energies, pair)
    surface = _matched(_SURFACE, energies, single) if len(energies) == 3 else {"surface": "0", **self_term}
    if len(energies) not in (2, 3) or any(self_term[k] != cross_term[k] for k in self_term):
        raise _not_obc2()
    # The force holds reduced radii and their products with the scale factors.
    rows = [[charge, reduced + 0.009, scaled / reduced] for charge, reduced, scaled in _rows(force, "Particle", 3)]
    dielectrics = float(self_term["inside"]), float(self_term["outside"])
    tension = float(surface["surface"]) / (4 * math.pi)
    return _array(rows, 0), _obc2(rows, *dielectrics, tension, float(self_term["coulomb"]))


def _obc2(rows: list, inside: float, outside: float, tension: float, coulomb: float) -> OBC2:
    scalars = (jnp.asarray(value, dtype=float) for value in (inside, outside, tension))
    return OBC2(_array(rows, 1), _array(rows, 2), *scalars, coulomb_constant=coulomb)


def _matched(pattern: re.Pattern, energies: list, kind: int) -> dict[str, str]:
    matches = [pattern.fullmatch(text) for text, found in energies if found == kind]
    matches = [match for match in matches if match]
    if len(matches) != 1:
        raise _not_obc2()
    return matches[0].groupdict()


def _squeezed(parameters: list) -> tuple:
    return tuple(re.sub(r"\s", "", item) if isinstance(item, str) else item for item in parameters)


def _not_obc2() -> ValueError:
    return _refusal(
        "a CustomGBForce that is not the salt-free OBC2 model of OpenMM",
        "Use implicit/obc2.xml, or implicitSolvent=openmm.app.OBC2, without salt.",
    )


def _refuse_cutoff(force: Any) -> None:
    if force.getNonbondedMethod() != force.NoCutoff:
        raise _refusal(
            f"a {type(force).__name__} with a cut-off or Ewald sums", "Build the system with nonbondedMethod=NoCutoff."
        )


def _refuse_other_charges(name: str, charge: Float[Array, " n"], expected: Float[Array, " n"]) -> None:
    if charge.shape != expected.shape or not bool(jnp.all(charge == expected)):
        raise _refusal(f"charges in its {name} that differ from those in its NonbondedForce", "Make them equal.")


def _refusal(what: str, remedy: str) -> ValueError:
    return ValueError(f"Argument `system` must hold only what `Molecule` can compute, but it has {what}. {remedy}")


def _rows(force: Any, kind: str, width: int) -> list[list[Any]]:
    """The parameters of every bond, angle, ... in OpenMM's units (nm, ps, amu, e), which are plain numbers here."""
    if force is None:
        return []
    count: Callable[[], int] = getattr(force, f"getNum{kind}s")
    read: Callable[[int], list] = getattr(force, f"get{kind}Parameters")
    return [[_number(value) for value in read(index)[:width]] for index in range(count())]


def _number(value: Any) -> Any:
    unit_system = getattr(value, "value_in_unit_system", None)
    return value if unit_system is None else unit_system(require("openmm.unit").md_unit_system)


def _array(rows: list, column: int) -> Float[Array, " rows"]:
    return jnp.asarray([row[column] for row in rows], dtype=float)


def read_atom_names(topology: Any, atoms: int) -> tuple[str, ...]:
    """The atoms' names; their numbers where no topology is given."""
    if topology is None:
        return tuple(str(atom) for atom in range(atoms))
    names = tuple(atom.name for atom in topology.atoms())
    if len(names) != atoms:
        raise ValueError(
            f"Argument `topology` must have the {atoms} atoms of `system`, but it had {len(names)}. "
            "Pass the topology from which the system was built."
        )
    return names


def read_positions(positions: Any, atoms: int) -> tuple[tuple[float, ...], ...] | None:
    """Positions in nm as plain numbers."""
    if positions is None:
        return None
    rows = tuple(tuple(float(number) for number in row) for row in _number(positions))
    if len(rows) != atoms or any(len(row) != 3 for row in rows):
        raise ValueError(
            f"Argument `positions` must have shape ({atoms}, 3), one row for each atom of `system`, "
            f"but it had {len(rows)} rows."
        )
    return rows
