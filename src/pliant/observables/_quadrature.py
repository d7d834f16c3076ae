"""Quadrature over a few standard normals, of spectral accuracy for smooth functions and even-handed at jumps."""

import math

import numpy as np
from jaxtyping import Float

# Every node is a state and a function value: beyond this many, sampling is cheaper.
MOST_NODES = 4096
# Beyond this many standard deviations there is no mass in double precision that matters (8e-11).
_REACH = 6.5


def check_nodes(nodes: object) -> None:
    """Raise ValueError where `nodes` is no number of nodes."""
    if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 4:
        raise ValueError(f"Argument `nodes` must be a whole number >= 4, but it was {nodes!r}.")


def normal_rule(nodes: int, count: int) -> tuple[Float[np.ndarray, "n count"], Float[np.ndarray, " n"]]:
    r"""The product rule of `nodes` per normal: nodes of shape (nodes^count, count), and weights that sum to one.

    The trapezoidal rule with Gaussian weights: its error is that of the mass cut off at L, and of what aliases at a spacing
    h, $e^{-2 \pi^2 / h^2}$; L balances the two. Source: Trefethen and Weideman, SIAM Rev. 56, 385 (2014), section 5.
    """
    reach = min(math.sqrt(math.pi * nodes), _REACH)
    points = np.linspace(-reach, reach, nodes)
    weights = np.exp(-0.5 * points**2)
    return _product(points, count), _product(weights / weights.sum(), count).prod(axis=1)


def _product(values: np.ndarray, count: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[values] * count, indexing="ij"), axis=-1).reshape(-1, count)
