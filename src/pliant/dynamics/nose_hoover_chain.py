"""Canonical dynamics without noise: particles coupled to a chain of Nosé-Hoover thermostats."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.laws import HasDrift, HasStationaryDensity, Invertible, Step
from pliant.core.validate import positive, positive_whole
from pliant.dynamics._nose_hoover import WEIGHTS, Chain, Thermostatted, substeps
from pliant.dynamics._shared import KickDrift, as_number, as_position, start_velocity, unit_harmonic


class NoseHooverChain(KickDrift, HasStationaryDensity, Invertible, HasDrift):
    r"""A Nosé-Hoover chain: $m \dot v = F(x) - m v_{\xi_1} v$, each thermostat held at kT by the next one.

    **Arguments**: `potential`: a callable `U(position)`; `x0`: where every replica starts, any shape; `dt`, `kT`,
    `mass` (scalar, or (n,) for n particles): positive, numbers or arrays; `v0`: initial velocity, drawn from
    Maxwell-Boltzmann where None. Thermostats start from their own stationary law.

    - `chain`: how many thermostats M; `tau`: their time, a period of the system's slower modes and at least 20 dt. Their
      masses are $Q_1 = N_f kT \tau^2$ and $Q_{j>1} = kT \tau^2$ (`chain_masses`).
    - `degrees_of_freedom` $N_f$: the number of coordinates where None. `momentum_conserved`: no external force acts on
      the n particles of x0, shape (n, d): the drift of their centre is taken out of the start, and $N_f = d n - d$.
    - `suzuki_yoshida`: 1, 3 or 5 weights of the thermostats' composition (order 2, 4, 4); `respa`: how many times it is
      repeated in a step. Raise them where tau is short.

    A step is half a kick, half a drift, the thermostats, half a drift, half a kick: order 2, reversible, deterministic
    after its start. With the thermostats in the middle, as in BAOAB, they move once a step instead of twice, and
    averages over positions are the better for it. `conserved` drifts by O(dt^2) without trend. Its continuum leaves
    $\exp[-(U + \sum m v^2/2 + \sum Q_j v_{\xi_j}^2/2)/kT]$ invariant, and averages go there where the motion is ergodic:
    it is not on one or few harmonic oscillators. Cost: one force a step, and M exponentials a weight.
    Stable on a frequency w for $h < 2/w$.

    **Raises** ValueError for arguments out of these ranges.

    Source: Martyna, Tuckerman, Tobias and Klein, Mol. Phys. 87, 1117 (1996), for the chain, its masses and its
    factorisation; Zhang et al., J. Chem. Phys. 147, 034109 (2017), for its place in the middle; Suzuki, J. Math. Phys.
    32, 400 (1991), and Yoshida, Phys. Lett. A 150, 262 (1990), for the weights.
    """

    potential: Callable = unit_harmonic
    x0: Float[Array, "*shape"] = eqx.field(converter=as_position, default=None)  # pyright: ignore[reportAssignmentType]
    dt: Any = 0.01
    kT: Any = 1.0
    mass: Any = eqx.field(converter=as_number, default=1.0)
    tau: Any = 1.0
    v0: Any = None
    chain: int = eqx.field(static=True, default=3)
    suzuki_yoshida: int = eqx.field(static=True, default=1)
    respa: int = eqx.field(static=True, default=1)
    degrees_of_freedom: int | None = eqx.field(static=True, default=None)
    momentum_conserved: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        for name in ("dt", "kT", "mass", "tau"):
            positive(name, getattr(self, name))
        for name in ("chain", "respa"):
            positive_whole(name, getattr(self, name))
        if self.suzuki_yoshida not in WEIGHTS:
            raise ValueError(
                f"Argument `suzuki_yoshida` must be 1, 3 or 5 weights, but it was {self.suzuki_yoshida!r}."
            )
        if self.momentum_conserved and self.x0.ndim != 2:
            raise ValueError(
                "Argument `momentum_conserved` needs particles, an x0 of shape (n, d), but x0 had shape "
                f"{self.x0.shape}. Reshape it, or leave momentum_conserved=False."
            )
        if self.freedoms < 1:
            raise ValueError(
                f"Argument `degrees_of_freedom` must be at least 1, but it was {self.freedoms}: nothing is left to heat."
            )

    @property
    def noise(self) -> tuple[()]:
        return ()

    @property
    def freedoms(self) -> int:
        """The number of degrees of freedom that the chain counts."""
        if self.degrees_of_freedom is not None:
            return self.degrees_of_freedom
        return self.x0.size - (self.x0.shape[-1] if self.momentum_conserved else 0)

    @property
    def chain_masses(self) -> Float[Array, " chain"]:
        """The masses Q of the thermostats, in units of energy times time squared."""
        counts = jnp.ones(self.chain, self.x0.dtype).at[0].set(self.freedoms)
        return counts * self.kT * self.tau**2

    def init(self, key: PRNGKeyArray) -> Thermostatted:
        ours, theirs = jax.random.split(key)
        velocity = start_velocity(ours, self.v0, self.x0, self.kT, self.mass)
        if self.momentum_conserved:
            masses = jnp.broadcast_to(self._mass, velocity.shape)
            velocity = velocity - jnp.sum(masses * velocity, axis=0) / jnp.sum(masses, axis=0)
        spread = jnp.sqrt(self.kT / self.chain_masses)
        chain = spread * jax.random.normal(theirs, (self.chain,), self.x0.dtype)
        return Thermostatted(self.x0, velocity, self._force(self.x0, 0), tuple(chain), jnp.zeros((), self.x0.dtype))

    def step(self, state: Thermostatted, noise: PyTree, t: Step) -> Thermostatted:
        half = state.velocity + self._kick_time * state.force
        middle = state.position + 0.5 * self.dt * half
        warm = self._thermostat(dataclasses.replace(state, velocity=half), self._times)
        position = middle + 0.5 * self.dt * warm.velocity
        force_there = self._force(position, t + 1)
        velocity = warm.velocity + self._kick_time * force_there
        return dataclasses.replace(warm, position=position, velocity=velocity, force=force_there)

    def unstep(self, next_state: Thermostatted, noise: PyTree, t: Step) -> Thermostatted:
        half = next_state.velocity - self._kick_time * next_state.force
        middle = next_state.position - 0.5 * self.dt * half
        back = [-time for time in reversed(self._times)]
        cold = self._thermostat(dataclasses.replace(next_state, velocity=half), back)
        position = middle - 0.5 * self.dt * cold.velocity
        force_here = self._force(position, t)
        velocity = cold.velocity - self._kick_time * force_here
        return dataclasses.replace(cold, position=position, velocity=velocity, force=force_here)

    def reversal_growth(self) -> float:
        return 0.0

    def conserved(self, state: Thermostatted) -> Float[Array, ""]:
        r"""The energy of particles and bath, $H + \sum_j Q_j v_{\xi_j}^2/2 + kT (N_f \xi_1 + \sum_{j>1} \xi_j)$."""
        return self._energy(state) + self.kT * state.bath

    def log_density(self, state: Thermostatted) -> Float[Array, ""]:
        return -self._energy(state) / self.kT

    def drift(self, state: Thermostatted, t: Step) -> Thermostatted:
        bath, heat = self._bath, self._heat(state.velocity)
        damping = [*state.chain[1:], 0.0]
        chain = [bath.drive(heat, state.chain, j) - v * damping[j] for j, v in enumerate(state.chain)]
        acceleration = self._force(state.position, t) / self._mass - state.chain[0] * state.velocity
        return Thermostatted(state.velocity, acceleration, None, tuple(chain), bath.uptake(state.chain))

    def diffusion(self, state: Thermostatted, t: Step) -> Thermostatted:
        return jax.tree.map(jnp.zeros_like, dataclasses.replace(state, force=None))

    def _energy(self, state: Thermostatted) -> Float[Array, ""]:
        """Of particles and thermostats, without the heat that went into the bath."""
        kinetic = 0.5 * jnp.sum(self._mass * state.velocity**2)
        thermostats = 0.5 * jnp.sum(self.chain_masses * jnp.stack(state.chain) ** 2)
        return self.potential(state.position) + kinetic + thermostats

    def _thermostat(self, state: Thermostatted, times: Sequence[Any]) -> Thermostatted:
        factor, chain, bath = self._bath.advance(self._heat(state.velocity), state.chain, state.bath, times)
        return dataclasses.replace(state, velocity=factor * state.velocity, chain=chain, bath=bath)

    def _heat(self, velocity: Array) -> Float[Array, ""]:
        """Twice the kinetic energy over its mean."""
        return jnp.sum(self._mass * velocity**2) / (self.freedoms * self.kT)

    @property
    def _bath(self) -> Chain:
        return Chain(self.freedoms, 1 / self.tau**2)

    @property
    def _times(self) -> list[Any]:
        return substeps(self.dt, self.suzuki_yoshida, self.respa)

    @property
    def _kick_time(self) -> Any:
        return 0.5 * self.dt / self._mass
