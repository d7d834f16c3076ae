"""Velocity Verlet on a line as an integral over its only random number, the initial velocity."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

# Beyond eight standard deviations the Gaussian has less mass than round-off.
_REACH, _NODES = 8.0, 8193

Estimate = tuple[Any, Any]


@dataclasses.dataclass(frozen=True)
class Shells:
    """The scheme with its variational equations.

    **Fields**: `force`, `curvature` (minus its derivative by the position) and `slopes` (its derivatives by p
    parameters, leading rows), functions of positions; the time step `dt`, `kT` of the initial velocities, `mass`.
    """

    force: Callable
    curvature: Callable
    slopes: Callable
    dt: float
    kT: float
    mass: float

    def average_square(
        self, x0: float, v0: float | None, weight: Float[np.ndarray, " horizon"]
    ) -> tuple[Estimate, Estimate]:
        """The weighted average of x^2 over time and initial velocity, and its p derivatives, each with its error.

        Trapezoids over +-8 standard deviations; their error is estimated from half of the nodes. It grows with the
        horizon, since shells of different energy fall out of phase.
        """
        spread = np.sqrt(self.kT / self.mass)
        nodes = np.linspace(-_REACH, _REACH, _NODES) * spread if v0 is None else np.full(1, v0)
        square, slope = self._along(np.full_like(nodes, x0), nodes, weight)
        both = np.concatenate([square[None], slope])
        if v0 is not None:
            fine = coarse = both[:, 0]
        else:
            density = np.exp(-0.5 * (nodes / spread) ** 2)
            fine = both @ density / density.sum()
            coarse = both[:, ::2] @ density[::2] / density[::2].sum()
        error = np.abs(fine - coarse)
        return (fine[0], error[0]), (fine[1:], error[1:])

    def _along(self, x: np.ndarray, v: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weighted sum of x^2 along trajectories, and its derivatives, for every initial velocity."""
        half, drift = 0.5 * self.dt / self.mass, self.dt
        force, pull = self.force(x), self.slopes(x)
        dx, dv = np.zeros_like(pull), np.zeros_like(pull)
        total, moved = np.zeros_like(x), np.zeros_like(pull)
        for w in weight:
            v, dv = v + half * force, dv + half * pull
            x, dx = x + drift * v, dx + drift * dv
            force, pull = self.force(x), self.slopes(x) - self.curvature(x) * dx
            v, dv = v + half * force, dv + half * pull
            total, moved = total + w * x**2, moved + w * 2 * x * dx
        return total, moved
