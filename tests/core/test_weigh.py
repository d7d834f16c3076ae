"""Laws that weigh: a weight with its own sampler."""

import jax
import jax.numpy as jnp

import pliant
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import Reweighting
from pliant.observables import TimeAverage


class Gaussian(pliant.Weigh):
    precision: jax.Array

    def log_weight(self, x: jax.Array) -> jax.Array:
        return -0.5 * self.precision * jnp.sum(x**2)

    def sampler(self) -> OverdampedLangevin:
        return OverdampedLangevin(lambda x: -self.log_weight(x), dt=0.2, scheme="leimkuhler_matthews")


def test_the_variance_of_a_gaussian() -> None:
    estimate = pliant.gradient(
        Gaussian(jnp.array(2.0)), TimeAverage(lambda state: jnp.sum(state.position**2), burn_in=100), Reweighting(),
        horizon=1100, replicas=400, key=jax.random.key(0),
    )  # fmt: skip
    assert isinstance(estimate.value, Gaussian)
    # <x^2> = 1/k, d<x^2>/dk = -1/k^2; the scheme is exact on a Gaussian.
    assert abs(estimate.observable.value - 0.5) < 4 * estimate.observable.standard_error
    assert abs(estimate.value.precision + 0.25) < 4 * estimate.standard_error.precision
    assert estimate.standard_error.precision < 0.01 and estimate.verdict.trusted
