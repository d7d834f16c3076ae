"""Underdamped Langevin dynamics by any splitting over kicks, drifts and Ornstein-Uhlenbeck steps."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.laws import HasDrift, HasPathDensity, HasStationaryDensity, Invertible, Step
from pliant.core.noise import Normal
from pliant.core.trees import stop_gradient
from pliant.core.validate import positive
from pliant.dynamics._shared import Phase, as_number, as_position, start_velocity, unit_harmonic
from pliant.dynamics._splitting import Split


class Langevin(Split, HasPathDensity, HasStationaryDensity, Invertible, HasDrift):
    r"""Langevin dynamics $dx = v\,dt,\ m\,dv = F(x)\,dt - \gamma m v\,dt + \sqrt{2 \gamma m kT}\,dW$ by a splitting.

    **Arguments**: `potential`: a callable `U(position)`; `x0`: where every replica starts, any shape; `dt`, `kT`,
    `friction` $\gamma$ (a rate), `mass` (scalar, or (n,) for n particles): positive, numbers or arrays; `v0`: initial
    velocity, drawn from Maxwell-Boltzmann where None. `splitting`: a word over

    - B: kick $v \mathrel{+}= h F/m$; A: drift $x \mathrel{+}= h v$; O: $v = a v + \sqrt{(1 - a^2) kT/m}\,R$ with
      $a = e^{-\gamma h}$; a letter that stands k times takes h/k each time.

    Palindromes such as BAOAB, OBABO, ABOBA have weak order 2. BAOAB has the best configurational averages (exact on a
    harmonic potential); OBABO and ABOBA have exact phase-space path densities, which BAOAB has not: each of its kicks
    stands alone between drifts, so that a changed force moves the support. Its density of positions alone is used there.

    Cost: one force a step where the word begins and ends on a kick of the same position, else one per run with a kick.
    Stable on a frequency w for $h < 2/w$.

    **Raises** ValueError for a word that is none, or dt, kT, friction or mass that are not positive.

    Source: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34; Bussi and Parrinello, Phys. Rev. E 75, 056707
    (2007); Sivak, Chodera and Crooks, J. Phys. Chem. B 118, 6466 (2014).
    """

    potential: Callable = unit_harmonic
    x0: Float[Array, "*shape"] = eqx.field(converter=as_position, default=None)  # pyright: ignore[reportAssignmentType]
    dt: Any = 0.01
    kT: Any = 1.0
    friction: Any = 1.0
    mass: Any = eqx.field(converter=as_number, default=1.0)
    v0: Any = None
    splitting: str = eqx.field(static=True, default="BAOAB")

    def __check_init__(self) -> None:
        for name in ("dt", "kT", "friction", "mass"):
            positive(name, getattr(self, name))
        if not self.word.thermostats:
            raise ValueError(
                f"Argument `splitting` must hold an O, the thermostat, but it was {self.splitting!r}. Without one the "
                "dynamics is Hamiltonian: use VelocityVerlet."
            )

    @property
    def noise(self) -> Normal:
        return Normal((self.word.thermostats, *self.x0.shape))

    def init(self, key: PRNGKeyArray) -> Phase:
        return self._phase(self.x0, start_velocity(key, self.v0, self.x0, self.kT, self.mass), 0)

    def step(self, state: Phase, noise: Float[Array, "thermostats *shape"], t: Step) -> Phase:
        position, velocity, force_here = state.position, state.velocity, state.force
        drawn = iter(noise)
        for letter, done in self.word.walk():
            if letter == "A":
                position, force_here = position + self._drift_time * velocity, None
            elif letter == "O":
                velocity = self._thermostat(velocity, next(drawn))
            else:
                force_here = self._force(position, t + done) if force_here is None else force_here
                velocity = velocity + self._kick_time * force_here
        return Phase(position, velocity, force_here if self.word.carries_force else None)

    def unstep(self, next_state: Phase, noise: Float[Array, "thermostats *shape"], t: Step) -> Phase:
        position, velocity, force_here = next_state.position, next_state.velocity, next_state.force
        drawn = iter(noise[::-1])
        for letter, done in reversed(list(self.word.walk())):
            if letter == "A":
                position, force_here = position - self._drift_time * velocity, None
            elif letter == "O":
                velocity = (velocity - self._spread * next(drawn)) / self._damping
            else:
                force_here = self._force(position, t + done) if force_here is None else force_here
                velocity = velocity - self._kick_time * force_here
        return Phase(position, velocity, force_here if self.word.carries_force else None)

    def reversal_growth(self) -> Array:
        return self.friction * jnp.asarray(self.dt)

    def drift(self, state: Phase, t: Step) -> Phase:
        acceleration = self._force(state.position, t) / self._mass - self.friction * state.velocity
        return Phase(state.velocity, acceleration)

    def diffusion(self, state: Phase, t: Step) -> Phase:
        amplitude = jnp.sqrt(2 * self.friction * self.kT / self._mass)
        return Phase(jnp.zeros_like(state.position), jnp.broadcast_to(amplitude, state.velocity.shape))

    def increments(self, noise: Float[Array, "thermostats *shape"]) -> Phase:
        """Thermostats of a step share its time: their noises add up to the increment of the velocity."""
        total = jnp.sqrt(self.dt * self.word.share("O")) * jnp.sum(noise, axis=0)
        return Phase(jnp.zeros_like(total), total)

    def log_density(self, state: Phase) -> Float[Array, ""]:
        kinetic = 0.5 * jnp.sum(self._mass * state.velocity**2)
        return -(self.potential(state.position) + kinetic) / self.kT

    def path_start(self, state: Phase) -> tuple[PyTree, Float[Array, ""]]:
        variance = jnp.broadcast_to(jnp.asarray(self.kT / self._mass, self.x0.dtype), state.velocity.shape)
        drawn = -0.5 * jnp.sum(state.velocity**2 / variance + jnp.log(variance))
        log_density = drawn if self.v0 is None else jnp.zeros_like(drawn)
        if self.word.has_density:
            return (), log_density
        return state.velocity + self._whole_kick * self._force(state.position, 0), log_density

    def path_step(
        self, memory: PyTree, state: Phase, noise: Float[Array, "thermostats *shape"], next_state: Phase, t: Step
    ) -> tuple[PyTree, Float[Array, ""]]:
        if self.word.has_density:
            return memory, self._phase_density(state, noise, t)
        return self._position_density(memory, state, next_state, t)

    def _phase_density(self, state: Phase, noise: Array, t: Step) -> Float[Array, ""]:
        """Each run between drifts is a Gaussian step of the velocity; its mean and variance carry the parameters."""
        held = stop_gradient(self)
        position, velocity, total = state.position, state.velocity, jnp.zeros((), self.x0.dtype)
        done, used = 0.0, 0
        for index, run in enumerate(self.word.runs):
            if index:
                position, done = position + held._drift_time * velocity, done + self.word.share("A")
            noises, used = noise[used : used + run.count("O")], used + run.count("O")
            if run:
                mean, variance = self._moments(run, velocity, position, t + done)
                velocity = held._run(run, velocity, position, noises, t + done)
                total = total - 0.5 * jnp.sum((velocity - mean) ** 2 / variance + jnp.log(variance))
        return total

    def _moments(self, run: str, velocity: Array, position: Array, time: Any) -> tuple[Array, Array]:
        """Mean and variance of the velocity after a run that began at a known velocity."""
        mean, variance = velocity, jnp.zeros_like(velocity)
        for letter in run:
            if letter == "B":
                mean = mean + self._kick_time * self._force(position, time)
            else:
                mean, variance = self._damping * mean, self._damping**2 * variance + self._spread**2
        return mean, variance

    def _run(self, run: str, velocity: Array, position: Array, noises: Array, time: Any) -> Array:
        """The velocity after a run of kicks and thermostats at one position."""
        drawn = iter(noises)
        for letter in run:
            if letter == "B":
                velocity = velocity + self._kick_time * self._force(position, time)
            else:
                velocity = self._thermostat(velocity, next(drawn))
        return velocity

    def _position_density(
        self, before: Array, state: Phase, next_state: Phase, t: Step
    ) -> tuple[Array, Float[Array, ""]]:
        """BAOAB and BAOA: the velocities on both sides of the thermostat, rebuilt from positions alone."""
        after = (next_state.position - state.position) / self._drift_time - before
        spread = jnp.broadcast_to(self._spread, after.shape)
        rebuilt = (after - self._damping * before) / spread
        memory = after + self.dt / self._mass * self._force(next_state.position, t + 1)
        return memory, -0.5 * jnp.sum(rebuilt**2) - jnp.sum(jnp.log(spread))

    @property
    def path_covers(self) -> tuple[str, ...] | None:
        # The stored force is a function of the position.
        return None if self.word.has_density else ("position", "force")

    def _phase(self, position: Array, velocity: Array, t: Step) -> Phase:
        return Phase(position, velocity, self._force(position, t) if self.word.carries_force else None)

    def _thermostat(self, velocity: Array, noise: Array) -> Array:
        return self._damping * velocity + self._spread * noise

    @property
    def _damping(self) -> Any:
        return jnp.exp(-self.friction * self.dt * self.word.share("O"))

    @property
    def _spread(self) -> Any:
        return jnp.sqrt(self.kT * -jnp.expm1(-2 * self.friction * self.dt * self.word.share("O")) / self._mass)
