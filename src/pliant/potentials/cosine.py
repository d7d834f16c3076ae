"""A cosine on a ring."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.potential import Potential
from pliant.potentials._parameters import in_precision_of, parameter


class Cosine(Potential):
    """A periodic potential, U(x) = A cos(n x), summed over the components of a position.

    Positions are angles that need not be wrapped. Barriers are 2 A high, curvatures at the extrema n^2 A.

    Source: Risken, The Fokker-Planck Equation (Springer, 1989), chapter 11.

    Parameters
    ----------
    amplitude
        A, an energy.
    wave_number
        n, a constant: how many wells there are on the ring.
    """

    amplitude: Float[Array, "*#shape"] | float = parameter(1.0)
    wave_number: int = eqx.field(static=True, default=2)

    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The energy, summed over the components of `position`."""
        return jnp.sum(in_precision_of(position, self).amplitude * jnp.cos(self.wave_number * position))

    def force(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The force n A sin(n x), component by component."""
        return self.wave_number * in_precision_of(position, self).amplitude * jnp.sin(self.wave_number * position)
