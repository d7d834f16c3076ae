"""A potential with a driving force on top that is the gradient of no energy."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.potential import ForceField, at_time, force
from pliant.core.potential import Potential as _Potential
from pliant.potentials._parameters import in_precision_of


class _Nothing(_Potential):
    """No energy at all."""

    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.zeros((), position.dtype)


def _as_drive(drive: Any) -> Any:
    """Field converter: a callable stays, everything else becomes an array."""
    given = 1.0 if drive is None else drive
    return given if callable(given) else jnp.asarray(given, jnp.result_type(float))


class NonConservative(ForceField):
    r"""The force $F(x) = -\nabla U(x) + f(x)$ with a drive f that need not be a gradient.

    **Arguments**: `potential`: U, a callable as for any dynamics (none by default); `drive`: f, either an array that is
    broadcast to positions (a uniform force: it drives where positions are periodic) or a callable
    `drive(position) -> force` of the position's shape. Both may depend on time through a method `at(time)`; their
    array leaves are parameters.

    It takes a potential's place in every dynamics and has no energy: it is not callable, `HasStationaryDensity` is
    refused, and so are observables that ask for an energy. A drive that happens to be a gradient is not recognised.

    **Raises** ValueError where the drive's force has not the position's shape.

    Source: Seifert, Rep. Prog. Phys. 75, 126001 (2012), equation 1.
    """

    potential: Callable = _Nothing()
    drive: Any = eqx.field(converter=_as_drive, default=None)

    @property
    def at(self) -> Callable[[Any], "NonConservative"]:
        """The same with potential and drive at a time: there only if one of them is driven in time."""
        # Arrays have an `at` of their own: a uniform drive is constant.
        drive_at = getattr(self.drive, "at", None) if callable(self.drive) else None
        if drive_at is None and not hasattr(self.potential, "at"):
            # `hasattr(force_field, "at")` is how a dynamics asks; it must hear no.
            raise AttributeError("neither the potential nor the drive offers `at(time)`")

        def at(time: Any) -> "NonConservative":
            return NonConservative(at_time(self.potential, time), self.drive if drive_at is None else drive_at(time))

        return at

    def force(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        drive = in_precision_of(position, self.drive)
        pushed = jnp.asarray(drive(position) if callable(drive) else drive)
        if jnp.broadcast_shapes(pushed.shape, position.shape) != position.shape:
            raise ValueError(
                f"Argument `drive` must give a force of the position's shape {position.shape}, or one that broadcasts to "
                f"it, but it gave {pushed.shape}."
            )
        return force(self.potential, position) + pushed
