"""The vector field of Lorenz's convection."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class LorenzField(eqx.Module):
    r"""$(\dot x, \dot y, \dot z) = (\sigma (y - x),\ x (\rho - z) - y,\ x y - \beta z)$.

    Source: Lorenz, J. Atmos. Sci. 20, 130 (1963), equations 25 to 27.
    """

    sigma: Any = eqx.field(default_factory=lambda: jnp.asarray(10.0))
    rho: Any = eqx.field(default_factory=lambda: jnp.asarray(28.0))
    beta: Any = eqx.field(default_factory=lambda: jnp.asarray(8 / 3))

    def __call__(self, position: Float[Array, "3"]) -> Float[Array, "3"]:
        x, y, z = position
        return jnp.stack([self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z])
