"""Optimal control: the protocol that drags a trapped particle with the least work.

Gradient descent on the waypoints of the trap's centre finds the jumps at both ends that theory predicts.
Source: Schmiedl and Seifert, Phys. Rev. Lett. 98, 108301 (2007), equation 9.
"""

import jax
import jax.numpy as jnp

import pliant
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import BPTT
from pliant.observables import Work
from pliant.potentials import DrivenTrap

STEPS, DT, WAYPOINTS, DISTANCE = 100, 0.02, 21, 2.0


def work(inner: jax.Array, seed: int) -> pliant.GradientEstimate:
    ends = jnp.array([0.0]), jnp.array([DISTANCE])
    trap = DrivenTrap(jnp.concatenate([ends[0], inner, ends[1]]), 1.0, duration=STEPS * DT)
    law = OverdampedLangevin(trap, x0=jnp.zeros(1), dt=DT)
    return pliant.gradient(law, Work(), BPTT(), horizon=STEPS, replicas=4096, key=jax.random.key(seed),
                           wrt=lambda law: law.potential.waypoints)  # fmt: skip


def main() -> None:
    duration = STEPS * DT
    inner = jnp.linspace(0.0, DISTANCE, WAYPOINTS)[1:-1]
    straight = work(inner, 0).observable
    for descent in range(60):
        inner = inner - 1.5 * work(inner, 1 + descent).value[1:-1]
    best = work(inner, 0).observable
    theory = DISTANCE**2 / (duration + 2)
    print(
        f"straight line {straight.value:.3f}, optimised {best.value:.3f} +- {best.standard_error:.3f}, theory {theory:.3f}"
    )
    print(f"first inner waypoint {inner[0]:.3f}, theory {DISTANCE * (duration / 20 + 1) / (duration + 2):.3f}")
    assert best.value < straight.value


if __name__ == "__main__":
    main()
