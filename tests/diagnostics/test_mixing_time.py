"""Mixing times of chains that can be solved by hand, and of Euler-Maruyama on a spring."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from pliant.diagnostics import mixing_time
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.potentials import Harmonic


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
