"""Control variates: exact answers with less variance, what is refused, wrong expectations, and coverage."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import REPEATS, affine_truth, check, covers, flat, gathered, run

import pliant
from pliant.core.contributions import Direct
from pliant.dynamics import OBABO, OverdampedLangevin, VelocityVerlet
from pliant.estimators import BPTT, ControlVariates, Girsanov, Reweighting
from pliant.estimators import _variates as variates_of
from pliant.estimators.control_variates import _Controlled, _slopes
from pliant.observables import Final, TimeAverage
from pliant.systems import HarmonicOscillator, OrnsteinUhlenbeck
from pliant.systems._system import squared_distance

SYSTEM, HORIZON, BURN_IN, DT = OrnsteinUhlenbeck(k=0.8, kT=0.7, x0=1.5), 8, 2, 0.3
LAW = SYSTEM.law(OverdampedLangevin, DT)
OBSERVABLE = TimeAverage(squared_distance, burn_in=BURN_IN)
TRUTH = SYSTEM.truth(LAW, OBSERVABLE, HORIZON)
MEAN = lambda law: 1.5 * (1 - DT * law.potential.k) ** HORIZON
POSITION = Final(lambda state: state.position)


def transient(estimator: Any, replicas: int = 20_000) -> Any:
    estimate = run(LAW, OBSERVABLE, estimator, SYSTEM.wrt, HORIZON, replicas)
    check(estimate, TRUTH.gradient, value=TRUTH.value, resolution=0.04)
    return estimate


# The share of the variance that may be left; measured shares are about a tenth lower.
@pytest.mark.parametrize(
    ("estimator", "variates", "left"),
    [
        (BPTT(), None, 0.25),
        (BPTT(), "score", 0.3),
        (BPTT(), "linear", 0.55),
        (BPTT(), ("noise", (POSITION, MEAN)), 0.55),
        (Girsanov(), None, 0.75),
    ],
)
def test_the_truth_with_less_variance(estimator, variates, left):
    plain, controlled = transient(estimator), transient(ControlVariates(estimator, variates))
    assert (controlled.standard_error.k / plain.standard_error.k) ** 2 < left
    assert any("of the variance" in note for note in controlled.verdict.notes)


def test_the_oscillator_from_rest_is_nearly_linear():
    """Far from the minimum at low temperature the noise is a perturbation: its linear part is nearly all of it."""
    system = HarmonicOscillator(k=1.3, kT=0.01, x0=2.0, v0=0.0)
    law, observable = system.law(OBABO, 0.1), Final(squared_distance)
    truth = affine_truth(law, observable, 12, "k")
    plain, controlled = (
        run(law, observable, estimator, system.wrt, 12, 2000)
        for estimator in (BPTT(), ControlVariates(BPTT(), "linear"))
    )
    check(controlled, truth[1], value=truth[0])
    assert controlled.standard_error.k < 0.1 * plain.standard_error.k


def test_a_stationary_average_keeps_its_meaning():
    law = SYSTEM.law(OverdampedLangevin, DT)
    late = TimeAverage(squared_distance, burn_in=40)
    truth = SYSTEM.truth(law, TimeAverage(squared_distance, burn_in=200), 201)
    found = run(law, late, ControlVariates(Reweighting()), SYSTEM.wrt, 60, 20_000)
    check(found, truth.gradient, resolution=0.05)
    assert any("invariant density" in note for note in found.verdict.notes)


def test_no_variates_are_no_harm():
    law = VelocityVerlet(SYSTEM.law().potential, x0=jnp.ones(1), dt=0.1)
    plain, controlled = (
        run(law, OBSERVABLE, estimator, SYSTEM.wrt, HORIZON, 50) for estimator in (BPTT(), ControlVariates(BPTT()))
    )
    np.testing.assert_allclose(flat(controlled.value), flat(plain.value), rtol=1e-12)
    few = run(LAW, OBSERVABLE, ControlVariates(BPTT()), SYSTEM.wrt, HORIZON, 10)
    assert any("need 20 replicas" in note for note in few.verdict.notes)


@pytest.mark.parametrize(
    ("law", "variates", "wrt", "why"),
    [
        (LAW, "score", lambda law: law.x0, "no density"),
        (VelocityVerlet(x0=jnp.ones(1)), "score", lambda law: law.x0, "no density"),
        (VelocityVerlet(x0=jnp.ones(1)), "noise", lambda law: law.x0, "no normal noise"),
    ],
)
def test_missing_capabilities_are_named(law, variates, wrt, why):
    with pytest.raises(pliant.NotApplicable, match=why):
        run(law, OBSERVABLE, ControlVariates(BPTT(), variates), wrt, HORIZON, 50)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`variates`.*'scores'"):
        ControlVariates(BPTT(), "scores")
    with pytest.raises(ValueError, match="`estimator`.*BPTT"):
        ControlVariates(BPTT)  # pyright: ignore
    with pytest.raises(ValueError, match="`folds`"):
        ControlVariates(BPTT(), folds=1)


# Mutants.


def test_a_variate_whose_mean_is_not_zero_fails_and_is_found():
    """The mean of the continuous process in place of the discretised one."""
    wrong = lambda law: 1.5 * jnp.exp(-DT * HORIZON * law.potential.k)
    estimate = run(LAW, OBSERVABLE, ControlVariates(BPTT(), (POSITION, wrong)), SYSTEM.wrt, HORIZON, 40_000)
    assert any("off zero" in reason for reason in estimate.verdict.reasons)
    with pytest.raises(AssertionError):
        check(estimate, TRUTH.gradient, resolution=0.04)


def test_uncentred_squares_fail(monkeypatch):
    """Squares of the noise that keep their mean of one."""
    right = variates_of.noise
    monkeypatch.setattr(variates_of, "noise", lambda problem, rollout: right(problem, rollout) + jnp.array([0.0, 1.0]))
    with pytest.raises(AssertionError):
        transient(ControlVariates(BPTT(), "noise", folds=4))


class InSample(_Controlled):
    """Coefficients from the very replicas that they are applied to."""

    def _controlled(self):
        values = np.asarray(self.inner.influence()["p"])[:, None]
        variates = self._of(0)
        return values - (variates @ _slopes(variates, values[:, 0]))[:, None]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [_Controlled, InSample])
def test_cross_fitting_is_unbiased_where_in_sample_coefficients_are_not(kind):
    """E[z^2] = 1 with the variate z: slope and mean of a sample go together."""
    means = []
    for z in np.random.default_rng(2).normal(size=(4000, 40)):
        means.append(kind(Direct(z, {"p": z**2}), {"z": z[:, None]}, {}, 5).influence()["p"].mean())
    z = (np.mean(means) - 1) / (np.std(means) / np.sqrt(len(means)))
    assert (abs(z) < 4) == (kind is _Controlled), z


@pytest.mark.slow
@pytest.mark.parametrize("base", [BPTT(), Girsanov()], ids=["BPTT", "Girsanov"])
def test_coverage(base, capsys):
    found = gathered(LAW, OBSERVABLE, ControlVariates(base), SYSTEM.wrt, HORIZON, REPEATS * 4096)
    covers(capsys, f"ControlVariates({type(base).__name__}), harmonic", found, TRUTH.gradient, 4096)
