"""Velocity Verlet: Hamiltonian dynamics at constant energy."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.laws import HasDrift, HasStationaryDensity, Invertible, Step
from pliant.core.validate import positive
from pliant.dynamics._shared import KickDrift, Phase, as_number, as_position, start_velocity, unit_harmonic


class VelocityVerlet(KickDrift, Invertible, HasDrift):
    r"""Velocity Verlet $v_{1/2} = v + \frac h2 F(x)/m,\ x' = x + h v_{1/2},\ v' = v_{1/2} + \frac h2 F(x')/m$.

    **Arguments**: `potential`: a callable `U(position)`; `x0`: where every replica starts, any shape; `dt`, `mass`:
    positive; `v0`: initial velocity, drawn from Maxwell-Boltzmann at `kT` where None: the only place of `kT`.

    Order 2, symplectic, reversible, deterministic after its start: it has no path density, and its long-time averages
    are those of its own energy shell, not of the canonical state. Cost: one force a step. Stable on a frequency w for
    $h < 2/w$. Aliases: leapfrog (kick-drift-kick), Störmer-Verlet, the splitting BAB.

    **Raises** ValueError for dt, kT or mass that are not positive.

    Source: Swope, Andersen, Berens and Wilson, J. Chem. Phys. 76, 637 (1982), equations 5 and 6.
    """

    potential: Callable = unit_harmonic
    x0: Float[Array, "*shape"] = eqx.field(converter=as_position, default=None)  # pyright: ignore[reportAssignmentType]
    dt: Any = 0.01
    kT: Any = 1.0
    mass: Any = eqx.field(converter=as_number, default=1.0)
    v0: Any = None

    def __check_init__(self) -> None:
        for name in ("dt", "kT", "mass"):
            positive(name, getattr(self, name))

    @property
    def noise(self) -> tuple[()]:
        return ()

    def init(self, key: PRNGKeyArray) -> Phase:
        velocity = start_velocity(key, self.v0, self.x0, self.kT, self.mass)
        return Phase(self.x0, velocity, self._force(self.x0, 0))

    def step(self, state: Phase, noise: PyTree, t: Step) -> Phase:
        half = state.velocity + 0.5 * self.dt * state.force / self._mass
        position = state.position + self.dt * half
        force_there = self._force(position, t + 1)
        return Phase(position, half + 0.5 * self.dt * force_there / self._mass, force_there)

    def unstep(self, next_state: Phase, noise: PyTree, t: Step) -> Phase:
        half = next_state.velocity - 0.5 * self.dt * next_state.force / self._mass
        position = next_state.position - self.dt * half
        force_here = self._force(position, t)
        return Phase(position, half - 0.5 * self.dt * force_here / self._mass, force_here)

    def reversal_growth(self) -> float:
        return 0.0

    def drift(self, state: Phase, t: Step) -> Phase:
        return Phase(state.velocity, self._force(state.position, t) / self._mass)

    def diffusion(self, state: Phase, t: Step) -> Phase:
        return Phase(jnp.zeros_like(state.position), jnp.zeros_like(state.velocity))

    def refusal(self, capability: type) -> str | None:
        if capability is HasStationaryDensity:
            return (
                "velocity Verlet conserves the energy: it samples the shell it started on, whose average no covariance "
                "with the energy's derivative can give; use BPTT, ForwardSensitivity or FiniteDifference, or a Langevin "
                "dynamics for the canonical state."
            )
        return super().refusal(capability)
