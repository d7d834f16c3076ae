"""Mixing times of chains that can be solved by hand, of Euler-Maruyama on a spring, and bounds by coupled copies."""

from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import LIMIT
from scipy import stats
from scipy.special import erf

import pliant
from pliant.diagnostics import _meeting, mixing_time
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.potentials import DoubleWell, Harmonic


def test_two_states() -> None:
    p, q = 0.03, 0.01
    found = mixing_time(transition=[[1 - p, p], [q, 1 - q]], tolerance=0.1)
    # The distance of the worst start is p / (p + q) (1 - p - q)^t.
    assert found.steps == int(np.ceil(np.log(0.1 * (p + q) / p) / np.log(1 - p - q)))
    np.testing.assert_allclose(found.relaxation, 1 / (p + q), rtol=1e-9)
    assert found.lower <= found.steps <= found.upper


def test_lazy_walk_on_a_cycle_against_its_powers() -> None:
    n = 12
    walk = 0.5 * np.eye(n) + 0.25 * (np.roll(np.eye(n), 1, 0) + np.roll(np.eye(n), -1, 0))
    found = mixing_time(transition=walk)
    power, steps = np.eye(n), 0
    while np.max(np.abs(power - 1 / n).sum(axis=1)) / 2 > 0.25:
        power, steps = power @ walk, steps + 1
    assert found.steps == steps
    np.testing.assert_allclose(found.relaxation, 1 / (0.5 - 0.5 * np.cos(2 * np.pi / n)), rtol=1e-9)


def test_a_spring_from_the_ends_of_the_grid() -> None:
    """From x the law of Euler-Maruyama is N(a^t x, s^2 (1 - a^2t)); the worst start is an end of the grid."""
    law = OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=jnp.zeros(1), dt=0.1, kT=1.0)
    edge = 4.0
    found = mixing_time(law, grid=np.linspace(-edge, edge, 161))
    a, variance = 0.9, 0.2 / (1 - 0.81)
    x = np.linspace(-12, 12, 40_001)

    def density(mean: float, spread: float) -> np.ndarray:
        return np.exp(-0.5 * (x - mean) ** 2 / spread) / np.sqrt(2 * np.pi * spread)

    def distance(t: int) -> float:
        return 0.5 * np.trapezoid(np.abs(density(a**t * edge, variance * (1 - a ** (2 * t))) - density(0, variance)), x)

    truth = next(t for t in range(1, 1000) if distance(t) <= 0.25)
    # Cut at four standard deviations and more, the grid misses erfc(4 / s sqrt(2)) of the stationary law: a step at most.
    assert 1 - erf(edge / np.sqrt(2 * variance)) < 2e-4
    assert abs(found.steps - truth) <= 1
    np.testing.assert_allclose(found.relaxation, 1 / (1 - a), rtol=1e-2)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="either `law` with `grid`, or `transition`"):
        mixing_time()
    with pytest.raises(ValueError, match="rows sum to one"):
        mixing_time(transition=[[0.5, 0.4], [0.5, 0.5]])
    with pytest.raises(ValueError, match="does not mix"):
        mixing_time(transition=np.eye(3))
    with pytest.raises(ValueError, match="does not mix"):
        mixing_time(transition=[[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="`tolerance` must lie"):
        mixing_time(transition=np.full((2, 2), 0.5), tolerance=0.7)
    with pytest.raises(ValueError, match="state of one number"):
        mixing_time(BAOAB(Harmonic(jnp.array(1.0)), x0=jnp.zeros(1)))
    with pytest.raises(ValueError, match="must resolve a step"):
        mixing_time(OverdampedLangevin(), grid=np.linspace(-4, 4, 9))


# Coupled copies on a spring, x' = A x + noise of variance S2, from FAR along the first of d axes.

A, S2, FAR, HORIZON = 0.9, 0.2, 4.0, 150
AT = np.array([1, 3, 6, 10, 15, 20, 30])


def variance(t: Any) -> Any:
    return S2 * (1 - A ** (2 * t)) / (1 - A**2)


def distance(t: Any, dimensions: int) -> Any:
    """The exact distance after t steps to the stationary law: both are Gaussian, and one is denser within a ball."""
    late, now, mean = S2 / (1 - A**2), variance(t), A**t * FAR
    curvature = 1 / now - 1 / late
    centre = mean / now / curvature
    square = (dimensions * np.log(late / now) - mean**2 / now) / curvature + centre**2
    ball = lambda spread, middle: stats.ncx2.cdf(square / spread, dimensions, (centre - middle) ** 2 / spread)
    return ball(now, mean) - ball(late, 0.0)


def apart(t: Any, dimensions: int, lag: int) -> Any:
    r"""The exact share of pairs that have not met: $2 \Phi(a^t r / 2 \sigma_t) - 1$, averaged over their first distance r.

    Distances |D| go from r to r' with density proportional to phi((r' - a r) / 2s) - phi((r' + a r) / 2s), as those of a
    random walk that ends at zero, and such kernels compose to one of their kind. The first copy is `lag` steps ahead.
    """
    spread = np.sqrt(variance(lag))
    ranks = (np.arange(4000) + 0.5) / 4000
    first = spread * np.sqrt(stats.ncx2.ppf(ranks, dimensions, (FAR * (1 - A**lag) / spread) ** 2))
    return np.mean(2 * stats.norm.cdf(np.outer(A**t / (2 * np.sqrt(variance(t))), first)) - 1, axis=1)


def meeting(dimensions: int = 1, coupling: str = "reflection", lag: int | None = None, horizon: int = HORIZON) -> Any:
    x0 = jnp.zeros(dimensions).at[0].set(FAR)
    law = OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=x0, dt=0.1, kT=1.0)
    return mixing_time(law, coupling=coupling, horizon=horizon, lag=lag, replicas=4000, key=jax.random.key(1))


def is_above(found: Any, dimensions: int = 1) -> None:
    """The bound holds within its standard errors."""
    assert np.all(found.bound[AT] - distance(AT, dimensions) > -LIMIT * found.standard_error[AT])


def is_that_of_the_coupling(found: Any, dimensions: int, lag: int) -> None:
    later = np.arange(0, HORIZON, lag)
    exact = np.minimum(sum(apart(AT + more, dimensions, lag) for more in later), 1.0)
    assert np.all(np.abs(found.bound[AT] - exact) < LIMIT * found.standard_error[AT])


@pytest.mark.parametrize(("dimensions", "lag"), [(1, HORIZON), (1, 10), (5, HORIZON)])
def test_reflected_copies_on_a_spring(dimensions, lag):
    """Against the exact distance below, and the exact meeting times of this coupling."""
    found = meeting(dimensions, lag=lag)
    is_above(found, dimensions)
    is_that_of_the_coupling(found, dimensions, lag)
    truth = next(t for t in range(1, 100) if distance(t, dimensions) <= 0.25)
    assert truth - 1 <= found.interval[0] <= found.steps <= found.interval[1] <= truth + 3
    # A single step leaves apart what overlap it has not: near the truth at every distance.
    assert np.all(apart(AT, dimensions, HORIZON) - distance(AT, dimensions) < 0.075)


@pytest.mark.parametrize("dimensions", [1, 5])
def test_synchronous_copies_on_a_spring(dimensions):
    """They come as near as to meet one e-fold of contraction after another: later than a reflection."""
    found = meeting(dimensions, "synchronous")
    is_above(found, dimensions)
    assert meeting(dimensions).steps < found.steps < 3 * meeting(dimensions).steps


def test_two_wells_against_powers_of_the_transition_matrix():
    well = DoubleWell(a=jnp.array(1.0), b=jnp.array(0.0))
    law = OverdampedLangevin(well, x0=jnp.array([-1.0]), dt=0.05, kT=0.7)
    found = mixing_time(law, coupling="reflection", horizon=600, replicas=2000, key=jax.random.key(0))
    x = np.linspace(-3, 3, 401)
    step = np.exp(-((x - x[:, None] * (1 - 0.2 * (x[:, None] ** 2 - 1))) ** 2) / (4 * 0.7 * 0.05))
    step /= step.sum(axis=1, keepdims=True)
    late = np.linalg.matrix_power(step, 10_000)[0]
    density, exact = np.eye(len(x))[np.argmin(np.abs(x + 1))], []
    for _ in range(601):
        exact.append(0.5 * np.abs(density - late).sum())
        density = density @ step
    slack = LIMIT * found.standard_error
    assert np.all(found.bound > exact - slack)
    assert np.argmax(np.array(exact) <= 0.25) < found.steps < 3 * np.argmax(np.array(exact) <= 0.25)


def test_the_error_is_that_of_a_share():
    """Of 1000 pairs: the error of shares between one repeat and the next."""
    times = 1 + np.random.default_rng(0).geometric(0.05, size=(500, 1000))
    found = [_meeting.bounded(row, 400, 400, 0.25) for row in times]
    bounds = np.array([one.bound for one in found])[:, 5:80]
    errors = np.array([one.standard_error for one in found])[:, 5:80].mean(axis=0)
    np.testing.assert_allclose(errors, bounds.std(axis=0), rtol=0.2)
    assert np.all(found[0].standard_error >= 1e-3), "what no pair showed is no impossibility"


# Mutants. Each has a horizon of its own, so that nothing compiled for the original serves it.


def test_near_is_not_met():
    """Copies within two spreads of a step are taken for one; the rest is as it should be."""
    right = _meeting.meets
    near = lambda normal, apart, uniform: right(normal, apart, uniform) | (jnp.sum(apart**2) < 4)
    with mock.patch.object(_meeting, "meets", near), pytest.raises(AssertionError):
        is_above(meeting(horizon=151))


@pytest.mark.slow
def test_meeting_too_often_fails():
    eager = lambda normal, apart, uniform, right=_meeting.meets: right(normal, apart, uniform**2)
    with mock.patch.object(_meeting, "meets", eager), pytest.raises(AssertionError):
        is_above(meeting(horizon=152))


def test_copies_that_do_not_reflect_are_not_those_of_the_coupling():
    unmoved = lambda normal, apart, uniform: normal
    with mock.patch.object(_meeting, "reflected", unmoved), pytest.raises(AssertionError):
        is_that_of_the_coupling(meeting(horizon=153), 1, 153)


def test_one_lag_alone_is_no_bound():
    """The distance to the law 3 steps later, in place of that to the stationary one."""
    found = meeting(lag=3)
    is_above(found)
    once = _meeting.bounded(np.minimum(found.times, 3), 3, HORIZON, 0.25)
    with pytest.raises(AssertionError):
        is_above(once)


def test_what_coupling_refuses() -> None:
    spring, key = OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=jnp.ones(2)), jax.random.key(0)
    with pytest.raises(ValueError, match="`coupling` must be one of reflection, synchronous, but it was None"):
        mixing_time(spring, horizon=10, key=key)  # pyright: ignore
    with pytest.raises(ValueError, match="`replicas` must be at least 4 / `tolerance` = 16"):
        mixing_time(spring, coupling="reflection", horizon=10, replicas=15, key=key)
    with pytest.raises(ValueError, match="`lag`"):
        mixing_time(spring, coupling="reflection", horizon=10, lag=0, key=key)
    with pytest.raises(ValueError, match="`horizon` must be long enough.* of 20 had not met after 5 steps"):
        mixing_time(spring, coupling="reflection", horizon=5, replicas=20, key=key)
    with pytest.raises(ValueError, match="`grid`"):
        mixing_time(spring, coupling="reflection", horizon=5, grid=np.linspace(-1, 1, 9), key=key)  # pyright: ignore
    with pytest.raises(pliant.NotApplicable, match="cannot couple copies of BAOAB"):
        mixing_time(BAOAB(x0=jnp.ones(2)), coupling="reflection", horizon=10, key=key)
