"""What the integrators share: converters, forces, start velocities, masses, the curvature behind stability limits."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pliant.core.laws import Evolve, HasStationaryDensity, State
from pliant.core.potential import ForceField, at_time, force


class Position(eqx.Module):
    """The state: a position; `noise` is the last step's noise where the scheme uses it twice."""

    position: Float[Array, "*shape"]
    noise: Float[Array, "*shape"] | None = None


class Phase(eqx.Module):
    """A point in phase space; `force`: the force there, where a scheme keeps it for its next step."""

    position: Float[Array, "*shape"]
    velocity: Float[Array, "*shape"]
    force: Float[Array, "*shape"] | None = None


def unit_harmonic(position: Float[Array, "*shape"]) -> Float[Array, ""]:
    """The textbook default: U = |x|^2 / 2."""
    return 0.5 * jnp.sum(position**2)


def as_position(x0: Any) -> Float[Array, "*shape"]:
    """Field converter: an array of floating point numbers; the origin of a line by default."""
    array = jnp.zeros(1) if x0 is None else jnp.asarray(x0)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def as_number(value: Any) -> Any:
    """Field converter: Python numbers stay constants, everything else becomes an array."""
    return value if isinstance(value, int | float) or not hasattr(value, "__len__") else jnp.asarray(value)


def per_coordinate(quantity: Any, position: Float[Array, "*shape"]) -> Any:
    """A quantity per particle, such as a mass of shape (n,), broadcast against positions of shape (n, 3)."""
    missing = position.ndim - jnp.ndim(quantity)
    return jnp.reshape(quantity, jnp.shape(quantity) + (1,) * missing) if jnp.ndim(quantity) and missing else quantity


class InPotential(Evolve):
    """A law of motion in a potential, or under a force that has none.

    A potential that is driven in time offers `at(time)`, and has no stationary state; a `ForceField` has an unknown one.
    """

    potential: eqx.AbstractVar[Any]

    def refusal(self, capability: type) -> str | None:
        if capability is HasStationaryDensity and hasattr(self.potential, "at"):
            return "its potential is driven in time and has no stationary state; use BPTT or Girsanov."
        if capability is HasStationaryDensity and not callable(self.potential):
            return (
                "its force is the gradient of no energy: the steady state carries a current, without detailed balance, its "
                "density is not known, and the covariance formula would be several-fold wrong; use Implicit, Girsanov, "
                "BPTT or FiniteDifference."
            )
        return super().refusal(capability)

    def _force(self, position: Float[Array, "*shape"], t: Any) -> Float[Array, "*shape"]:
        """The force after `t` steps, which need not be whole."""
        return force(at_time(self.potential, self.time(t)), position)


class KickDrift(InPotential):
    """A scheme of kicks and drifts, whose steps are bounded by the highest frequency."""

    x0: eqx.AbstractVar[Float[Array, "*shape"]]
    mass: eqx.AbstractVar[Any]

    def step_limit(self, state: State) -> Float[Array, ""]:
        stiffness = stiffest(at_time(self.potential, 0.0), state.position, 1.0 / self.mass)
        return 2 / jnp.sqrt(jnp.maximum(stiffness, 1e-30))

    @property
    def step_limit_name(self) -> str:
        return "2 / highest frequency"

    @property
    def _mass(self) -> Any:
        return per_coordinate(self.mass, self.x0)


def start_velocity(key: PRNGKeyArray, v0: Any, position: Float[Array, "*shape"], kT: Any, mass: Any) -> Array:
    """The velocity `v0` for every coordinate; drawn from Maxwell-Boltzmann, variance kT / mass, where it is None."""
    if v0 is not None:
        return jnp.broadcast_to(jnp.asarray(v0, position.dtype), position.shape)
    spread = jnp.sqrt(kT / per_coordinate(mass, position))
    return spread * jax.random.normal(key, position.shape, position.dtype)


def stiffest(
    potential: Callable | ForceField, position: Float[Array, "*shape"], weight: Any, iterations: int = 30
) -> Array:
    r"""The largest eigenvalue of $W^{1/2} U'' W^{1/2}$ with a diagonal weight such as 1/mass, by power iteration."""
    root = jnp.broadcast_to(jnp.sqrt(jnp.asarray(per_coordinate(weight, position))), position.shape)
    root = root.astype(position.dtype)

    def curvature(v: Array) -> Array:
        return -root * jax.jvp(lambda x: force(potential, x), (position,), (root * v,))[1]

    def improve(v: Array, _: None) -> tuple[Array, None]:
        w = curvature(v)
        return w / jnp.maximum(jnp.linalg.norm(w), 1e-30), None

    direction = jax.random.normal(jax.random.key(0), position.shape, position.dtype)
    direction, _ = jax.lax.scan(improve, direction / jnp.linalg.norm(direction), length=iterations)
    return jnp.maximum(jnp.vdot(direction, curvature(direction)), 0.0)
