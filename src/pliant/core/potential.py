"""What a potential energy offers to a dynamics: an energy, and a force that may be faster than its derivative."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Potential(eqx.Module):
    """A potential energy surface: `U(position) -> energy`.

    Positions are those of one replica, without a batch axis; the engine vectorises over replicas. Any callable
    from a position to a scalar serves a dynamics as a potential; this class adds the place where a closed form
    of the force can stand.
    """

    @abc.abstractmethod
    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The potential energy at `position`."""

    @property
    def example_position(self) -> Float[Array, "*shape"]:
        """A position of a shape that this potential takes: where tests and tutorials look at it."""
        return jnp.full((1,), 0.3)

    def force(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The force, minus the derivative of the energy; override it where a closed form is cheaper."""
        return -jax.grad(self)(position)


def force(potential: Callable, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The force of any potential: its own closed form where it has one, else minus the derivative of its energy."""
    closed_form = getattr(potential, "force", None)
    return -jax.grad(potential)(position) if closed_form is None else closed_form(position)
