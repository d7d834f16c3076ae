"""Velocities integrated out of stationary averages: exact derivatives, less variance, refusals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, run
from scipy.stats import norm

import pliant
from pliant.dynamics import BAOAB, OBABO, VelocityVerlet
from pliant.estimators import BPTT, Reweighting
from pliant.observables import FirstPassageTime, TimeAverage, VelocityAveraged
from pliant.potentials import Harmonic

K, KT, MASS, EDGE = 0.8, 0.7, 1.3, 0.6
LAW = BAOAB(Harmonic(jnp.array(K)), x0=jnp.zeros(1), dt=0.5, kT=jnp.array(KT), mass=jnp.asarray([MASS]))
MIXED = TimeAverage(lambda state: jnp.sum((state.position + state.velocity) ** 2), burn_in=64)
FAST = TimeAverage(lambda state: jnp.where(state.velocity[0] > EDGE, 1.0, 0.0), burn_in=64)


def average(observable: Any) -> Any:
    return run(LAW, observable, Reweighting(), lambda law: (law.potential.k, law.kT, law.mass), 512, 2000)


def test_a_smooth_function_of_both():
    r"""$\langle (x + v)^2 \rangle = kT / k + kT / m$, with less variance than what samples velocities."""
    found, plain = average(VelocityAveraged(MIXED)), average(MIXED)
    truth = (-KT / K**2, 1 / K + 1 / MASS, np.array([-KT / MASS**2]))
    check(found, truth, value=KT / K + KT / MASS)
    assert found.observable.standard_error < 0.9 * plain.observable.standard_error
    for a, b in zip(jax.tree.leaves(found.standard_error), jax.tree.leaves(plain.standard_error), strict=True):
        assert np.all(a < b)


def test_a_jump_in_the_velocity():
    r"""$P(v > c) = \Phi(-c / s)$ with $s^2 = kT / m$: with less than half the noise."""
    s = np.sqrt(KT / MASS)
    found, plain = average(VelocityAveraged(FAST)), average(FAST)
    slope = norm.pdf(EDGE / s) * EDGE / s / 2
    check(found, (0.0, slope / KT, np.array([-slope / MASS])), value=norm.cdf(-EDGE / s))
    assert found.observable.standard_error < 0.5 * plain.observable.standard_error


class HeldVelocities(VelocityAveraged):
    """The mutant: velocities that do not know of the temperature."""

    def term(self, law, state):
        held = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if hasattr(x, "dtype") else x, law)
        return super().term(held, state)


def test_held_velocities_fail():
    truth = (-KT / K**2, 1 / K + 1 / MASS, np.array([-KT / MASS**2]))
    with pytest.raises(AssertionError):
        check(average(HeldVelocities(MIXED)), truth)


def test_refusals():
    with pytest.raises(pliant.NotApplicable, match="stationary state alone; use Reweighting"):
        run(LAW, VelocityAveraged(MIXED), BPTT(), lambda law: law.potential, 100, 10)
    with pytest.raises(pliant.NotApplicable, match=r"16\^4"):
        law = OBABO(x0=jnp.zeros(4))
        run(law, VelocityAveraged(MIXED), Reweighting(), lambda law: law.x0, 100, 10)
    with pytest.raises(pliant.NotApplicable, match="HasStationaryDensity"):
        law = VelocityVerlet(x0=jnp.zeros(1))
        pliant.expectation(law, VelocityAveraged(MIXED), horizon=100, replicas=10, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`observable`"):
        VelocityAveraged(FirstPassageTime())
    with pytest.raises(ValueError, match="`nodes`"):
        VelocityAveraged(MIXED, nodes=2)
