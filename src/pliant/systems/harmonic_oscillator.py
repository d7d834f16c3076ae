"""The harmonic oscillator under any splitting."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from pliant.dynamics import BAOAB, Langevin, OverdampedLangevin, VelocityVerlet
from pliant.potentials import Harmonic
from pliant.systems import _affine
from pliant.systems._system import OneCoordinate, build
from pliant.systems._truth import Truth, exact


class HarmonicOscillator(OneCoordinate):
    r"""One particle in U = k x^2 / 2, exactly solvable under every scheme at every time step.

    The force is linear, so that every letter of a splitting word is an affine map of $z = (x, v)$ over a time h:

    - A: $x \mathrel{+}= h v$; B: $v \mathrel{-}= (h k / m)\, x$;
    - O: $v = e^{-\gamma h} v + [(1 - e^{-2 \gamma h})\, kT / m]^{1/2} R$.

    Their product in the order of the word is one step $z' = M z + N R$, and with it, exactly and at every time,

    $$ m_{n+1} = M m_n, \qquad C_{n+1} = M C_n M^T + N N^T, \qquad \langle x_n^2 \rangle = m_{x,n}^2 + C_{xx,n}, $$

    from $m_0 = (x_0, v_0)$ and $C_0 = 0$, or $v_0 = 0$ and $C_{vv} = kT / m$ where velocities are drawn. Velocity Verlet
    is the word BAB; Euler-Maruyama is the same with $M = 1 - k h$. The stationary covariance solves
    $C = M C M^T + N N^T$; with m = k = kT = 1 and $q = h^2$ its diagonal is $(1, 1 - q/4)$ for BAOAB,
    $(1, 1/(1 - q/4))$ for ABOBA and $(1/(1 - q/4), 1)$ for OBABO.

    All of this is analytic in k, so the derivative by k is taken along with the recursion by a complex step, to round-off.
    The observable is $x^2$, the parameter k. Dynamics other than those named here have no truth (None).

    Source: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34, section 4; Sivak, Chodera and Crooks, J. Phys.
    Chem. B 118, 6466 (2014).
    """

    k: float = 1.0
    kT: float = 1.0
    mass: float = 1.0
    friction: float = 1.0
    x0: float = 1.0
    v0: float | None = None
    name: ClassVar[str] = "harmonic_oscillator"
    title: ClassVar[str] = "Harmonic oscillator"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        name: dict(dt=0.1, horizon=200, burn_in=0, replicas=4096)
        for name in ("Langevin", "BAOAB", "OBABO", "ABOBA", "VelocityVerlet", "OverdampedLangevin")
    }

    def law(self, dynamics: type = BAOAB, dt: float = 0.1) -> Any:
        velocity = None if self.v0 is None else jnp.full(1, self.v0)
        settings = dict(kT=self.kT, mass=self.mass, friction=self.friction, v0=velocity)
        return build(dynamics, Harmonic(k=jnp.array(self.k)), x0=jnp.full(1, self.x0), dt=dt, **settings)

    def average_square(self, law: Any, weight: Float[np.ndarray, " horizon"]) -> Truth | None:
        if not isinstance(law, Langevin | VelocityVerlet | OverdampedLangevin):
            return None

        def average(k: Any) -> Any:
            means, covariances = _affine.of_law(law, k=k).moments(len(weight))
            return weight @ (means[:, 0] ** 2 + covariances[:, 0, 0])

        k = float(law.potential.k)
        source = "moments of the scheme's affine recursion, iterated exactly at this dt, horizon and start"
        return exact(average(k), Harmonic(k=_affine.complex_step(average, k)), source, "discretised")
