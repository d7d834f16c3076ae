"""What the ensembles of the table simulate: 1024 trajectories of 1000 steps in a double well."""

import equinox as eqx
import jax
import jax.numpy as jnp

from pliant.core.laws import Evolve
from pliant.dynamics import OverdampedLangevin, components
from pliant.potentials import DoubleWell

REPLICAS, STEPS, DT = 1024, 1000, 0.01
DYNAMICS = {**components(), "overdamped": OverdampedLangevin}


class UserWell(eqx.Module):
    """The double well as a user writes it: an energy alone, whose force is its derivative."""

    a: jax.Array
    b: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.sum(self.a * (x**2 - 1) ** 2 + self.b * x)


def law(dynamics: str, potential: type = DoubleWell) -> Evolve:
    """A law on one coordinate, its arrays in the process's precision."""
    well = potential(a=jnp.array(1.0), b=jnp.array(0.0))
    return DYNAMICS[dynamics](well, x0=jnp.zeros(1), dt=DT, kT=1.0)


def extended(dynamics: str) -> Evolve | None:
    """A deterministic law on two coordinates of the well, or None where there is no such dynamics."""
    kind = components().get(dynamics)
    return kind and kind(DoubleWell(a=jnp.array(1.0), b=jnp.array(0.0)), x0=jnp.array([0.3, -0.7]), dt=DT, kT=1.0)


def square(state: eqx.Module) -> jax.Array:
    """What is observed."""
    return jnp.sum(state.position**2)
