"""Energy-sampling Hamiltonian dynamics: ergodic on one energy shell, with weights."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.errors import NotApplicable
from pliant.core.laws import HasDrift, HasStationaryDensity, Invertible, Step
from pliant.core.noise import Normal
from pliant.core.validate import positive
from pliant.dynamics._energy_shell import Shell, kick, turn, unit
from pliant.dynamics._shared import InPotential, as_position, at_time, stiffest, unit_harmonic


def _start(x0: Any) -> Float[Array, "*shape"]:
    return as_position(jnp.ones(2) if x0 is None else x0)


class ESH(InPotential, HasStationaryDensity, Invertible, HasDrift):
    r"""Energy-sampling Hamiltonian dynamics, whose energy is $U(x)/kT + d \log |v|$ in d dimensions.

    In the time that makes the speed one, with $v = e^r u$ and $g = \nabla U / kT$,

    $$ x' = u, \qquad u' = -(I - u u^T)\, g / d, \qquad r' = -u \cdot g / d. $$

    **Arguments**: `potential`: a callable `U(position)`; `x0`: where every replica starts, any shape of two coordinates
    or more; `dt`, a length, and `kT`: positive, numbers or arrays; `v0`: initial velocity, not zero; a random direction
    at speed one where None. There is no mass: scale the coordinates instead. `refresh`: None for the deterministic
    dynamics; a positive rate at which noise turns the direction, $\langle u \cdot u' \rangle = e^{-\text{refresh}\,dt}$.

    A step is half a kick, a drift and half a kick, each of them exact: order 2, reversible; the turn comes last, by an
    orthogonal map of the noise alone, so that it can be undone and derivatives flow through the rate. `conserved` drifts
    by O(dt^2). Without refresh it is not ergodic where the potential has a symmetry, or parts that do not couple.

    Where it is ergodic, states weighted by $e^r$ follow $e^{-U/kT}$, and `TimeAverage` weighs them so; unweighted ones
    (`Final`, functions of paths) follow $e^{-(d-1) U / (d\,kT)}$. Weights are taken relative to the start, which may lie
    80 d kT (single precision; 700 d kT in double) above the energies visited; beyond, averages are not finite.

    Cost: one force a step. Stable on a stiffness k for $h < 2 \sqrt{d\,kT / k}$.

    **Raises** ValueError for one dimension, where the direction can never turn, for a zero v0, and for dt, kT or refresh
    that are not positive.

    Source: Ver Steeg and Galstyan, NeurIPS 2021 (arXiv:2111.02434).
    """

    potential: Callable = unit_harmonic
    x0: Float[Array, "*shape"] = eqx.field(converter=_start, default=None)  # pyright: ignore[reportAssignmentType]
    dt: Any = 0.1
    kT: Any = 1.0
    v0: Any = None
    refresh: Any = None

    def __check_init__(self) -> None:
        for name in ("dt", "kT", "refresh"):
            positive(name, getattr(self, name))
        if self.x0.size < 2:
            raise NotApplicable(
                "Argument `x0` must have at least two coordinates, but it had shape "
                f"{self.x0.shape}: on a line the direction never turns, and the motion runs away or stops. Append harmonic "
                "coordinates that do not couple to it, such as U(x[:1]) + sum(x[1:]**2) / 2; averages over x[0] stay."
            )
        if self.v0 is not None and not isinstance(self.v0, Tracer) and not np.any(self.v0):
            raise ValueError("Argument `v0` must not be zero, but it was: a motion needs a direction. Leave it None.")

    @property
    def noise(self) -> tuple[Normal, ...]:
        return () if self.refresh is None else (Normal((self.x0.size,)), Normal((self.x0.size // 2,)))

    def init(self, key: PRNGKeyArray) -> Shell:
        dtype, shape = self.x0.dtype, self.x0.shape
        drawn = jax.random.normal(key, shape, dtype)
        velocity = drawn if self.v0 is None else jnp.broadcast_to(jnp.asarray(self.v0, dtype), shape)
        speed = jnp.linalg.norm(velocity.ravel())
        return Shell(self.x0, velocity / speed, self._start_log_speed, self._force(self.x0, 0))

    def step(self, state: Shell, noise: PyTree, t: Step) -> Shell:
        direction, log_speed = kick(state.direction, state.log_speed, self._push * state.force)
        position = state.position + self.dt * direction
        force_there = self._force(position, t + 1)
        direction, log_speed = kick(direction, log_speed, self._push * force_there)
        if self.refresh is not None:
            direction = turn(direction, noise, self._angle)
        return Shell(position, unit(direction), log_speed, force_there)

    def unstep(self, next_state: Shell, noise: PyTree, t: Step) -> Shell:
        direction = next_state.direction
        if self.refresh is not None:
            direction = turn(direction, noise, -self._angle)
        direction, log_speed = kick(direction, next_state.log_speed, -self._push * next_state.force)
        position = next_state.position - self.dt * direction
        force_here = self._force(position, t)
        direction, log_speed = kick(direction, log_speed, -self._push * force_here)
        return Shell(position, unit(direction), log_speed, force_here)

    def conserved(self, state: Shell) -> Float[Array, ""]:
        """The energy of the shell, U/kT + d log |v|: what e^r is the weight of."""
        return self.potential(state.position) / self.kT + self.x0.size * state.log_speed

    def log_density(self, state: Shell) -> Float[Array, ""]:
        return -self.potential(state.position) / self.kT

    def log_sample_weight(self, state: Shell) -> Float[Array, ""]:
        return state.log_speed - self._start_log_speed

    def drift(self, state: Shell, t: Step) -> Shell:
        push = self._force(state.position, t) / (self.x0.size * self.kT)
        along = jnp.sum(state.direction * push)
        return Shell(state.direction, push - along * state.direction, along, None)

    def diffusion(self, state: Shell, t: Step) -> Shell:
        still = jnp.zeros_like(state.position)
        return Shell(still, still, jnp.zeros_like(state.log_speed), None)

    def refusal(self, capability: type) -> str | None:
        if capability is HasDrift and self.refresh is not None:
            return (
                "its noise turns the direction on a sphere, which is no diagonal diffusion; use refresh=None, or an "
                "estimator of the discrete scheme, such as BPTT."
            )
        return super().refusal(capability)

    def reversal_growth(self) -> float:
        return 0.0

    def step_limit(self, state: Shell) -> Float[Array, ""]:
        stiffness = stiffest(at_time(self.potential, 0.0), state.position, 1 / (self.x0.size * self.kT))
        return 2 / jnp.sqrt(jnp.maximum(stiffness, 1e-30))

    @property
    def step_limit_name(self) -> str:
        return "2 sqrt(d kT / stiffness)"

    @property
    def _start_log_speed(self) -> Float[Array, ""]:
        dtype, shape = self.x0.dtype, self.x0.shape
        if self.v0 is None:
            return jnp.zeros((), dtype)
        return jnp.log(jnp.linalg.norm(jnp.broadcast_to(jnp.asarray(self.v0, dtype), shape).ravel()))

    @property
    def _push(self) -> Any:
        """Half a step's kick by a unit of force."""
        return 0.5 * self.dt / (self.x0.size * self.kT)

    @property
    def _angle(self) -> Any:
        return jnp.sqrt(2 * self.refresh * self.dt)
