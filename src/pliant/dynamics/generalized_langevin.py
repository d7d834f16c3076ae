"""The generalised Langevin equation: friction with a memory, made Markovian by auxiliary momenta."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.laws import HasDrift, HasPathDensity, HasStationaryDensity, Invertible, Step
from pliant.core.noise import Normal
from pliant.core.trees import stop_gradient
from pliant.core.validate import positive
from pliant.dynamics._propagator import LARGEST, propagator, propagator_and_noise
from pliant.dynamics._shared import as_number, as_position, start_velocity, unit_harmonic
from pliant.dynamics._splitting import Split

_STABLE, _ROUND_OFF = 1e-12, 1e-8


class _Extended(eqx.Module):
    """A point in phase space with the auxiliary velocities that remember the past; `force` as in `Phase`."""

    position: Float[Array, "*shape"]
    velocity: Float[Array, "*shape"]
    auxiliary: Float[Array, "n_aux *shape"]
    force: Float[Array, "*shape"] | None = None


def _as_matrix(drift_matrix: Any) -> Float[Array, "modes modes"] | None:
    """Field converter: an array of floating point numbers, or None."""
    return None if drift_matrix is None else as_position(drift_matrix)


class GeneralizedLangevin(Split, HasPathDensity, HasStationaryDensity, Invertible, HasDrift):
    r"""Langevin dynamics with a memory kernel, $m \dot v = F(x) - m \int_0^t K(t - s) v(s)\,ds + \text{noise}$.

    Markovian embedding: with auxiliary velocities s (one more row of A each), $z = (v, s)$ follows

    $$ dx = v\,dt, \qquad dz = (F/m, 0)\,dt - A z\,dt + B\,dW, \qquad B B^T = \frac{kT}{m} (A + A^T), $$

    which keeps $x, v, s$ canonical, v and s with variance kT/m, whatever A. By default
    $A = \begin{pmatrix} 0 & \sqrt{\gamma/\tau} \\ -\sqrt{\gamma/\tau} & 1/\tau \end{pmatrix}$, the exponential kernel
    $K(t) = (\gamma/\tau) e^{-t/\tau}$; it is Langevin dynamics for $\tau \to 0$, and diffuses freely with
    $D = kT/(m\gamma)$ for any $\tau$.

    **Arguments**: `potential`, `x0`, `dt`, `kT`, `mass`, `v0` as in `Langevin`; `friction` $\gamma$ (a rate) and `tau`
    $\tau$ (a time), positive; `drift_matrix` A, shape (1 + n_aux, 1 + n_aux), units of a rate, in place of these two: its
    first row and column are the velocity's. `splitting`: a word over B, A and O as in `Langevin`, where O is exact:
    $z = T z + \sqrt{kT/m}\,S R$, $T = e^{-hA}$, $S S^T = 1 - T T^T$.

    Auxiliary velocities start from their canonical law. Averages are as accurate as those of `Langevin` with the same
    word: on a harmonic potential those of BAOAB are exact in x. OBABO, ABOBA and every word whose kicks share their run
    with an O have an exact path density of (x, v, s); BAOAB and BAOA one of (x, s), and others none. Parameters of A
    change the noise's amplitude: the variance of path weights grows as 1/dt there. The exponential kernel offers its
    stochastic differential equation (`HasDrift`); a `drift_matrix` has noise with correlations between the velocities, which
    that capability cannot say.

    Cost: one force a step as in `Langevin`, and a matrix product of size (1 + n_aux)^2 per O and coordinate; the matrix
    exponential is made once a trajectory. `unstep` multiplies round-off by |e^{hA}|. Stable on a frequency w for $h < 2/w$.

    **Raises** ValueError for bad numbers or words, an A that is not square, that has an eigenvalue whose real part is not
    positive (its momenta would never forget), or whose A + A^T has a negative eigenvalue (no noise could balance it).

    Source: Ceriotti, Bussi and Parrinello, J. Chem. Theory Comput. 6, 1170 (2010), equations 4 to 14; Leimkuhler and
    Sachs, SIAM J. Sci. Comput. 44, A364 (2022), for splittings.
    """

    potential: Callable = unit_harmonic
    x0: Float[Array, "*shape"] = eqx.field(converter=as_position, default=None)  # pyright: ignore[reportAssignmentType]
    dt: Any = 0.01
    kT: Any = 1.0
    friction: Any = 1.0
    tau: Any = 1.0
    mass: Any = eqx.field(converter=as_number, default=1.0)
    v0: Any = None
    drift_matrix: Float[Array, "modes modes"] | None = eqx.field(converter=_as_matrix, default=None)
    splitting: str = eqx.field(static=True, default="BAOAB")
    # T and S of one O, which `prepared` fills in.
    transition: tuple[Array, Array] | None = None

    def __check_init__(self) -> None:
        for name in ("dt", "kT", "friction", "tau", "mass"):
            positive(name, getattr(self, name))
        if not self.word.thermostats:
            raise ValueError(
                f"Argument `splitting` must hold an O, the thermostat, but it was {self.splitting!r}. Without one the "
                "dynamics is Hamiltonian: use VelocityVerlet."
            )
        if self.drift_matrix is not None and not isinstance(self.drift_matrix, Tracer):
            _check_drift(np.asarray(self.drift_matrix))
        _check_resolved(self.matrix, self.dt)

    @property
    def matrix(self) -> Float[Array, "modes modes"]:
        """The drift matrix A."""
        if self.drift_matrix is not None:
            return self.drift_matrix
        coupling, rate = jnp.sqrt(self.friction / self.tau), jnp.asarray(1.0 / self.tau)
        return jnp.stack([jnp.stack([jnp.zeros_like(coupling), coupling]), jnp.stack([-coupling, rate])])

    @property
    def modes(self) -> int:
        """How many velocities there are: one, and the auxiliary ones."""
        return 2 if self.drift_matrix is None else len(self.drift_matrix)

    def prepared(self) -> "GeneralizedLangevin":
        return eqx.tree_at(lambda law: law.transition, self, self._transition(), is_leaf=lambda node: node is None)

    @property
    def noise(self) -> Normal:
        return Normal((self.word.thermostats, self.modes, *self.x0.shape))

    def init(self, key: PRNGKeyArray) -> _Extended:
        velocity = start_velocity(jax.random.fold_in(key, 0), self.v0, self.x0, self.kT, self.mass)
        drawn = jax.random.normal(jax.random.fold_in(key, 1), (self.modes - 1, *self.x0.shape), self.x0.dtype)
        carried = self._force(self.x0, 0) if self.word.carries_force else None
        return _Extended(self.x0, velocity, self._scale * drawn, carried)

    def step(self, state: _Extended, noise: Float[Array, "thermostats modes *shape"], t: Step) -> _Extended:
        position, z, force_here = state.position, _velocities(state), state.force
        drawn, transition = iter(noise), self._transition()
        for letter, done in self.word.walk():
            if letter == "A":
                position, force_here = position + self._drift_time * z[0], None
            elif letter == "O":
                z = self._thermostat(transition, z, next(drawn))
            else:
                force_here = self._force(position, t + done) if force_here is None else force_here
                z = z.at[0].add(self._kick_time * force_here)
        return _Extended(position, z[0], z[1:], force_here if self.word.carries_force else None)

    def unstep(self, next_state: _Extended, noise: Float[Array, "thermostats modes *shape"], t: Step) -> _Extended:
        position, z, force_here = next_state.position, _velocities(next_state), next_state.force
        drawn, (_, factor) = iter(noise[::-1]), self._transition()
        back = propagator(self.matrix, -self._thermostat_time).astype(z.dtype)
        for letter, done in reversed(list(self.word.walk())):
            if letter == "A":
                position, force_here = position - self._drift_time * z[0], None
            elif letter == "O":
                z = _apply(back, z - self._scale * _apply(factor, next(drawn)))
            else:
                force_here = self._force(position, t + done) if force_here is None else force_here
                z = z.at[0].add(-self._kick_time * force_here)
        return _Extended(position, z[0], z[1:], force_here if self.word.carries_force else None)

    def drift(self, state: _Extended, t: Step) -> _Extended:
        pulled = -_apply(self.matrix, _velocities(state))
        return _Extended(state.velocity, self._force(state.position, t) / self._mass + pulled[0], pulled[1:])

    def diffusion(self, state: _Extended, t: Step) -> _Extended:
        """The auxiliary velocity alone is shaken."""
        still = jnp.zeros_like(state.position)
        amplitude = jnp.sqrt(2 * self.kT / (self._mass * self.tau))
        return _Extended(still, still, jnp.broadcast_to(amplitude, still.shape)[None])

    def increments(self, noise: Float[Array, "thermostats modes *shape"]) -> _Extended:
        """What an O adds to the auxiliary velocity is its Wiener process to leading order; those of a step add up."""
        share = stop_gradient(self)._transition()[1][1]
        added = jnp.tensordot(share / jnp.linalg.norm(share), jnp.sum(noise, axis=0), axes=1)
        still = jnp.zeros_like(added)
        return _Extended(still, still, jnp.sqrt(self._thermostat_time) * added[None])

    def refusal(self, capability: type) -> str | None:
        if capability is HasDrift and self.drift_matrix is not None:
            return (
                "a drift matrix A has noise of covariance A + A^T, correlated between the velocities and no amplitude for each; "
                'give friction and tau instead of it, or use BPTT or Adjoint("reversible").'
            )
        return super().refusal(capability)

    def log_density(self, state: _Extended) -> Float[Array, ""]:
        kinetic = 0.5 * jnp.sum(self._mass * _velocities(state) ** 2)
        return -(self.potential(state.position) + kinetic) / self.kT

    def path_start(self, state: _Extended) -> tuple[PyTree, Float[Array, ""]]:
        drawn = _velocities(state) if self.v0 is None else state.auxiliary
        scale = jnp.broadcast_to(self._scale, drawn.shape)
        log_density = -jnp.sum(0.5 * (drawn / scale) ** 2 + jnp.log(scale))
        if self.word.has_density:
            return (), log_density
        return state.velocity + self._whole_kick * self._force(state.position, 0), log_density

    def path_step(
        self, memory: PyTree, state: _Extended, noise: Array, next_state: _Extended, t: Step
    ) -> tuple[PyTree, Float[Array, ""]]:
        if self.word.has_density:
            return memory, self._phase_density(state, noise, t)
        return self._position_density(memory, state, next_state, t)

    def _phase_density(self, state: _Extended, noise: Array, t: Step) -> Float[Array, ""]:
        """Each run between drifts is a Gaussian step of all velocities; mean and covariance carry the parameters."""
        held, transition = stop_gradient(self), self._transition()
        position, z, total = state.position, _velocities(state), jnp.zeros((), self.x0.dtype)
        done, used = 0.0, 0
        for index, run in enumerate(self.word.runs):
            if index:
                position, done = position + held._drift_time * z[0], done + self.word.share("A")
            noises, used = noise[used : used + run.count("O")], used + run.count("O")
            if run:
                mean, covariance = self._moments(run, transition, z, position, t + done)
                z = held._run(run, jax.lax.stop_gradient(transition), z, position, noises, t + done)
                total = total + self._log_normal(z - mean, jnp.linalg.cholesky(covariance))
        return total

    def _moments(self, run: str, transition: tuple[Array, Array], z: Array, position: Array, time: Any) -> Any:
        """Mean and covariance, in units of kT/m, of the velocities after a run that began at known ones."""
        damping, factor = transition
        covariance = jnp.zeros_like(damping)
        for letter in run:
            if letter == "B":
                z = z.at[0].add(self._kick_time * self._force(position, time))
            else:
                z, covariance = _apply(damping, z), damping @ covariance @ damping.T + factor @ factor.T
        return z, covariance

    def _run(self, run: str, transition: Any, z: Array, position: Array, noises: Array, time: Any) -> Array:
        """The velocities after a run of kicks and thermostats at one position."""
        drawn = iter(noises)
        for letter in run:
            if letter == "B":
                z = z.at[0].add(self._kick_time * self._force(position, time))
            else:
                z = self._thermostat(transition, z, next(drawn))
        return z

    def _position_density(
        self, before: Array, state: _Extended, next_state: _Extended, t: Step
    ) -> tuple[Array, Float[Array, ""]]:
        """BAOAB and BAOA: the velocity on both sides of the thermostat, rebuilt from positions alone."""
        damping, factor = self._transition()
        after = (next_state.position - state.position) / self._drift_time - before
        start = jnp.concatenate([before[None], state.auxiliary])
        change = jnp.concatenate([after[None], next_state.auxiliary]) - _apply(damping, start)
        memory = after + self.dt / self._mass * self._force(next_state.position, t + 1)
        return memory, self._log_normal(change, factor)

    def _log_normal(self, change: Array, factor: Array) -> Float[Array, ""]:
        """The log density of a Gaussian change of all velocities with covariance kT/m times factor factor^T."""
        scale = jnp.broadcast_to(self._scale, change.shape)
        white = solve_triangular(factor, (change / scale).reshape(self.modes, -1), lower=True)
        determinant = self.x0.size * jnp.sum(jnp.log(jnp.diagonal(factor)))
        return -0.5 * jnp.sum(white**2) - determinant - jnp.sum(jnp.log(scale))

    @property
    def path_covers(self) -> tuple[str, ...] | None:
        # The stored force is a function of the position.
        return None if self.word.has_density else ("position", "auxiliary", "force")

    def _thermostat(self, transition: tuple[Array, Array], z: Array, noise: Array) -> Array:
        damping, factor = transition
        return _apply(damping, z) + self._scale * _apply(factor, noise)

    def _transition(self) -> tuple[Array, Array]:
        """T and S of one O."""
        if self.transition is not None:
            return self.transition
        damping, factor = propagator_and_noise(self.matrix, self._thermostat_time)
        return damping.astype(self.x0.dtype), factor.astype(self.x0.dtype)

    @property
    def _scale(self) -> Any:
        return jnp.sqrt(self.kT / self._mass)

    @property
    def _thermostat_time(self) -> Any:
        return self.dt * self.word.share("O")


def _velocities(state: _Extended) -> Float[Array, "modes *shape"]:
    return jnp.concatenate([state.velocity[None], state.auxiliary])


def _apply(matrix: Array, z: Array) -> Array:
    return jnp.tensordot(matrix, z, axes=1)


def _check_drift(matrix: np.ndarray) -> None:
    """Raise ValueError where no canonical thermostat has this drift."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.all(np.isfinite(matrix)):
        raise ValueError(
            "Argument `drift_matrix` must be a finite matrix of shape (1 + n_aux, 1 + n_aux), but it was one of shape "
            f"{matrix.shape}" + (" with NaN or infinite numbers." if matrix.ndim == 2 else ".")
        )
    size = np.linalg.norm(matrix, 2)
    slowest = float(np.min(np.linalg.eigvals(matrix).real))
    if slowest <= _STABLE * size:
        raise ValueError(
            "Argument `drift_matrix` must have eigenvalues with positive real parts, so that velocities forget, but the "
            f"smallest real part was {slowest:.3g}. Check its signs: the drift is -A z."
        )
    lowest = float(np.min(np.linalg.eigvalsh(matrix + matrix.T)))
    if lowest < -_ROUND_OFF * size:
        raise ValueError(
            "Argument `drift_matrix` must have a positive semidefinite A + A^T, the covariance of the noise that keeps "
            f"velocities canonical, but its lowest eigenvalue was {lowest:.3g}. Rescale the auxiliary rows and columns."
        )


def _check_resolved(matrix: Any, dt: Any) -> None:
    if isinstance(matrix, Tracer) or isinstance(dt, Tracer):
        return
    largest = float(np.linalg.norm(np.asarray(matrix), 2) * np.max(np.asarray(dt)))
    if largest > LARGEST:
        raise ValueError(
            f"Argument `dt` times the norm of the drift matrix must be at most {LARGEST:g}, but it was {largest:.3g}: the "
            "memory is far shorter than the step. Lengthen tau, or use Langevin."
        )
