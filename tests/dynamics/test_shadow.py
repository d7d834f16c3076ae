"""What Euler-Maruyama samples, and the covariance formula on its samples."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pliant
from pliant.dynamics import OverdampedLangevin
from pliant.dynamics._shared import Position
from pliant.estimators import Reweighting
from pliant.observables import TimeAverage
from pliant.potentials import DoubleWell, Harmonic

DT = 0.1


def harmonic(k: float) -> OverdampedLangevin:
    return OverdampedLangevin(Harmonic(jnp.array(k)), x0=jnp.zeros(1), dt=DT, mass=2.0, friction=0.5)


def test_the_shadow_potential_of_a_spring_is_exact() -> None:
    law, k, h = harmonic(1.5), 1.5, DT
    # The chain is Gaussian with variance kT / [k (1 - k h / 2)], mobility 1.
    exact = -0.5 * 4.0 * k * (1 - k * h / 2)
    found = law.log_density(Position(jnp.full(1, 2.0))) - law.log_density(Position(jnp.zeros(1)))
    np.testing.assert_allclose(found, exact, rtol=1e-12)


class Uncorrected(OverdampedLangevin):
    """The wrong variant: the continuum's density on samples of the discretised dynamics."""

    def log_density(self, state: Any) -> jax.Array:
        return -self.potential(state.position) / self.kT


def covariance(kind: type, potential: Any, dt: float, replicas: int, horizon: int) -> pliant.GradientEstimate:
    law = kind(potential, x0=jnp.zeros(1), dt=dt)
    observable = TimeAverage(lambda state: jnp.sum(state.position**2), burn_in=100)
    return pliant.gradient(law, observable, Reweighting(), horizon=horizon, replicas=replicas, key=jax.random.key(5),
                           wrt=lambda law: jax.tree.leaves(law.potential)[0])  # fmt: skip


@pytest.mark.parametrize(("kind", "right"), [(OverdampedLangevin, True), (Uncorrected, False)])
def test_covariance_on_a_spring(kind: type, right: bool) -> None:
    estimate = covariance(kind, Harmonic(jnp.array(1.0)), DT, 1000, 1100)
    exact = -(1 - DT) / (1 - DT / 2) ** 2  # the derivative of 1 / (k - k^2 h / 2) at k = 1
    assert (abs(estimate.value - exact) < 4 * estimate.standard_error) == right


def euler_truth(dt: float) -> float:
    """d<x^2>/da of the stationary Euler-Maruyama chain in a (x^2 - 1)^2 at kT = 1, by powers of its kernel."""

    def mean_square(a: float) -> float:
        grid, width = np.linspace(-3.2, 3.2, 801, retstep=True)
        mean = grid - dt * 4 * a * grid * (grid**2 - 1)
        kernel = np.exp(-((grid[:, None] - mean[None, :]) ** 2) / (4 * dt)) / np.sqrt(4 * np.pi * dt) * width
        for _ in range(11):
            kernel = kernel @ kernel
        density = kernel[:, 400] / kernel[:, 400].sum()
        return float(density @ grid**2)

    return (mean_square(1.001) - mean_square(0.999)) / 0.002


def test_covariance_on_a_double_well_is_off_by_the_square_of_dt() -> None:
    dt, exact = 0.005, euler_truth(0.005)
    assert exact == pytest.approx(-0.0296, abs=2e-4)
    estimate = covariance(OverdampedLangevin, DoubleWell(jnp.array(1.0), jnp.array(0.0)), dt, 1000, 3000)
    assert abs(estimate.value - exact) < 4 * estimate.standard_error
    plain = covariance(Uncorrected, DoubleWell(jnp.array(1.0), jnp.array(0.0)), dt, 1000, 3000)
    # At this step the plain formula is off by a fifth of the value; exact covariance under its own samples: -0.0349.
    assert abs(plain.value + 0.0349) < 4 * plain.standard_error


def test_many_coordinates_keep_the_plain_density_and_say_so() -> None:
    law = OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=jnp.zeros(40), dt=DT)
    assert "continuum" in law.stationary_measure
    assert float(law.log_density(Position(jnp.ones(40)))) == pytest.approx(-20.0)
