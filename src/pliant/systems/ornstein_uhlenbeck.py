"""The Ornstein-Uhlenbeck process in discrete time."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from pliant.dynamics import OverdampedLangevin
from pliant.potentials import Harmonic
from pliant.systems import _affine
from pliant.systems._system import OneCoordinate, build, numbers, require
from pliant.systems._truth import Truth, exact


class OrnsteinUhlenbeck(OneCoordinate):
    r"""Overdamped motion in U = k x^2 / 2 by Euler-Maruyama, with its closed forms in discrete time.

    A step is $x' = a x + s R$ with $a = 1 - k h$ (h is the time step over friction and mass) and $s^2 = 2 kT h$. From
    $x_0$ follows by iterating, with a geometric sum for the variance,

    $$ m_n = a^n x_0, \qquad V_n = s^2 \frac{1 - a^{2n}}{1 - a^2}, \qquad \langle x_n^2 \rangle = m_n^2 + V_n. $$

    Since $da/dk = -h$,

    $$ \frac{d m_n}{dk} = -n h\, a^{n-1} x_0, \qquad
       \frac{d V_n}{dk} = -h s^2 \left[ \frac{2a (1 - a^{2n})}{(1 - a^2)^2} - \frac{2n a^{2n-1}}{1 - a^2} \right]. $$

    For $n \to \infty$ the variance is $kT / [k (1 - k h / 2)]$ and its derivative
    $-kT (1 - k h) / [k (1 - k h / 2)]^2$: the scheme widens the exact $kT / k$. The average over times is the average of
    these expectations. The observable is $x^2$, the parameter k.

    Under the Leimkuhler-Matthews scheme, which has no such short form, moments are iterated exactly.

    Validity: 0 < k h < 2. Other dynamics than the overdamped one are refused with ValueError; see `HarmonicOscillator`.

    Source: Uhlenbeck and Ornstein, Phys. Rev. 36, 823 (1930); in discrete time, the autoregressive process of order
    one, Yule, Phil. Trans. R. Soc. A 226, 267 (1927).
    """

    k: float = 1.0
    kT: float = 1.0
    x0: float = 1.0
    name: ClassVar[str] = "ornstein_uhlenbeck"
    title: ClassVar[str] = "Ornstein-Uhlenbeck process"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "OverdampedLangevin": dict(dt=0.05, horizon=200, burn_in=0, replicas=4096)
    }

    def law(self, dynamics: type = OverdampedLangevin, dt: float = 0.05) -> Any:
        why = "its Ornstein-Uhlenbeck process is not one. Use the system HarmonicOscillator"
        require(dynamics, OverdampedLangevin, why)
        return build(dynamics, Harmonic(k=jnp.array(self.k)), x0=jnp.full(1, self.x0), dt=dt, kT=self.kT)

    def average_square(self, law: Any, weight: Float[np.ndarray, " horizon"]) -> Truth:
        settings = numbers(law, "dt", "kT", "mass", "friction") | {"x0": float(law.x0[0])}
        square, slope = (self._closed_form if law.scheme == "euler_maruyama" else self._iterated)(
            len(weight), k=float(law.potential.k), **settings
        )
        source = f"closed form of the {law.scheme} recursion at this dt, horizon and start"
        return exact(weight @ square, Harmonic(k=weight @ slope), source, "discretised")

    @staticmethod
    def _closed_form(
        horizon: int, *, k: float, dt: float, kT: float, mass: float, friction: float, x0: float
    ) -> tuple[Float[np.ndarray, " horizon"], Float[np.ndarray, " horizon"]]:
        """The expectation of x^2 and its derivative by k at the times 1 to horizon."""
        h, n = dt / (mass * friction), np.arange(1, horizon + 1)
        a, noise = 1 - k * h, 2 * kT * h
        mean, variance = x0 * a**n, noise * (1 - a ** (2 * n)) / (1 - a**2)
        mean_slope = -n * h * a ** (n - 1) * x0
        variance_slope = (
            -h * noise * (2 * a * (1 - a ** (2 * n)) / (1 - a**2) ** 2 - 2 * n * a ** (2 * n - 1) / (1 - a**2))
        )
        return mean**2 + variance, 2 * mean * mean_slope + variance_slope

    @staticmethod
    def _iterated(
        horizon: int, *, k: float, **settings: float
    ) -> tuple[Float[np.ndarray, " horizon"], Float[np.ndarray, " horizon"]]:
        def square(k: Any) -> Any:
            means, covariances = _affine.leimkuhler_matthews(k=k, **settings).moments(horizon)
            return means[:, 0] ** 2 + covariances[:, 0, 0]

        return square(k), _affine.complex_step(square, k)
