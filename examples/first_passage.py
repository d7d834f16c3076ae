"""The gradient of a passage time: the observable jumps, so differentiating the trajectory gives nothing.

A particle crosses a barrier of height a at kT = 1/2. Its passage time is seen at whole steps, so that its gradient along
the trajectory is zero; the likelihood ratio of paths gives the honest one.
"""

import jax
import jax.numpy as jnp

import pliant
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import BPTT, Girsanov
from pliant.observables import FirstPassageTime
from pliant.potentials import DoubleWell


def main() -> None:
    law = OverdampedLangevin(DoubleWell(a=jnp.array(1.0), b=0.0), x0=-jnp.ones(1), dt=0.01, kT=0.5)
    arrival = FirstPassageTime(lambda state: state.position[0] >= 0)
    for estimator in (Girsanov(), BPTT()):
        print(pliant.gradient(law, arrival, estimator, horizon=4000, replicas=2000, key=jax.random.key(0),
                              wrt=lambda law: law.potential))  # fmt: skip
    print("continuum, without a horizon: passage time 4.607, derivative 5.093")


if __name__ == "__main__":
    main()
