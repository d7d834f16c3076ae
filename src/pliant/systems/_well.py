"""The Boltzmann density of the tilted double well, by quadrature."""

import numpy as np
from jaxtyping import Float

# At kT = 1 and a = 1 the density has fallen below 1e-200 here; deeper wells are narrower.
EDGE = 4.0


def stationary_square(a: float, b: float, kT: float) -> tuple[float, Float[np.ndarray, " 2"]]:
    """The average of x^2 over exp(-U / kT), U = a (x^2 - 1)^2 + b x, and its derivatives by a and b.

    Trapezoids: exact to round-off on integrands that are smooth and vanish at the ends.
    """
    x = np.linspace(-EDGE, EDGE, 4001)
    energy = a * (x**2 - 1) ** 2 + b * x
    density = np.exp(-(energy - energy.min()) / kT)
    density /= density.sum()
    mean = float(density @ x**2)
    return mean, -np.stack([(x**2 - 1) ** 2, x]) @ (density * (x**2 - mean)) / kT
