"""A spring in a shear flow: a linear steady state without detailed balance."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from pliant.core.observable import Observable
from pliant.dynamics import OverdampedLangevin
from pliant.observables import TimeAverage
from pliant.potentials import Harmonic, NonConservative
from pliant.systems import _affine
from pliant.systems._system import System, build, numbers, weights
from pliant.systems._truth import Truth, exact


class _ShearFlow(eqx.Module):
    """The force (g y, 0): a flow along x that grows with y."""

    rate: Float[Array, ""]

    def __call__(self, position: Float[Array, " 2"]) -> Float[Array, " 2"]:
        return jnp.stack([self.rate.astype(position.dtype) * position[1], jnp.zeros((), position.dtype)])


class ShearSystem(System):
    r"""Overdamped motion with the drift $b = (-k x + g y, -k y)$ (unit mobility) and diffusion D = kT.

    The flow turns around the origin and stretches the cloud along x: the force has the curl -g, and the steady state a
    current. In the continuum the covariance C solves $K C + C K^T = 2 D$ with $K = \begin{pmatrix} k & -g \\ 0 & k
    \end{pmatrix}$: from the last component up, $C_{yy} = D/k$, $C_{xy} = g C_{yy} / 2k$ and

    $$ \langle x^2 \rangle = C_{xx} = \frac D k + \frac g k C_{xy} = \frac D k \left( 1 + \frac{g^2}{2 k^2} \right). $$

    The truth is that of the discretised dynamics: an Euler-Maruyama step is affine, $z' = (1 - h K) z + \sqrt{2 D h} R$,
    whose moments are iterated exactly, with derivatives by a complex step. Under the Leimkuhler-Matthews scheme, and any
    other dynamics, nothing is known (None).

    The observable is $x^2$, of the first coordinate; the parameters are k and g.

    Source: the sheared trap, van Kampen, Stochastic Processes in Physics and Chemistry (2007), section VIII.6, for the
    Lyapunov equation.
    """

    k: float = 1.0
    rate: float = 2.0
    kT: float = 1.0
    name: ClassVar[str] = "shear"
    title: ClassVar[str] = "Spring in shear flow"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "OverdampedLangevin": dict(dt=0.05, horizon=400, burn_in=200, replicas=4096)
    }

    def law(self, dynamics: type = OverdampedLangevin, dt: float = 0.05) -> Any:
        field = NonConservative(Harmonic(k=jnp.array(self.k)), _ShearFlow(jnp.array(self.rate)))
        return build(dynamics, field, x0=jnp.zeros(2), dt=dt, kT=self.kT)

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(_along_the_flow, burn_in=burn_in)

    def wrt(self, law: Any) -> Any:
        return law.potential

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        weight = weights(observable, _along_the_flow, horizon)
        if weight is None or not isinstance(law, OverdampedLangevin) or law.scheme != "euler_maruyama":
            return None
        k, rate = float(law.potential.potential.k), float(law.potential.drive.rate)

        def average(k: Any, rate: Any) -> Any:
            means, covariances = _recursion(law, k, rate).moments(len(weight))
            return weight @ (means[:, 0] ** 2 + covariances[:, 0, 0])

        slopes = map(jnp.asarray, _affine.complex_steps(average, {"k": k, "rate": rate}))
        gradient = jax.tree.unflatten(jax.tree.structure(law.potential), slopes)
        source = "moments of the affine Euler-Maruyama recursion, iterated exactly at this dt, horizon and start"
        return exact(average(k, rate), gradient, source, "discretised")


def _recursion(law: OverdampedLangevin, k: Any, rate: Any) -> _affine.Affine:
    held = numbers(law, "dt", "kT", "mass", "friction")
    step = held["dt"] / (held["mass"] * held["friction"])
    matrix: Num[np.ndarray, "2 2"] = np.eye(2) - step * np.array([[k, -rate], [0.0, k]])
    noise = np.sqrt(2 * held["kT"] * step) * np.eye(2)
    return _affine.Affine(matrix, noise, np.asarray(law.x0, float), np.zeros((2, 2)))


def _along_the_flow(state: Any) -> Float[Array, ""]:
    return state.position[0] ** 2
