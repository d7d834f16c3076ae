"""How fast a relaxation goes to its limit."""

from collections.abc import Callable

import jax
import numpy as np
from scipy.stats import norm

KERNELS = ("logistic", "gaussian", "cubic")
VARIANCES = {"logistic": np.pi**2 / 3, "gaussian": 1.0, "cubic": 0.2}
# A smooth law of x: normal, off the edges; the trapezoidal rule on it is as good as exact.
MEAN = 0.3
GRID = np.linspace(MEAN - 9, MEAN + 9, 40_001)
MASS = norm.pdf(GRID, MEAN) * (GRID[1] - GRID[0])


def density(x):
    return norm.pdf(x, MEAN)


def density_slope(x):
    return -(x - MEAN) * density(x)


class compiled:
    """Jitted, from numpy to numpy: what a test does with the numbers is not compiled operation by operation."""

    def __init__(self, function: Callable, **options):
        self.jitted = jax.jit(function, **options)

    def __call__(self, *arguments, **named):
        return jax.tree.map(np.asarray, self.jitted(*arguments, **named))


def order(value: Callable, limit, widths=(0.1, 0.05)) -> float:
    """The power of the width with which the error falls, from one halving."""
    value = value if isinstance(value, compiled) else compiled(value)
    coarse, fine = (np.max(np.abs(value(w) - np.asarray(limit))) for w in widths)
    return float(np.log2(coarse / fine) / np.log2(widths[0] / widths[1]))


def check_order(value: Callable, limit, expected: float, widths=(0.1, 0.05)) -> None:
    found = order(value, limit, widths)
    assert abs(found - expected) < 0.1, f"order {found:.2f}, not {expected}"
