"""A particle driven around a ring: the simplest steady state with a current."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from pliant.core.observable import Observable
from pliant.core.potential import force
from pliant.dynamics import OverdampedLangevin
from pliant.observables import TimeAverage
from pliant.potentials import Cosine, NonConservative
from pliant.systems._affine import complex_step
from pliant.systems._system import System, build, numbers, weights
from pliant.systems._transfer import Transfer
from pliant.systems._truth import Truth, exact

# The period of cos 2x; integrands of a period are analytic, and trapezoids and Gauss nodes exact to round-off.
_PERIOD, _POINTS, _NODES = np.pi, 256, 80
# A Gaussian step reaches fewer images of the ring than this.
_IMAGES = 3


class DrivenRing(System):
    r"""Overdamped motion on a ring, $x \in [0, 2\pi)$, in $U = A \cos 2x$ under a constant drive f.

    The coordinate is not wrapped: forces and observables are periodic. The drive is no gradient on the ring, so that the
    stationary state carries a current, and neither the Boltzmann density of U nor the covariance formula holds.

    Stationary (continuum). The Fokker-Planck equation has the constant flux
    $J = \mu (F \rho - kT \rho')$, $F = f - U'$. With the tilted $V = U - f x$ and $V(x + L) = V(x) - f L$ over the
    period $L = \pi$ its periodic solution is, integrating $(\rho\, e^{V/kT})' = -J e^{V/kT} / \mu kT$ over one period,

    $$ \rho(x) = \frac{I(x)}{\int_0^L I}, \quad I(x) = \int_0^L e^{[V(x + y) - V(x)]/kT} dy, \quad
       \langle v \rangle = L J = \frac{\mu\, kT L\, (1 - e^{-f L/kT})}{\int_0^L I(x)\,dx}. $$

    It is analytic in A and f: derivatives come from a complex step. This is the truth under the Leimkuhler-Matthews
    scheme, whose error is of order dt^2.

    Discretised. Under Euler-Maruyama the density of every time is carried by the transfer matrix of the wrapped Gaussian
    step, with its exact derivatives (`_transfer`): the truth for the very start, dt, burn-in and horizon.

    The observable is the vector $(\cos 2x,\ \mu F(x))$, whose second component averages to the drift velocity and depends
    on the parameters explicitly as well. The parameters are A and f. Other dynamics have no truth (None).

    At the default A = kT = 1, f = 4 the covariance formula gives a derivative by A that is 3.8 times too large.

    Source: Risken, The Fokker-Planck Equation (1989), section 11.3; Stratonovich, Radiotekh. Elektron. 3, 497 (1958).
    """

    A: float = 1.0
    f: float = 4.0
    kT: float = 1.0
    name: ClassVar[str] = "driven_ring"
    title: ClassVar[str] = "Driven ring"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "OverdampedLangevin": dict(dt=0.01, horizon=1000, burn_in=400, replicas=4096)
    }

    def law(self, dynamics: type = OverdampedLangevin, dt: float = 0.01) -> Any:
        field = NonConservative(Cosine(jnp.array(self.A)), jnp.array(self.f))
        return build(dynamics, field, x0=jnp.zeros(1), dt=dt, kT=self.kT)

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(_place_and_drift, burn_in=burn_in)

    def wrt(self, law: Any) -> Any:
        return law.potential

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        weight = weights(observable, _place_and_drift, horizon)
        if weight is None or not isinstance(law, OverdampedLangevin):
            return None
        return _discretised(law, weight) if law.scheme == "euler_maruyama" else self.stationary(law)

    def stationary(self, law: Any) -> Truth:
        """The value and gradient of the continuum's steady state at the parameters of `law`."""
        at = float(law.potential.potential.amplitude), float(law.potential.drive)
        kT, mobility = float(law.kT), 1 / float(law.friction * law.mass)
        by_amplitude = complex_step(lambda a: _steady(a, at[1], kT, mobility), at[0])
        by_drive = complex_step(lambda f: _steady(at[0], f, kT, mobility), at[1])
        source = "quadrature of the periodic solution of the Fokker-Planck equation: samples differ by the error in dt"
        gradient = _like(law, by_amplitude, by_drive)
        return exact(_steady(*at, kT, mobility), gradient, source, "exact stationary")


def _place_and_drift(state: Any, law: Any) -> Float[Array, " 2"]:
    """cos 2x and the drift."""
    drift = force(law.potential, state.position) / (law.friction * law.mass)
    return jnp.concatenate([jnp.cos(2 * state.position), drift])


def _like(law: Any, by_amplitude: np.ndarray, by_drive: np.ndarray) -> Any:
    """The gradient as `wrt` gives it."""
    return jax.tree.unflatten(jax.tree.structure(law.potential), [jnp.asarray(by_amplitude), jnp.asarray(by_drive)])


def _steady(amplitude: Any, drive: Any, kT: float, mobility: float) -> Num[np.ndarray, " 2"]:
    """The stationary averages of cos 2x and of the velocity, analytic in all arguments."""
    x = np.arange(_POINTS) * (_PERIOD / _POINTS)
    nodes, node_weights = np.polynomial.legendre.leggauss(_NODES)
    y, dy = _PERIOD * (nodes + 1) / 2, _PERIOD * node_weights / 2
    change = amplitude * (np.cos(2 * (x[:, None] + y)) - np.cos(2 * x[:, None])) - drive * y
    inner = np.exp(change / kT) @ dy
    total = np.sum(inner) * (_PERIOD / _POINTS)
    cosine = (np.cos(2 * x) @ inner) * (_PERIOD / _POINTS) / total
    velocity = mobility * kT * _PERIOD * (1 - np.exp(-drive * _PERIOD / kT)) / total
    return np.array([cosine, velocity])


@dataclasses.dataclass(frozen=True)
class _RingTransfer(Transfer):
    """The transfer matrix on one period, its Gaussian steps wrapped around it."""

    @property
    def grid(self) -> Float[np.ndarray, " n"]:
        line = super().grid
        return np.linspace(-self.edge, self.edge, len(line), endpoint=False)

    def _columns(self, to: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = [
            super(_RingTransfer, self)._columns(to + 2 * self.edge * k, start) for k in range(-_IMAGES, _IMAGES + 1)
        ]
        kernels, tangents = zip(*images, strict=True)
        return np.sum(kernels, axis=0), np.sum(tangents, axis=0)


def _discretised(law: OverdampedLangevin, weight: Float[np.ndarray, " horizon"]) -> Truth:
    held = numbers(law, "dt", "kT", "mass", "friction")
    amplitude, drive = float(law.potential.potential.amplitude), float(law.potential.drive)
    mobility = 1 / (held["mass"] * held["friction"])
    transfer = _RingTransfer(
        force=lambda x: 2 * amplitude * np.sin(2 * x) + drive,
        slopes=lambda x: np.stack([2 * np.sin(2 * x), np.ones_like(x)]),
        step=held["dt"] * mobility,
        kT=held["kT"],
        edge=_PERIOD / 2,
    )
    x = transfer.grid
    functions = np.stack([np.cos(2 * x), mobility * transfer.force(x), 2 * mobility * np.sin(2 * x)])
    values, slopes = (
        np.tensordot(weight, found, 1) for found in transfer.marginals(float(law.x0[0]), len(weight), functions)
    )
    # The drift depends on A and f at a fixed position too.
    slopes[1] += np.array([values[2], mobility])
    source = "transfer matrix of the wrapped Euler-Maruyama step at this dt, horizon and start"
    return exact(values[:2], _like(law, slopes[:2, 0], slopes[:2, 1]), source, "discretised")
