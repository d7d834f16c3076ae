"""The Müller-Brown surface, warm enough to mix."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core.observable import Observable
from pliant.dynamics import OverdampedLangevin
from pliant.observables import TimeAverage
from pliant.potentials import MullerBrown
from pliant.systems._system import System, build, canonical, only, weights
from pliant.systems._truth import QUADRATURE, Truth, exact

_SADDLE = (-0.8220015587, 0.6243128028)
# Beyond, the surface lies more than 40 kT above its floor.
_X, _Y = (-4.2, 2.2), (-2.3, 4.3)


def _along_x(state: Any) -> Float[Array, ""]:
    return state.position[0]


class MullerBrownSystem(System):
    r"""The Müller-Brown surface scaled by 0.02, at kT = 1: barriers of two kT, so that a trajectory sees all of it.

    With $U = \sum_i A_i e_i(x, y)$ times the scale s, where $e_i$ are the four exponentials, $\partial_{A_i} U = s\, e_i$,
    and differentiating the ratio of integrals $\langle O \rangle = \int O e^{-U/kT} / \int e^{-U/kT}$ gives

    $$ \frac{\partial \langle O \rangle}{\partial A_i} = -\frac{s}{kT} \left( \langle O e_i \rangle
       - \langle O \rangle \langle e_i \rangle \right). $$

    All are integrals over the plane of smooth functions that vanish at the edge of the grid, where trapezoids converge
    faster than any power of the spacing. The observable is the coordinate x, which tells the two deep minima apart; the
    parameters are the four amplitudes A. The truth is that of the stationary density of the continuous dynamics:
    samples differ by the scheme's error in dt and by what the burn-in leaves of the start, which is
    the main saddle: both basins are reached from it alike, so that little of the slowest relaxation is excited.

    Velocity Verlet conserves its energy and has no truth here (None).

    Source: Müller and Brown, Theor. Chim. Acta 53, 75 (1979), footnote 7.
    """

    scale: float = 0.02
    kT: float = 1.0
    name: ClassVar[str] = "muller_brown"
    title: ClassVar[str] = "Müller-Brown surface"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "OverdampedLangevin": dict(dt=0.002, horizon=4000, burn_in=1000, replicas=512),
        **{
            name: dict(dt=0.02, horizon=2000, burn_in=500, replicas=512)
            for name in ("Langevin", "BAOAB", "OBABO", "ABOBA", "GeneralizedLangevin", "NoseHooverChain")
        },
        "ESH": dict(dt=0.02, horizon=8000, burn_in=2000, replicas=512),
        "VelocityVerlet": dict(dt=0.02, horizon=200, burn_in=0, replicas=1024),
    }

    def law(self, dynamics: type = OverdampedLangevin, dt: float = 0.002) -> Any:
        return build(dynamics, MullerBrown(scale=self.scale), x0=jnp.array(_SADDLE), dt=dt, kT=self.kT)

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(_along_x, burn_in=burn_in)

    def wrt(self, law: PyTree) -> PyTree:
        return only(law.potential, "A")

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        if weights(observable, _along_x, horizon) is None or not canonical(law):
            return None
        value, gradient = _quadrature(law.potential, float(law.kT))
        found = dict.fromkeys((field for field in vars(law.potential)), None) | {"A": jnp.asarray(gradient)}
        return exact(value, MullerBrown(**found), QUADRATURE, "exact stationary")


def _quadrature(surface: MullerBrown, kT: float, points: int = 801) -> tuple[float, Float[np.ndarray, " 4"]]:
    """The average of x, and its derivatives by the four amplitudes."""
    x, y = np.meshgrid(np.linspace(*_X, points), np.linspace(*_Y, points), indexing="ij")
    columns = [np.asarray(getattr(surface, name))[:, None, None] for name in ("A", "a", "b", "c", "x0", "y0")]
    amplitude, a, b, c, x0, y0 = columns
    shapes = float(surface.scale) * np.exp(a * (x - x0) ** 2 + b * (x - x0) * (y - y0) + c * (y - y0) ** 2)
    energy = np.sum(amplitude * shapes, axis=0)
    density = np.exp(-(energy - energy.min()) / kT)
    density /= density.sum()
    mean = float(np.sum(density * x))
    return mean, -np.einsum("ixy,xy->i", shapes, density * (x - mean)) / kT
