"""Overdamped Langevin dynamics, also called Brownian dynamics."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.laws import HasDrift, HasPathDensity, HasStationaryDensity, Invertible, State, Step
from pliant.core.noise import Normal
from pliant.core.potential import at_time, force
from pliant.core.validate import one_of, positive
from pliant.dynamics._shared import (
    InPotential,
    Position,
    as_number,
    as_position,
    per_coordinate,
    stiffest,
    unit_harmonic,
)

# The shadow potential needs the trace of the Hessian, one directional derivative a coordinate.
_SHADOW_COORDINATES = 32
_SCHEMES = ("euler_maruyama", "leimkuhler_matthews")


class OverdampedLangevin(InPotential, HasPathDensity, HasStationaryDensity, HasDrift):
    r"""Overdamped Langevin dynamics $dx = \mu F(x)\,dt + \sqrt{2 \mu kT}\,dW$ with mobility $\mu = 1/(\gamma m)$.

    **Arguments**: `potential`: a callable `U(position)`; `x0`: where every replica starts, any shape; `dt`, `kT`,
    `friction` $\gamma$ (a rate), `mass` $m$: positive, numbers or arrays (a mass of shape (n,) stands for n particles).
    `scheme`:

    - "euler_maruyama": $x' = x + h \mu F(x) + \sqrt{2 \mu kT h}\,R$. Weak order 1; its stationary law is off by O(h), and
      a covariance with the energy's derivative by several times that. Up to 32 coordinates `log_density` is therefore
      that of the shadow potential $U + \frac{h \mu}{4} (2 kT \Delta U - |\nabla U|^2)$, which the scheme samples up to
      $O(h^2)$, and exactly on a harmonic potential; beyond, it is that of U. It has an exact discrete path
      density. Aliases: unadjusted Langevin algorithm (ULA).
    - "leimkuhler_matthews": $x' = x + h \mu F(x) + \sqrt{\mu kT h / 2}\,(R_n + R_{n+1})$. Stationary averages have weak
      order 2 and are exact on a harmonic potential. Consecutive steps share a noise, so positions are not Markov and
      have no tractable path density. Aliases: BAOAB in the limit of high friction.

    Cost: one force a step. Stable on a stiffness k for $h < 2 \gamma m / k$.

    **Raises** ValueError for dt, kT, friction or mass that are not positive.

    Source: Ermak and McCammon, J. Chem. Phys. 69, 1352 (1978); Leimkuhler and Matthews, Appl. Math. Res. Express 2013,
    34, equation 5; Mattingly, Stuart and Tretyakov, SIAM J. Numer. Anal. 48, 552 (2010), for invariant measures off by
    O(h). The shadow potential follows from matching the scheme's one-step expansion to its own stationary density.
    """

    potential: Callable = unit_harmonic
    x0: Float[Array, "*shape"] = eqx.field(converter=as_position, default=None)  # pyright: ignore[reportAssignmentType]
    dt: Any = 0.01
    kT: Any = 1.0
    friction: Any = 1.0
    mass: Any = eqx.field(converter=as_number, default=1.0)
    scheme: str = eqx.field(static=True, default="euler_maruyama")

    def __check_init__(self) -> None:
        for name in ("dt", "kT", "friction", "mass"):
            positive(name, getattr(self, name))
        one_of("scheme", self.scheme, _SCHEMES)

    @property
    def noise(self) -> Normal:
        return Normal(self.x0.shape)

    def init(self, key: PRNGKeyArray) -> Position:
        if self.scheme == "euler_maruyama":
            return Position(self.x0)
        return Position(self.x0, jax.random.normal(key, self.x0.shape, self.x0.dtype))

    def step(self, state: Position, noise: Array, t: Step) -> Position:
        drifted = self._drifted(state.position, t)
        if state.noise is None:
            return Position(drifted + self._spread * noise)
        return Position(drifted + 0.5 * self._spread * (state.noise + noise), noise)

    def drift(self, state: Position, t: Step) -> Array:
        return self._mobility * self._force(state.position, t)

    def diffusion(self, state: Position, t: Step) -> Array:
        return jnp.broadcast_to(jnp.sqrt(2 * self.kT * self._mobility), self.x0.shape)

    def log_density(self, state: Position) -> Float[Array, ""]:
        energy = self.potential(state.position)
        return -(energy + self._shadow(state.position) if self._has_shadow else energy) / self.kT

    @property
    def stationary_measure(self) -> str:
        if self._has_shadow:
            return "the invariant density of the discretised dynamics up to O(dt^2) (its shadow potential)"
        return super().stationary_measure

    def path_step(
        self, memory: PyTree, state: Position, noise: Array, next_state: Position, t: Step
    ) -> tuple[PyTree, Float[Array, ""]]:
        spread = jnp.broadcast_to(self._spread, self.x0.shape)
        rebuilt = (next_state.position - self._drifted(state.position, t)) / spread
        return memory, -0.5 * jnp.sum(rebuilt**2) - jnp.sum(jnp.log(spread))

    @property
    def path_singular(self) -> tuple[str, ...]:
        return ("x0",)

    def refusal(self, capability: type) -> str | None:
        if capability is HasPathDensity and self.scheme == "leimkuhler_matthews":
            return (
                "the Leimkuhler-Matthews scheme uses every noise in two steps: positions alone are not Markov and their "
                'path density is not tractable; use scheme="euler_maruyama", or BPTT.'
            )
        if capability is Invertible:
            return (
                "a step adds the force where it started: to undo it is to solve a nonlinear equation, with several solutions "
                "where dt times the curvature exceeds friction times mass; use BPTT(checkpoint=True), "
                'Adjoint("continuous") for the equation itself, or a Langevin splitting, whose parts are undone in closed form.'
            )
        return super().refusal(capability)

    def step_limit(self, state: State) -> Float[Array, ""]:
        stiffness = stiffest(at_time(self.potential, 0.0), state.position, self._over_mass)
        return 2 * self.friction / jnp.maximum(stiffness, 1e-30)

    @property
    def step_limit_name(self) -> str:
        return "2 friction mass / stiffness"

    @property
    def _has_shadow(self) -> bool:
        return self.scheme == "euler_maruyama" and self.x0.size <= _SHADOW_COORDINATES

    def _shadow(self, position: Array) -> Float[Array, ""]:
        """The first-order difference between the potential that Euler-Maruyama samples and the one it is given."""
        flat = position.ravel()
        mobility = jnp.broadcast_to(self._mobility, position.shape).ravel()

        def slope(x: Array) -> Array:
            return -force(self.potential, x.reshape(position.shape)).ravel()

        def curvature(direction: Array) -> Array:
            return jnp.vdot(direction, jax.jvp(slope, (flat,), (direction,))[1])

        curvatures = jax.vmap(curvature)(jnp.eye(flat.size, dtype=flat.dtype))
        return 0.25 * self.dt * jnp.sum(mobility * (2 * self.kT * curvatures - slope(flat) ** 2))

    @property
    def _over_mass(self) -> Any:
        return 1.0 / self.mass

    @property
    def _mobility(self) -> Any:
        return per_coordinate(1.0 / (self.friction * self.mass), self.x0)

    @property
    def _spread(self) -> Any:
        return jnp.sqrt(2 * self.kT * self._mobility * self.dt)

    def _drifted(self, position: Array, t: Step) -> Array:
        return position + self.dt * self._mobility * self._force(position, t)
