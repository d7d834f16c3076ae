"""The harmonic potential."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.potential import Potential
from pliant.potentials._parameters import in_precision_of, parameter


class Harmonic(Potential):
    """An isotropic harmonic well about the origin, U(x) = k |x|^2 / 2, in any number of dimensions.

    Everything is known in closed form: the stationary density is Gaussian with variance kT/k in each component,
    and overdamped Langevin dynamics in it is the Ornstein-Uhlenbeck process.

    Source: Risken, The Fokker-Planck Equation (Springer, 1989), section 3.2.

    Parameters
    ----------
    k
        Stiffness, energy per length squared; a scalar, or one number per component for an anisotropic well.
    """

    k: Float[Array, "*#shape"] | float = parameter(1.0)

    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The energy k |x|^2 / 2."""
        return jnp.sum(in_precision_of(position, self).k * position**2) / 2

    def force(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The force -k x."""
        return -in_precision_of(position, self).k * position
