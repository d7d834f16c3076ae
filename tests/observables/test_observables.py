"""Observables against closed forms, and their gradients by every estimator that serves them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pliant
from pliant.core.rollout import Rollout
from pliant.dynamics import BAOAB, OverdampedLangevin, VelocityVerlet
from pliant.estimators import BPTT, FiniteDifference, ForwardSensitivity, Girsanov
from pliant.observables import Final, FirstPassageTime, PathFunctional, TimeAverage, Work
from pliant.potentials import DoubleWell, DrivenTrap, Harmonic

KEY = jax.random.key(3)


def z(value: Any, error: Any, truth: float) -> float:
    return float(abs(value - truth) / error)


STEPS, DT = 100, 0.02


def trap(stiffness: float = 1.0, end: float = 1.0) -> OverdampedLangevin:
    potential = DrivenTrap(jnp.array([0.0, end]), jnp.array(stiffness), duration=STEPS * DT)
    return OverdampedLangevin(potential, x0=jnp.zeros(1), dt=DT)


def mean_work(k: float, end: float) -> float:
    """<W> of the Euler-Maruyama chain: its mean follows m' = m - h k (m - lambda), W adds k/2 [(m-l')^2 - (m-l)^2]."""
    line = np.linspace(0.0, end, STEPS + 1)
    mean, work = 0.0, 0.0
    for t in range(STEPS):
        # The variance drops out of the difference of two parabolas with the same stiffness.
        work += 0.5 * k * ((mean - line[t + 1]) ** 2 - (mean - line[t]) ** 2)
        mean = mean - DT * k * (mean - line[t])
    return work


def test_the_work_of_a_dragged_trap() -> None:
    estimate = pliant.expectation(trap(), Work(), horizon=STEPS, replicas=4000, key=KEY)
    assert z(estimate.value, estimate.standard_error, mean_work(1.0, 1.0)) < 4
    # The continuum: lf^2 (tf + exp(-tf) - 1) / tf^2.
    assert mean_work(1.0, 1.0) == pytest.approx((2 + np.exp(-2) - 1) / 4, abs=0.01)


def test_the_jarzynski_equality() -> None:
    # A trap that is moved without change of stiffness has no free energy difference; the start is at equilibrium.
    law = OverdampedLangevin(
        DrivenTrap(jnp.array([0.0, 1.0]), jnp.array(1.0), duration=2.0),
        x0=jnp.zeros(1),
        dt=0.02,
        scheme="euler_maruyama",
    )
    start = jax.random.normal(jax.random.key(1), (4000, 1))

    def work(x0: jax.Array, replica: jax.Array) -> jax.Array:
        moved = OverdampedLangevin(law.potential, x0=x0, dt=0.02)
        return Rollout(KEY, replica, 100)(moved, Work())

    values = jax.jit(jax.vmap(work))(start, jnp.arange(4000, dtype=jnp.uint32))
    weights = np.exp(-np.asarray(values))
    # Off by the scheme's O(dt): the chain's stationary variance is 1/(1 - dt/2).
    assert abs(weights.mean() - 1.0) < 4 * weights.std() / np.sqrt(4000) + 0.01


@pytest.mark.parametrize("estimator", [BPTT(), ForwardSensitivity(), Girsanov(), FiniteDifference()])
def test_the_gradient_of_work_holds_its_explicit_part(estimator: Any) -> None:
    estimate = pliant.gradient(trap(), Work(), estimator, horizon=STEPS, replicas=8000, key=KEY,
                               wrt=lambda law: (law.potential.waypoints, law.potential.stiffness))  # fmt: skip
    by_end = (mean_work(1.0, 1.0 + 1e-4) - mean_work(1.0, 1.0 - 1e-4)) / 2e-4
    by_stiffness = (mean_work(1.0 + 1e-4, 1.0) - mean_work(1.0 - 1e-4, 1.0)) / 2e-4
    (waypoints, stiffness), (error, stiffness_error) = estimate.value, estimate.standard_error
    assert z(waypoints[1], error[1], by_end) < 4
    assert z(stiffness, stiffness_error, by_stiffness) < 4
    assert stiffness_error < 0.1 * by_stiffness


def test_work_needs_a_driven_potential() -> None:
    with pytest.raises(ValueError, match="driven in time by a method `at"):
        pliant.expectation(OverdampedLangevin(Harmonic(), x0=jnp.zeros(1)), Work(), horizon=4, replicas=4, key=KEY)


def walk_to(position: float) -> OverdampedLangevin:
    return OverdampedLangevin(DoubleWell(a=jnp.array(1.0), b=jnp.array(0.0)), x0=jnp.full(1, position), dt=0.01, kT=0.5)


def reached(state: Any) -> jax.Array:
    return state.position[0] >= 0


def test_first_passage_time_against_its_transfer_matrix() -> None:
    exact, slope = passage(1.0), (passage(1.0 + 1e-4) - passage(1.0 - 1e-4)) / 2e-4
    estimate = pliant.gradient(walk_to(-1.0), FirstPassageTime(reached), Girsanov(), horizon=1000, replicas=8000,
                               key=KEY, wrt=lambda law: law.potential.a)  # fmt: skip
    assert z(estimate.observable.value, estimate.observable.standard_error, exact) < 4
    assert z(estimate.value, estimate.standard_error, slope) < 4
    assert estimate.standard_error < 0.1 * slope
    assert any("had not finished at the horizon" in note for note in estimate.verdict.notes)


def passage(a: float, dt: float = 0.01, kT: float = 0.5, steps: int = 1000) -> float:
    """E[min(tau, T)] of the Euler-Maruyama chain from -1, absorbed at x >= 0: midpoint quadrature of its kernel."""
    edges = np.linspace(-3.0, 0.0, 1201)
    grid, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    mean = grid - dt * 4 * a * grid * (grid**2 - 1)
    kernel = np.exp(-((grid[:, None] - mean[None, :]) ** 2) / (4 * kT * dt)) / np.sqrt(4 * np.pi * kT * dt) * width
    density = np.exp(-((grid + 1.0) ** 2) / (4 * kT * dt)) / np.sqrt(4 * np.pi * kT * dt)  # after one step from -1
    time = dt
    for _ in range(steps - 1):
        time += dt * density.sum() * width
        density = kernel @ density
    return time


def test_a_trajectory_that_starts_inside_has_passed() -> None:
    estimate = pliant.expectation(walk_to(0.5), FirstPassageTime(reached), horizon=10, replicas=4, key=KEY)
    assert float(estimate.value) == 0.0


def test_a_region_gives_one_truth_value() -> None:
    with pytest.raises(ValueError, match="Argument `region` must return one truth value"):
        pliant.expectation(walk_to(0.0), FirstPassageTime(lambda s: s.position), horizon=4, replicas=4, key=KEY)


def test_a_stored_path_is_the_path() -> None:
    law = BAOAB(Harmonic(jnp.array(1.0)), x0=jnp.ones(2), dt=0.1)
    run = {"horizon": 21, "replicas": 3, "key": KEY, "keep_replicates": True}
    path = pliant.expectation(law, PathFunctional(lambda states: states.position, every=5), **run).replicates
    assert path is not None and path.shape == (3, 5, 2)
    for stored, horizon in ((1, 5), (4, 20)):
        final = pliant.expectation(law, Final(lambda s: s.position), **{**run, "horizon": horizon}).replicates
        np.testing.assert_allclose(path[:, stored], final, rtol=1e-12)


@pytest.mark.parametrize("estimator", [BPTT(), BPTT(checkpoint=False), ForwardSensitivity(), Girsanov()])
def test_a_path_functional_is_the_time_average_it_computes(estimator: Any) -> None:
    law = OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=jnp.ones(1), dt=0.1)
    run = {"horizon": 20, "replicas": 500, "key": KEY, "wrt": lambda law: law.potential}
    stored = PathFunctional(lambda states: jnp.mean(states.position[1:] ** 2))
    a = pliant.gradient(law, stored, estimator, **run)
    b = pliant.gradient(law, TimeAverage(lambda s: jnp.sum(s.position**2)), estimator, **run)
    np.testing.assert_allclose(a.observable.value, b.observable.value, rtol=1e-12)
    if isinstance(estimator, Girsanov):  # causal for one, not for the other: equal in expectation alone
        spread = np.hypot(a.standard_error.k, b.standard_error.k)
        assert abs(a.value.k - b.value.k) < 4 * spread and b.standard_error.k < a.standard_error.k
    else:
        np.testing.assert_allclose(a.value.k, b.value.k, rtol=1e-10)


def test_path_functional_arguments() -> None:
    with pytest.raises(ValueError, match="Argument `every`"):
        PathFunctional(every=0)
    with pytest.raises(ValueError, match="must take the states alone"):
        PathFunctional(lambda states, law: states)


def test_an_explicit_dependence_on_the_law() -> None:
    law = VelocityVerlet(Harmonic(jnp.array(2.0)), x0=jnp.ones(1), dt=0.1, v0=jnp.zeros(1))
    energy = TimeAverage(lambda state, law: law.potential(state.position) + 0.5 * jnp.sum(state.velocity**2))
    estimate = pliant.gradient(law, energy, BPTT(), horizon=50, replicas=1, key=KEY, wrt=lambda law: law.potential)
    # The energy is conserved up to O(dt^2): k x0^2 / 2 all along, so that its derivative is 1/2.
    assert abs(float(estimate.value.k) - 0.5) < 0.01
