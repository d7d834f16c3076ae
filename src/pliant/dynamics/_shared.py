"""What the integrators share: converters, broadcasting of masses, the curvature behind stability limits."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


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


def at_time(potential: Callable, time: Any) -> Callable:
    """The potential at a time: itself, unless it offers `at(time)`, as a driven one does."""
    at = getattr(potential, "at", None)
    return potential if at is None else at(time)


def maxwell_boltzmann(key: PRNGKeyArray, position: Float[Array, "*shape"], kT: Any, mass: Any) -> Array:
    """Velocities with variance kT / mass per coordinate."""
    spread = jnp.sqrt(kT / per_coordinate(mass, position))
    return spread * jax.random.normal(key, position.shape, position.dtype)


def stiffest(potential: Callable, position: Float[Array, "*shape"], weight: Any, iterations: int = 30) -> Array:
    r"""The largest eigenvalue of $W^{1/2} U'' W^{1/2}$ with a diagonal weight such as 1/mass, by power iteration."""
    root = jnp.broadcast_to(jnp.sqrt(jnp.asarray(per_coordinate(weight, position))), position.shape)
    root = root.astype(position.dtype)
    gradient = jax.grad(lambda x: jnp.asarray(potential(x)))

    def curvature(v: Array) -> Array:
        return root * jax.jvp(gradient, (position,), (root * v,))[1]

    def improve(v: Array, _: None) -> tuple[Array, None]:
        w = curvature(v)
        return w / jnp.maximum(jnp.linalg.norm(w), 1e-30), None

    direction = jax.random.normal(jax.random.key(0), position.shape, position.dtype)
    direction, _ = jax.lax.scan(improve, direction / jnp.linalg.norm(direction), length=iterations)
    return jnp.maximum(jnp.vdot(direction, curvature(direction)), 0.0)


def frequency_limit(potential: Callable, position: Float[Array, "*shape"], mass: Any) -> Float[Array, ""]:
    """The longest stable step of a kick-drift scheme, 2 over the highest frequency at a position."""
    stiffness = stiffest(at_time(potential, 0.0), position, 1.0 / mass)
    return 2 / jnp.sqrt(jnp.maximum(stiffness, 1e-30))
