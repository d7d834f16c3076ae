"""Lennard-Jones clusters that a wall holds together, hot enough to mix."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core.observable import Observable
from pliant.dynamics import BAOAB
from pliant.observables import TimeAverage
from pliant.potentials import LennardJones
from pliant.systems._system import System, build, canonical, only, weights
from pliant.systems._truth import Truth

_SOURCE = (
    "an ESTIMATE with its own standard error: 2048 Metropolis walkers in numpy (benchmarks/references/lennard_jones.py), "
    "covariance formula"
)
_INERTIAL = ("Langevin", "BAOAB", "OBABO", "ABOBA", "GeneralizedLangevin", "NoseHooverChain")


def _gyration(state: Any) -> Float[Array, ""]:
    centred = state.position - jnp.mean(state.position, axis=0)
    return jnp.sum(centred**2) / len(state.position)


class Cluster(System):
    """Some particles at kT = 0.5 inside a harmonic wall: droplets that evaporate and condense.

    The observable is the squared radius of gyration; the parameters are epsilon and sigma.

    **Class attributes** beside those of a system: `count` particles, `radius` of the wall, and `reference`: value, its
    derivatives by epsilon and sigma, and the standard errors of the three.
    """

    kT: float = 0.5
    count: ClassVar[int]
    radius: ClassVar[float]
    reference: ClassVar[tuple[tuple[float, float, float], tuple[float, float, float]]]
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        **{name: dict(dt=0.005, horizon=4000, burn_in=1000, replicas=128) for name in _INERTIAL},
        "ESH": dict(dt=0.02, horizon=8000, burn_in=2000, replicas=128),
        "OverdampedLangevin": dict(dt=0.0002, horizon=20000, burn_in=5000, replicas=64),
        "VelocityVerlet": dict(dt=0.005, horizon=400, burn_in=0, replicas=128),
    }

    def law(self, dynamics: type = BAOAB, dt: float = 0.005) -> Any:
        potential = LennardJones(jnp.array(1.0), jnp.array(1.0), confinement=self.radius, wall_stiffness=50.0)
        return build(dynamics, potential, x0=jnp.asarray(_start(self.count)), dt=dt, kT=self.kT)

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(_gyration, burn_in=burn_in)

    def wrt(self, law: PyTree) -> PyTree:
        return only(law.potential, "epsilon", "sigma")

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        if weights(observable, _gyration, horizon) is None or not canonical(law):
            return None
        numbers, errors = self.reference
        (value, gradient), (value_error, gradient_error) = map(self._parted, (law, law), (numbers, errors))
        return Truth(value, gradient, value_error, gradient_error, _SOURCE, "exact stationary")

    def _parted(self, law: Any, numbers: tuple[float, float, float]) -> tuple[Array, PyTree]:
        """A number of the observable, and numbers in the places of the parameters."""
        value, epsilon, sigma = map(jnp.asarray, numbers)
        selected = self.wrt(law)
        return value, type(selected)(**{**vars(selected), "epsilon": epsilon, "sigma": sigma})


def _start(count: int) -> Float[np.ndarray, "n 3"]:
    """A compact piece of a cubic lattice, its symmetry broken."""
    side = int(np.ceil(count ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3) - (side - 1) / 2
    nearest = grid[np.argsort(np.sum(grid**2, axis=1), kind="stable")[:count]]
    return 1.12 * nearest + 0.02 * np.sin(np.arange(1.0, 3 * count + 1)).reshape(count, 3)
