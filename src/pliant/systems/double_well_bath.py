"""The double well with harmonic coordinates beside it, for dynamics that need more than one dimension."""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core.observable import Observable
from pliant.core.potential import Potential
from pliant.dynamics import BAOAB
from pliant.observables import TimeAverage
from pliant.potentials import DoubleWell
from pliant.systems._system import System, build, canonical, weights
from pliant.systems._truth import QUADRATURE, Truth, exact
from pliant.systems._well import stationary_square

_INERTIAL = ("Langevin", "BAOAB", "OBABO", "ABOBA")


class _WellBesideSprings(Potential):
    """The first coordinate in a double well, each other one on a spring of its own."""

    well: DoubleWell
    stiffness: tuple[float, ...] = (1.0, 1.7)

    @property
    def example_position(self) -> Float[Array, " n"]:
        return jnp.linspace(0.5, 1.0, 1 + len(self.stiffness))

    def __call__(self, position: Float[Array, " n"]) -> Float[Array, ""]:
        return self.well(position[:1]) + 0.5 * jnp.sum(jnp.asarray(self.stiffness) * position[1:] ** 2)

    def force(self, position: Float[Array, " n"]) -> Float[Array, " n"]:
        return jnp.concatenate([self.well.force(position[:1]), -jnp.asarray(self.stiffness) * position[1:]])


def _square(state: Any) -> Float[Array, ""]:
    return state.position[0] ** 2


class DoubleWellBath(System):
    r"""U = a (x^2 - 1)^2 + b x + (k_1 y^2 + k_2 z^2) / 2: the double well with two harmonic coordinates appended.

    The coordinates are independent in the Boltzmann density, so that the average of $x^2$ and its derivatives by a and b
    are those of the double well alone, by quadrature. In the dynamics they are not, where a thermostat couples them:
    ESH dynamics cannot turn in one dimension, and a Nosé-Hoover chain on few coordinates is not ergodic. The springs
    differ, since those of one frequency would keep the symmetry of their plane.

    The truth is that of the stationary density of the continuous dynamics, under every dynamics that samples it;
    velocity Verlet, which keeps its energy, has no truth here (None).

    Source: Ver Steeg and Galstyan, arXiv:2111.02434, for the appended coordinates; Kramers, Physica 7, 284 (1940).
    """

    a: float = 1.0
    b: float = 0.5
    kT: float = 1.0
    x0: Sequence[float] = (1.0, 0.5, -0.3)
    name: ClassVar[str] = "double_well_bath"
    title: ClassVar[str] = "Double well with harmonic coordinates"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "OverdampedLangevin": dict(dt=0.0025, horizon=5000, burn_in=2000, replicas=512),
        **{name: dict(dt=0.05, horizon=1000, burn_in=200, replicas=512) for name in _INERTIAL},
        "GeneralizedLangevin": dict(dt=0.05, horizon=2000, burn_in=1000, replicas=512),
        "NoseHooverChain": dict(dt=0.05, horizon=2000, burn_in=400, replicas=512),
        "ESH": dict(dt=0.05, horizon=4000, burn_in=800, replicas=512),
        "VelocityVerlet": dict(dt=0.02, horizon=150, burn_in=0, replicas=512),
    }

    def law(self, dynamics: type = BAOAB, dt: float = 0.05) -> Any:
        potential = _WellBesideSprings(DoubleWell(a=jnp.array(self.a), b=jnp.array(self.b)))
        return build(dynamics, potential, x0=jnp.asarray(self.x0), dt=dt, kT=self.kT)

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(_square, burn_in=burn_in)

    def wrt(self, law: PyTree) -> PyTree:
        return law.potential.well

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        if weights(observable, _square, horizon) is None or not canonical(law):
            return None
        well, kT = law.potential.well, float(np.asarray(law.kT))
        value, gradient = stationary_square(float(well.a), float(well.b), kT)
        by_parameter = DoubleWell(a=jnp.asarray(gradient[0]), b=jnp.asarray(gradient[1]))
        return exact(value, by_parameter, QUADRATURE, "exact stationary")
