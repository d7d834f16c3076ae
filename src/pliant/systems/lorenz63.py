"""Lorenz's convection: the chaotic flow that everybody knows."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.observable import Observable
from pliant.dynamics import Flow
from pliant.dynamics._lorenz import LorenzField
from pliant.observables import TimeAverage
from pliant.systems._system import System, build, only, require, weights
from pliant.systems._truth import Truth

# A long average and central differences of such, with their standard errors: the tests compute both again.
_MEAN, _MEAN_ERROR = 23.5507, 0.0012
_SLOPE, _SLOPE_ERROR = 1.0014, 0.0008


def _height(state: Any) -> Float[Array, ""]:
    return state.position[2]


class Lorenz63(System):
    r"""Lorenz's flow at $(\sigma, \rho, \beta) = (10, 28, 8/3)$: the average of z and its derivative by $\rho$.

    The average of z rises almost in proportion to $\rho$, although every trajectory parts from its neighbours as
    $e^{0.9056 t}$: a pathwise derivative of the average explodes with the horizon. Trajectories start at
    $x_0 + $ `spread` times a Gaussian, so that replicas differ; ten units of time bring them to the attractor.

    No closed form is known. The truth is an estimate with its standard error: $\langle z \rangle$ from long
    trajectories, its slope from long averages at neighbouring $\rho$. It is given at these parameters alone (None at
    others), for the invariant measure of the continuous flow; the Runge-Kutta step of 0.01 is off by less than the errors.

    Source: Lorenz, J. Atmos. Sci. 20, 130 (1963); Lea, Allen and Haine, Tellus A 52, 523 (2000), for the climate
    sensitivity of this system.
    """

    rho: float = 28.0
    spread: float = 1.0
    name: ClassVar[str] = "lorenz63"
    title: ClassVar[str] = "Lorenz's flow"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {"Flow": dict(dt=0.01, horizon=6000, burn_in=1000, replicas=64)}

    def law(self, dynamics: type = Flow, dt: float = 0.01) -> Any:
        require(dynamics, Flow, "Lorenz's equations have no potential")
        return build(dynamics, LorenzField(rho=jnp.array(self.rho)), dt=dt, spread=self.spread)

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(_height, burn_in=burn_in)

    def wrt(self, law: PyTree) -> PyTree:
        return only(law.vector_field, "rho")

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        field = law.vector_field
        at = tuple(float(x) for x in (field.sigma, field.rho, field.beta))
        if weights(observable, _height, horizon) is None or at != (10.0, 28.0, 8 / 3):
            return None
        gradient, error = (LorenzField(None, jnp.asarray(slope), None) for slope in (_SLOPE, _SLOPE_ERROR))
        source = "averages over long trajectories and their differences at neighbouring rho, with their standard errors"
        return Truth(jnp.asarray(_MEAN), gradient, jnp.asarray(_MEAN_ERROR), error, source, "exact stationary")
