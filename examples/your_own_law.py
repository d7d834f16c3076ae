"""A law of your own in a few lines: a noisy pendulum, and what each capability buys.

It declares its noise and never draws it. With `path_step` it has a path density, and Girsanov serves it as well.
"""

from typing import Any

import jax
import jax.numpy as jnp

import pliant
from pliant.estimators import BPTT, Girsanov, Reweighting
from pliant.observables import TimeAverage


class Pendulum(pliant.HasPathDensity):
    """Semi-implicit Euler with noise on the velocity; the state is (angle, velocity)."""

    length: jax.Array
    dt: float = 0.02
    noise = pliant.Normal((1,))

    def init(self, key: jax.Array) -> jax.Array:
        return jnp.array([0.5, 0.0])

    def kicked(self, state: jax.Array) -> jax.Array:
        angle, velocity = state
        return velocity - self.dt * (jnp.sin(angle) / self.length + 0.2 * velocity)

    def step(self, state: jax.Array, noise: jax.Array, t: Any) -> jax.Array:
        velocity = self.kicked(state) + 0.1 * noise[0]
        return jnp.stack([state[0] + self.dt * velocity, velocity])

    def path_step(self, memory: Any, state: jax.Array, noise: jax.Array, after: jax.Array, t: Any) -> Any:
        return memory, -0.5 * ((after[1] - self.kicked(state)) / 0.1) ** 2


def main() -> None:
    law = Pendulum(jnp.array(1.0))
    height = TimeAverage(lambda state: 1 - jnp.cos(state[0]))
    for estimator in (BPTT(), Girsanov()):
        print(pliant.gradient(law, height, estimator, horizon=200, replicas=2000, key=jax.random.key(0)))
    try:
        pliant.gradient(law, height, Reweighting(), horizon=200, replicas=2000, key=jax.random.key(0))
    except pliant.CapabilityError as reason:
        print(f"refused: {reason}")


if __name__ == "__main__":
    main()
