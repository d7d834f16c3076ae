r"""Overdamped Euler-Maruyama dynamics on a line as a transfer matrix: the densities of all times, by quadrature.

The density after one step is $p'(y) = \int K(y | x)\, p(x)\, dx$ with the Gaussian
$K(y | x) = \mathcal N(y; x + \mu h F(x), \sigma^2)$, $\sigma^2 = 2 \mu kT h$. Trapezoids on a uniform grid integrate such
smooth decaying functions with an error that falls as $e^{-2 \pi^2 \sigma^2 / \Delta^2}$ in the spacing: a few points per
sigma give round-off. The kernel's derivative by a parameter of the force, $K (y - m)\, \partial_\theta m / \sigma^2$
with $m = x + \mu h F$, is exact, and so is the gradient.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

# Spacings per standard deviation of a step: exp(-2 pi^2 2.5^2) is far below round-off, also where the drift contracts.
_POINTS_PER_SIGMA = 2.5


@dataclasses.dataclass(frozen=True)
class Transfer:
    """The dynamics on [-edge, edge].

    **Fields**: `force` and `slopes`, the force and its derivatives by p parameters (p leading rows), functions of
    positions; `step`: time step times mobility; `kT`.
    """

    force: Callable
    slopes: Callable
    step: float
    kT: float
    edge: float

    @property
    def grid(self) -> Float[np.ndarray, " n"]:
        """The positions; the first step's narrow density must be resolved as well."""
        return np.linspace(-self.edge, self.edge, int(np.ceil(2 * self.edge * _POINTS_PER_SIGMA / self._sigma)) + 1)

    @property
    def _sigma(self) -> float:
        return float(np.sqrt(2 * self.kT * self.step))

    def marginals(
        self, x0: float, horizon: int, functions: Float[np.ndarray, "q n"]
    ) -> tuple[Float[np.ndarray, "horizon q"], Float[np.ndarray, "horizon q p"]]:
        """Expectations of functions on the grid at the times 1 to horizon from x0, and their derivatives.

        Cost: n^2 (p + 1) operations a step.
        """
        grid = self.grid
        kernel, tangents = self._kernel(grid)
        density, moved = self._first(x0, grid)
        spacing = grid[1] - grid[0]
        values, slopes = [], []
        for _ in range(horizon):
            values.append(spacing * functions @ density)
            slopes.append(spacing * functions @ moved.T)
            moved = spacing * (moved @ kernel.T + np.einsum("pyx,x->py", tangents, density, optimize=True))
            density = spacing * kernel @ density
        return np.array(values), np.array(slopes)

    def _first(self, x0: float, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The density after the first step and its derivatives: the kernel at the start."""
        kernel, tangents = self._columns(grid, np.array([x0]))
        return kernel[:, 0], tangents[:, :, 0]

    def _kernel(self, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._columns(grid, grid)

    def _columns(self, to: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """K(to | start), and its derivatives with a leading axis of parameters."""
        away = to[:, None] - (start + self.step * self.force(start))
        kernel = np.exp(-0.5 * (away / self._sigma) ** 2) / (np.sqrt(2 * np.pi) * self._sigma)
        drifts = self.step * np.asarray(self.slopes(start))
        return kernel, kernel * away / self._sigma**2 * drifts[:, None, :]
