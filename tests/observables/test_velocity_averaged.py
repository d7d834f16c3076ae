"""Velocities integrated out of stationary averages: exact derivatives, less variance, refusals."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import REPEATS, check, covers, gathered, run
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


SMOOTH_TRUTH = (-KT / K**2, 1 / K + 1 / MASS, np.array([-KT / MASS**2]))
SPREAD = np.sqrt(KT / MASS)
SLOPE = norm.pdf(EDGE / SPREAD) * EDGE / SPREAD / 2
JUMP_TRUTH = (0.0, SLOPE / KT, np.array([-SLOPE / MASS]))


def test_a_smooth_function_of_both():
    r"""$\langle (x + v)^2 \rangle = kT / k + kT / m$, with less variance than what samples velocities."""
    found, plain = average(VelocityAveraged(MIXED)), average(MIXED)
    check(found, SMOOTH_TRUTH, value=KT / K + KT / MASS)
    assert found.observable.standard_error < 0.9 * plain.observable.standard_error
    for a, b in zip(jax.tree.leaves(found.standard_error), jax.tree.leaves(plain.standard_error), strict=True):
        assert np.all(a < b)


def test_a_jump_in_the_velocity():
    r"""$P(v > c) = \Phi(-c / s)$ with $s^2 = kT / m$: with less than half the noise."""
    found, plain = average(VelocityAveraged(FAST)), average(FAST)
    check(found, JUMP_TRUTH, value=norm.cdf(-EDGE / SPREAD))
    assert found.observable.standard_error < 0.5 * plain.observable.standard_error


class HeldVelocities(VelocityAveraged):
    """The mutant: velocities that do not know of the temperature."""

    def term(self, law, state):
        held = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if hasattr(x, "dtype") else x, law)
        return super().term(held, state)


@pytest.mark.slow
def test_held_velocities_fail():
    with pytest.raises(AssertionError):
        check(average(HeldVelocities(MIXED)), SMOOTH_TRUTH)


WAVE = TimeAverage(lambda state: jnp.sum(jnp.cos(state.position + state.velocity)))
HEIGHT = np.exp(-KT * (1 / K + 1 / MASS) / 2)
WAVE_TRUTH = (HEIGHT * KT / K**2 / 2, -HEIGHT * (1 / K + 1 / MASS) / 2, np.array([HEIGHT * KT / MASS**2 / 2]))


@pytest.mark.slow
@pytest.mark.parametrize(("observable", "truth"), [(WAVE, WAVE_TRUTH), (FAST, JUMP_TRUTH)], ids=["smooth", "jump"])
def test_coverage(observable, truth, capsys):
    r"""$\langle \cos(x + v) \rangle = e^{-(kT/k + kT/m)/2}$, and the jump; the start is forgotten to one part in e^16."""
    wrt, late = lambda law: (law.potential.k, law.kT, law.mass), dataclasses.replace(observable, burn_in=32)
    found = gathered(LAW, VelocityAveraged(late, nodes=8), Reweighting(), wrt, 80, REPEATS * 256)
    covers(capsys, "VelocityAveraged", found, truth, 256, wrt)


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
