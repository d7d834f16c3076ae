"""What drives a dynamics: a potential energy with its force, or a force alone; and both at a time."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class ForceField(eqx.Module):
    """A force that need not be the gradient of an energy: it stands in a potential's place, and is not callable.

    Steady states under it carry currents: whatever asks for an energy or a stationary density is refused.
    """

    @abc.abstractmethod
    def force(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The force at `position`."""

    @property
    def example_position(self) -> Float[Array, "*shape"]:
        """A position of a shape that this force takes: where tests and tutorials look at it."""
        return jnp.full((1,), 0.3)


class Potential(ForceField):
    """A potential energy surface: `U(position) -> energy`.

    Positions are those of one replica, without a batch axis; the engine vectorises over replicas. Any callable
    from a position to a scalar serves a dynamics as a potential; this class adds the place where a closed form
    of the force can stand.
    """

    @abc.abstractmethod
    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The potential energy at `position`."""

    def force(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The force, minus the derivative of the energy; override it where a closed form is cheaper."""
        return -jax.grad(self)(position)


def force(potential: Any, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The force of any potential: its own closed form where it has one, else minus the derivative of its energy."""
    closed_form = getattr(potential, "force", None)
    return -jax.grad(potential)(position) if closed_form is None else closed_form(position)


def at_time(potential: Any, time: Any) -> Any:
    """The potential at a time: itself, unless it offers `at(time)`, as a driven one does."""
    at = getattr(potential, "at", None)
    return potential if at is None else at(time)
