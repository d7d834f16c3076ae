"""Truncated backpropagation: equal to the whole within the window, and off by the closed form beyond it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, flat
from test_mutants import SYSTEM

import pliant
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import BPTT, TruncatedBPTT
from pliant.estimators.truncated_bptt import _Truncated
from pliant.observables import Final, TimeAverage, Work
from pliant.potentials import DrivenTrap

H, HORIZON = 0.2, 11
LAW = SYSTEM.law(OverdampedLangevin, H)
MOMENTS = Final(lambda state: jnp.stack([state.position[0], state.position[0] ** 2]))


def gradient(estimator, observable=MOMENTS, wrt=SYSTEM.wrt, law=LAW, replicas=20_000):
    return pliant.gradient(
        law, observable, estimator, horizon=HORIZON, replicas=replicas, key=jax.random.key(4), wrt=wrt,
        keep_replicates=True, progress=False,
    )  # fmt: skip


def closed_form(window: int) -> np.ndarray:
    """d<x_n>/dk and d<x_n^2>/dk through the states since the last cut alone.

    There dx_n/dk = -h sum_j a^(n-1-j) x_j, and <x_n x_j> = a^(n-j) <x_j^2>.
    """
    a, n = 1 - SYSTEM.k * H, HORIZON
    j = np.arange((n - 1) // window * window, n)
    mean = SYSTEM.x0 * a**j
    square = mean**2 + 2 * SYSTEM.kT * H * (1 - a ** (2 * j)) / (1 - a**2)
    return np.array([-H * a ** (n - 1) * SYSTEM.x0 * len(j), -2 * H * np.sum(a ** (2 * (n - j) - 1) * square)])


@pytest.mark.parametrize("window", [1, 3, 4, 10])
def test_the_closed_form_of_the_truncated_derivative(window):
    assert len(np.arange((HORIZON - 1) // window * window, HORIZON)) == (HORIZON - 1) % window + 1
    found = gradient(TruncatedBPTT(window, measure=False))
    check(found, closed_form(window))
    with pytest.raises(AssertionError):
        check(found, closed_form(HORIZON))
    assert any("BIASED" in note for note in found.verdict.notes)


def test_the_whole_derivative_has_no_bias():
    np.testing.assert_allclose(closed_form(HORIZON)[0], -HORIZON * H * (1 - SYSTEM.k * H) ** (HORIZON - 1) * SYSTEM.x0)


@pytest.mark.parametrize("window", [HORIZON, 50])
@pytest.mark.parametrize("law", [LAW, OverdampedLangevin(DrivenTrap(), dt=0.1)], ids=["final", "work"])
def test_a_window_of_the_horizon_is_the_whole(window, law):
    options = dict(observable=MOMENTS if law is LAW else Work(), wrt=lambda law: (law.potential, law.x0), law=law)
    whole, cut = (gradient(estimator, **options, replicas=16) for estimator in (BPTT(), TruncatedBPTT(window)))
    np.testing.assert_allclose(flat(cut.replicates), flat(whole.replicates), rtol=1e-12, atol=1e-14)
    assert not any("twice the window" in note for note in cut.verdict.notes)


def test_a_drive_is_differentiated_through_the_window():
    """The work depends on the potential by itself at every time: cutting the state leaves that whole."""
    law = OverdampedLangevin(DrivenTrap(), dt=0.1)
    assert np.isfinite(flat(gradient(TruncatedBPTT(3), Work(), lambda law: law.potential, law, 16).value)).all()


def test_the_start_is_forgotten():
    assert np.all(flat(gradient(TruncatedBPTT(4), wrt=lambda law: law.x0, replicas=16).value) == 0)


def test_the_bias_is_measured_and_speaks_against_trust():
    found = gradient(TruncatedBPTT(2))
    change = np.linalg.norm(closed_form(4) - closed_form(2))
    note = next(note for note in found.verdict.notes if "twice the window" in note)
    told, error = (float(word) for word in (note.split(" by ")[1].split()[0], note.split(" ± ")[1].split(",")[0]))
    assert abs(told - change) < 4 * error + 0.05 * change
    assert not found.verdict.trusted and "truncation bias" in found.verdict.reasons[0]


def test_a_window_longer_than_the_memory_is_trusted():
    average = TimeAverage(lambda state: jnp.sum(state.position**2))
    law = SYSTEM.law(OverdampedLangevin, 0.5)
    found = pliant.gradient(
        law,
        average,
        TruncatedBPTT(32),
        horizon=200,
        replicas=500,
        key=jax.random.key(1),
        wrt=SYSTEM.wrt,
        progress=False,
    )
    assert found.verdict.trusted


@pytest.mark.parametrize(
    ("change", "spread", "words"),
    [(0.0, 0.01, None), (5.0, 0.01, "is larger than the error bar"), (0.0, 50.0, "may be larger than the error bar")],
)
def test_a_bias_that_is_not_known_to_be_small_is_not_trusted(change, spread, words):
    """The gradient has an error bar of 0.1 here."""
    noise = jax.random.normal(jax.random.key(0), (2, 400))
    narrow = 1 + 2 * noise[0]
    found = _Truncated(jnp.zeros(400), narrow, None, narrow + change + spread * noise[1], 50).findings()
    assert len(found) == (words is not None) and all(words in reason for reason in found)


class Uncut(TruncatedBPTT):
    """A window that is never closed."""

    def replicate(self, problem, rollout):
        return BPTT().replicate(problem, rollout)


class OneStepLong(TruncatedBPTT):
    """Cut one step late."""

    def replicate(self, problem, rollout):
        return TruncatedBPTT(self.window + 1, measure=False).replicate(problem, rollout)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [Uncut(4), OneStepLong(4)], ids=lambda m: type(m).__name__)
def test_mutants_fail(mutant):
    with pytest.raises(AssertionError):
        check(gradient(mutant), closed_form(4))


@pytest.mark.parametrize("window", [0, 2.5, True])
def test_bad_windows(window):
    with pytest.raises(ValueError, match="`window` must be a whole number >= 1"):
        TruncatedBPTT(window)
