"""A harmonic trap whose centre is driven along a protocol."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.potential import Potential


def _line(waypoints: Any) -> Float[Array, " n"]:
    array = jnp.linspace(0.0, 1.0, 2) if waypoints is None else jnp.asarray(waypoints)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _unit(stiffness: Any) -> Any:
    return jnp.asarray(1.0) if stiffness is None else stiffness


class DrivenTrap(Potential):
    r"""A trap $U(x, t) = \frac k2 |x - \lambda(t)|^2$ with a piecewise linear protocol $\lambda$.

    **Arguments**: `waypoints`: values of $\lambda$ at equal intervals over `duration`, two or more; the protocol rests
    at its ends before and after. `stiffness`: k. `duration`: the time that the protocol takes.

    Called without a time it is the trap at time zero; `at(time)` is the trap at that time.

    Source: Schmiedl and Seifert, Phys. Rev. Lett. 98, 108301 (2007), equation 8.
    """

    waypoints: Float[Array, " n"] = eqx.field(converter=_line, default=None)  # pyright: ignore[reportAssignmentType]
    stiffness: Any = eqx.field(converter=_unit, default=None)
    duration: Any = 1.0

    def __check_init__(self) -> None:
        if self.waypoints.ndim != 1 or self.waypoints.shape[0] < 2:
            raise ValueError(
                f"Argument `waypoints` must have shape (n,) with n >= 2, but it was {self.waypoints.shape}."
            )

    def at(self, time: Any) -> "DrivenTrap":
        """The trap with its centre at rest where the protocol has it at `time`."""
        grid = jnp.linspace(0.0, 1.0, self.waypoints.shape[0])
        centre = jnp.interp(time / self.duration, grid, self.waypoints)
        return DrivenTrap(jnp.stack([centre, centre]), self.stiffness, self.duration)

    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, ""]:
        return 0.5 * self.stiffness * jnp.sum((position - self.waypoints[0]) ** 2)

    def force(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return -self.stiffness * (position - self.waypoints[0])
