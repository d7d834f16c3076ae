"""The Müller-Brown surface."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.potential import Potential
from pliant.potentials._parameters import in_precision_of, parameter


class MullerBrown(Potential):
    """The Müller-Brown surface: three minima and two saddles in the plane, joined by a curved valley.

    U(x, y) = scale * sum_i A_i exp(a_i (x - x0_i)^2 + b_i (x - x0_i)(y - y0_i) + c_i (y - y0_i)^2).

    With the published parameters the minima are at (-0.558, 1.442), (0.623, 0.028) and (-0.050, 0.467), with
    energies -146.7, -108.2 and -80.8; the saddles between them have energies -40.7 and -72.2. The stiffest curvature
    in the deepest well is about 4000, so an explicit overdamped step must stay below 2 friction / 4000. The fourth
    term grows without bound far from the valley: positions far outside the plot overflow.

    Source: Müller and Brown, Theor. Chim. Acta 53, 75 (1979), footnote 7.

    Parameters
    ----------
    A, a, b, c, x0, y0
        Amplitudes, quadratic-form coefficients and centres of the four exponentials, each of shape (4,).
    scale
        Multiplies the energy; a Python number, so a constant, unless an array is passed.
    """

    A: Float[Array, "4"] = parameter(-200.0, -100.0, -170.0, 15.0)
    a: Float[Array, "4"] = parameter(-1.0, -1.0, -6.5, 0.7)
    b: Float[Array, "4"] = parameter(0.0, 0.0, 11.0, 0.6)
    c: Float[Array, "4"] = parameter(-10.0, -10.0, -6.5, 0.7)
    x0: Float[Array, "4"] = parameter(1.0, 0.0, -0.5, -1.0)
    y0: Float[Array, "4"] = parameter(0.0, 0.5, 1.5, 1.0)
    scale: Float[Array, ""] | float = 1.0

    @property
    def example_position(self) -> Float[Array, "2"]:
        return jnp.array([-0.5, 1.4])

    def __call__(self, position: Float[Array, "2"]) -> Float[Array, ""]:
        """The energy at the point `position` of the plane."""
        surface = in_precision_of(position, self)
        return jnp.sum(surface._terms(*surface._displacements(position)))

    def force(self, position: Float[Array, "2"]) -> Float[Array, "2"]:
        """The force, in closed form."""
        surface = in_precision_of(position, self)
        dx, dy = surface._displacements(position)
        terms = surface._terms(dx, dy)
        along_x = jnp.sum(terms * (2 * surface.a * dx + surface.b * dy))
        along_y = jnp.sum(terms * (surface.b * dx + 2 * surface.c * dy))
        return -jnp.stack([along_x, along_y])

    def _displacements(self, position: Float[Array, "2"]) -> tuple[Float[Array, "4"], Float[Array, "4"]]:
        if position.shape != (2,):
            raise ValueError(
                f"Argument `position` must have shape (2,), a point of the plane, but it had shape {position.shape}. "
                "Vectorise over several points with jax.vmap."
            )
        return position[0] - self.x0, position[1] - self.y0

    def _terms(self, dx: Float[Array, "4"], dy: Float[Array, "4"]) -> Float[Array, "4"]:
        return self.scale * self.A * jnp.exp(self.a * dx**2 + self.b * dx * dy + self.c * dy**2)
