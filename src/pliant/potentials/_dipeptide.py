"""Alanine dipeptide (ACE-ALA-NME), built in code: its topology, one geometry, and its force fields in OpenMM."""

from typing import Any

from pliant.potentials._openmm import require

FORCE_FIELDS = {"ff14SB": "amber14/protein.ff14SB.xml", "ff96": "amber96.xml"}
SOLVENTS = {None: (), "OBC2": ("implicit/obc2.xml",)}

RESIDUES = {
    "ACE": ("H1", "CH3", "H2", "H3", "C", "O"),
    "ALA": ("N", "H", "CA", "HA", "CB", "HB1", "HB2", "HB3", "C", "O"),
    "NME": ("N", "H", "C", "H1", "H2", "H3"),
}
BONDS = (
    *((1, 0), (1, 2), (1, 3), (1, 4), (4, 5), (4, 6)),
    *((6, 7), (6, 8), (8, 9), (8, 10), (10, 11), (10, 12), (10, 13), (8, 14), (14, 15), (14, 16)),
    *((16, 17), (16, 18), (18, 19), (18, 20), (18, 21)),
)

# nm. The C7eq minimum of ff14SB in vacuum (phi = -75, psi = 54 degrees, L-alanine). Computed for this library: an
# extended chain, its dihedral angles phi and psi turned towards C7eq, relaxed by a quasi-Newton minimisation of this
# package's own energy in float64 and centred on the origin.
C7EQ = (
    (0.358553, -0.092146, -0.009987),
    (0.270739, -0.154933, -0.023823),
    (0.286842, -0.251139, 0.024699),
    (0.252278, -0.170342, -0.129972),
    (0.150782, -0.087931, 0.038854),
    (0.089041, -0.143671, 0.128674),
    (0.116956, 0.031465, -0.009490),
    (0.172261, 0.069171, -0.084613),
    (0.005029, 0.113308, 0.038709),
    (0.004844, 0.108892, 0.147753),
    (0.032207, 0.259105, -0.001583),
    (0.032105, 0.268546, -0.110276),
    (-0.045862, 0.323410, 0.039329),
    (0.128580, 0.291522, 0.037832),
    (-0.133742, 0.061529, -0.007204),
    (-0.211399, 0.134717, -0.068333),
    (-0.163763, -0.066157, 0.019461),
    (-0.094133, -0.120069, 0.070052),
    (-0.288918, -0.131691, -0.017809),
    (-0.301517, -0.128078, -0.126178),
    (-0.288008, -0.235699, 0.015057),
    (-0.372874, -0.079810, 0.028847),
)


def topology() -> Any:
    """The `openmm.app.Topology` of the 22 atoms."""
    app = require("openmm.app")
    result = app.Topology()
    chain = result.addChain()
    for residue_name, atom_names in RESIDUES.items():
        residue = result.addResidue(residue_name, chain)
        for name in atom_names:
            result.addAtom(name, app.Element.getBySymbol(name[0]), residue)
    atoms = list(result.atoms())
    for first, second in BONDS:
        result.addBond(atoms[first], atoms[second])
    return result


def system(forcefield: str, solvent: str | None) -> Any:
    """The `openmm.System` of a force field by its short name, without cut-off or constraints."""
    _check("forcefield", forcefield, FORCE_FIELDS)
    _check("solvent", solvent, SOLVENTS)
    app = require("openmm.app")
    field = app.ForceField(FORCE_FIELDS[forcefield], *SOLVENTS[solvent])
    return field.createSystem(topology(), nonbondedMethod=app.NoCutoff, constraints=None, removeCMMotion=False)


def _check(name: str, value: Any, known: dict) -> None:
    if value not in known:
        choices = " or ".join(repr(choice) for choice in known)
        raise ValueError(f"Argument `{name}` must be {choices}, but it was {value!r}.")
