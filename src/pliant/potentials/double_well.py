"""The quartic double well."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.potential import Potential
from pliant.potentials._parameters import in_precision_of, parameter


class DoubleWell(Potential):
    """A symmetric quartic double well with a tilt, U(x) = sum over components of a (x^2 - 1)^2 + b x.

    At b = 0 the wells lie at x = -1 and 1, the barrier between them at 0 is a high, and the curvatures are 8 a in
    the wells and -4 a on the barrier. Both wells survive while |b| < 8 a / (3 sqrt(3)). The components of a
    position do not interact.

    An explicit overdamped step is stable near the wells for dt < 2 friction / (8 a), but the quartic wall makes
    it diverge from far enough out at any step.

    Source: Kramers, Physica 7, 284 (1940); Haenggi, Talkner and Borkovec, Rev. Mod. Phys. 62, 251 (1990).

    Parameters
    ----------
    a
        Height of the barrier, an energy.
    b
        Tilt, an energy per length; positive b favours the well at x = -1.
    """

    a: Float[Array, "*#shape"] | float = parameter(1.0)
    b: Float[Array, "*#shape"] | float = parameter(0.0)

    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The energy, summed over the components of `position`."""
        well = in_precision_of(position, self)
        return jnp.sum(well.a * (position**2 - 1) ** 2 + well.b * position)

    def force(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The force -4 a x (x^2 - 1) - b, component by component."""
        well = in_precision_of(position, self)
        return -4 * well.a * position * (position**2 - 1) - well.b
