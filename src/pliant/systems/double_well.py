"""The tilted double well in one dimension."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from pliant.core.observable import Observable
from pliant.dynamics import OverdampedLangevin, VelocityVerlet
from pliant.potentials import DoubleWell
from pliant.systems._shells import Shells
from pliant.systems._system import OneCoordinate, build, canonical, numbers, squared_distance, weights
from pliant.systems._transfer import Transfer
from pliant.systems._truth import QUADRATURE, Truth, exact
from pliant.systems._well import EDGE, stationary_square


class DoubleWellSystem(OneCoordinate):
    r"""One coordinate in U = a (x^2 - 1)^2 + b x, solved by quadrature.

    Stationary. With the density $\rho \propto e^{-U / kT}$ and $O = x^2$, differentiating the ratio of integrals gives

    $$ \langle O \rangle = \frac{\int O e^{-U/kT} dx}{\int e^{-U/kT} dx}, \qquad
       \frac{d \langle O \rangle}{d \theta} = -\frac{1}{kT} \left( \langle O\, \partial_\theta U \rangle
       - \langle O \rangle \langle \partial_\theta U \rangle \right), $$

    with $\partial_a U = (x^2 - 1)^2$ and $\partial_b U = x$; trapezoids are exact to round-off on such integrands.

    At a finite time under Euler-Maruyama the step's density is a known Gaussian, whose products are integrated on a
    grid, together with their exact derivatives (`_transfer`): the truth of the DISCRETISED dynamics, to some 1e-12, for
    the very start, dt, burn-in and horizon. Velocity Verlet has one random number, its first velocity: the expectation
    is an integral over it, with derivatives from the scheme's own variational equations (`_shells`).

    Under Langevin splittings and Leimkuhler-Matthews the truth is the stationary one. Estimates differ from it by the
    scheme's error of order dt^2 and by what the burn-in leaves of the start; the slowest relaxation at a = kT = 1 and
    unit friction and mass, overdamped, takes a time of 1.3.

    The observable is $x^2$; the parameters are a and b. The default tilt keeps both derivatives away from zero.

    Source: Kramers, Physica 7, 284 (1940); Risken, The Fokker-Planck Equation (1989), section 4.4, for the kernel.
    """

    a: float = 1.0
    b: float = 0.5
    kT: float = 1.0
    x0: float = 1.0
    name: ClassVar[str] = "double_well"
    title: ClassVar[str] = "Double well"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "OverdampedLangevin": dict(dt=0.0025, horizon=5000, burn_in=2000, replicas=1024),
        **{
            name: dict(dt=0.05, horizon=1000, burn_in=200, replicas=1024)
            for name in ("Langevin", "BAOAB", "OBABO", "ABOBA")
        },
        "GeneralizedLangevin": dict(dt=0.05, horizon=2000, burn_in=1000, replicas=1024),
        "VelocityVerlet": dict(dt=0.02, horizon=150, burn_in=0, replicas=1024),
    }

    def law(self, dynamics: type = OverdampedLangevin, dt: float = 0.01) -> Any:
        potential = DoubleWell(a=jnp.array(self.a), b=jnp.array(self.b))
        return build(dynamics, potential, x0=jnp.full(1, self.x0), dt=dt, kT=self.kT)

    def continuum(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        sampled = canonical(law) and weights(observable, squared_distance, horizon) is not None
        return _stationary(law) if sampled else None

    def average_square(self, law: Any, weight: Float[np.ndarray, " horizon"]) -> Truth | None:
        if isinstance(law, OverdampedLangevin) and law.scheme == "euler_maruyama":
            return _discretised(law, weight)
        if isinstance(law, VelocityVerlet):
            return _over_shells(law, weight)
        return _stationary(law) if canonical(law) else None


def _discretised(law: OverdampedLangevin, weight: Float[np.ndarray, " horizon"]) -> Truth:
    transfer = _transfer(law)
    values, slopes = transfer.marginals(float(law.x0[0]), len(weight), transfer.grid[None, :] ** 2)
    source = "quadrature of the Euler-Maruyama transition density at this dt, horizon and start"
    return exact(weight @ values[:, 0], _well(weight @ slopes[:, 0]), source, "discretised")


def _transfer(law: OverdampedLangevin) -> Transfer:
    """The law as a transfer matrix with derivatives by a and b."""
    held = numbers(law, "dt", "kT", "mass", "friction")
    a, b = float(law.potential.a), float(law.potential.b)
    return Transfer(
        force=lambda x: -4 * a * x * (x**2 - 1) - b,
        slopes=lambda x: np.stack([-4 * x * (x**2 - 1), -np.ones_like(x)]),
        step=held["dt"] / (held["mass"] * held["friction"]),
        kT=held["kT"],
        edge=EDGE,
    )


def _over_shells(law: VelocityVerlet, weight: Float[np.ndarray, " horizon"]) -> Truth:
    held = numbers(law, "dt", "kT", "mass")
    a, b = float(law.potential.a), float(law.potential.b)
    shells = Shells(
        force=lambda x: -4 * a * x * (x**2 - 1) - b,
        curvature=lambda x: 4 * a * (3 * x**2 - 1),
        slopes=lambda x: np.stack([-4 * x * (x**2 - 1), -np.ones_like(x)]),
        **held,
    )
    given = None if law.v0 is None else float(np.ravel(law.v0)[0])
    (value, value_error), (slope, slope_error) = shells.average_square(float(law.x0[0]), given, weight)
    source = "quadrature over the initial velocity of velocity Verlet trajectories and their tangents"
    as_array = lambda x: jnp.asarray(x)
    return Truth(as_array(value), _well(slope), as_array(value_error), _well(slope_error), source, "discretised")


def _stationary(law: Any) -> Truth:
    value, gradient = stationary_square(float(law.potential.a), float(law.potential.b), float(law.kT))
    return exact(value, _well(gradient), QUADRATURE, "exact stationary")


def _well(components: Float[np.ndarray, " 2"]) -> DoubleWell:
    """The gradient as `wrt` gives it."""
    return DoubleWell(a=jnp.asarray(components[0]), b=jnp.asarray(components[1]))
