"""Particles and molecules: against textbook JAX, and against OpenMM."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import Row, Run, Times, missing
from _programs import Program
from jax import lax

from pliant.dynamics import BAOAB, VelocityVerlet
from pliant.observables import Final
from pliant.potentials import LennardJones, Molecule

KT_300 = 2.494338785445972


def rows() -> Iterator[Row]:
    """Clusters in both precisions; what is set against OpenMM in the precision that OpenMM works in there."""
    for count in (13, 55):
        yield _cluster(count)
    try:
        import openmm
    except ImportError as error:
        yield from missing(["dipeptide, fluid"], "", str(error))
        return
    yield from _dipeptide(openmm) if jax.config.jax_enable_x64 else _fluid(openmm)


def _energy(state: Any) -> jax.Array:
    return jnp.sum(state.velocity**2)


def _cluster(count: int, steps: int = 300) -> Row:
    """One cluster under BAOAB: the textbook differentiates the double sum at every step."""
    position = _lattice(count, 1.2)
    ours = BAOAB(LennardJones(), x0=position, dt=0.002, kT=0.3)
    times = Times(
        {"ours": Program(ours, Final(_energy), horizon=steps, replicas=1), "book": _textbook(position, steps)}
    )
    return times.at_least(f"LJ{count} BAOAB, {steps} steps: textbook jax.grad(U) over ours", "book", "ours", 4)


def _lattice(count: int, spacing: float) -> jax.Array:
    side = int(np.ceil(count ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    nearest = np.argsort(np.sum((grid - (side - 1) / 2) ** 2, axis=1), kind="stable")[:count]
    return jnp.asarray(spacing * (grid[nearest] - (side - 1) / 2), float)


def _textbook(position: jax.Array, steps: int, dt: float = 0.002, kT: float = 0.3) -> Run:
    i, j = np.triu_indices(len(position), 1)

    def energy(x: jax.Array) -> jax.Array:
        sixth = 1 / jnp.sum((x[i] - x[j]) ** 2, axis=1) ** 3
        return 4 * jnp.sum(sixth**2 - sixth)

    damping, spread = float(np.exp(-dt)), float(np.sqrt(-kT * np.expm1(-2 * dt)))

    @jax.jit
    def run(x: jax.Array, key: jax.Array) -> jax.Array:
        def body(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
            x, v = carry
            v = v - dt / 2 * jax.grad(energy)(x)
            x = x + dt / 2 * v
            v = damping * v + spread * jax.random.normal(key, x.shape, x.dtype)
            x = x + dt / 2 * v
            return (x, v - dt / 2 * jax.grad(energy)(x)), None

        return lax.scan(body, (x, jnp.zeros_like(x)), jax.random.split(key, steps))[0][0]

    key = jax.random.key(0)
    return lambda: run(position, key)


def _dipeptide(openmm: Any) -> Iterator[Row]:
    """Alanine dipeptide in vacuum, float64 against OpenMM's Reference platform, which works in double."""
    molecule = Molecule.alanine_dipeptide()
    law = BAOAB(molecule, x0=molecule.reference_position, dt=0.0005, kT=KT_300, mass=molecule.masses)
    steps, replicas = 1000, 256
    single = Program(law, Final(_energy), horizon=steps, replicas=1)
    many = Program(law, Final(_energy), horizon=200, replicas=replicas)
    from pliant.potentials import _dipeptide as built

    simulator = openmm.LangevinMiddleIntegrator(300, 1, 0.0005)
    positions = np.asarray(molecule.reference_position)
    reference = _openmm(openmm, built.system("ff14SB", None), simulator, positions, "Reference", 10 * steps)
    times = Times({"one": single, "many": many, "reference": reference}, rounds=9, repeats=2)
    seconds = {name: times.milliseconds(name) / 1e3 for name in times.seconds}
    rate = {"one": steps / seconds["one"], "many": 200 * replicas / seconds["many"]}
    rate["reference"] = 10 * steps / seconds["reference"]
    for name, label, goal in (
        ("one", "alanine dipeptide: our steps/s over OpenMM Reference's", 0.68),
        ("many", "256 dipeptides: our trajectory-steps/s over OpenMM Reference's", 1.0),
    ):
        ratio = rate[name] / rate["reference"]
        measured = f"{ratio:.2f} ({rate[name]:,.0f} / {rate['reference']:,.0f} per s)"
        yield Row(label, f">= {goal:g}", measured, ratio >= goal)


def _fluid(openmm: Any, count: int = 500, steps: int = 200) -> Iterator[Row]:
    """A Lennard-Jones fluid at density 0.8 with a cut-off of 2.5, at constant energy."""
    edge = (count / 0.8) ** (1 / 3)
    position = _lattice(count, edge / 8) % edge
    fluid = LennardJones(box=jnp.full(3, edge), cutoff=2.5)
    ours = VelocityVerlet(fluid, x0=position, dt=0.002, kT=1.0)
    system = _fluid_system(openmm, count, edge)
    integrator = openmm.VerletIntegrator(0.002)
    theirs = _openmm(openmm, system, integrator, np.asarray(position), "CPU", steps)
    program = Program(ours, Final(_energy), horizon=steps, replicas=1)
    times = Times({"ours": program, "OpenMM": theirs}, rounds=9, repeats=2)
    yield times.at_least(f"LJ fluid N = {count} NVE, {steps} steps: OpenMM CPU over ours", "OpenMM", "ours", 1)


def _fluid_system(openmm: Any, count: int, edge: float) -> Any:
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors((edge, 0, 0), (0, edge, 0), (0, 0, edge))
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(2.5)
    force.setUseDispersionCorrection(False)
    for _ in range(count):
        system.addParticle(1.0)
        force.addParticle(0.0, 1.0, 1.0)
    system.addForce(force)
    return system


def _openmm(openmm: Any, system: Any, integrator: Any, position: np.ndarray, platform: str, steps: int) -> Run:
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))
    context.setPositions(position)
    context.setVelocitiesToTemperature(300 if platform == "Reference" else 120.27)

    def run() -> None:
        integrator.step(steps)
        # A step is only done when its positions are asked for.
        context.getState(getPositions=True)

    return run
