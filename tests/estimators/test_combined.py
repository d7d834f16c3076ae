"""Combinations of unbiased estimators: exact answers, weights, who is left out, who is refused, and coverage."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import REPEATS, check, covers, flat, gathered, run

import pliant
from pliant.core.contributions import Direct
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import (
    BPTT,
    Combined,
    FiniteDifference,
    ForwardSensitivity,
    Girsanov,
    Implicit,
    Reweighting,
    TruncatedBPTT,
)
from pliant.estimators import combined as module
from pliant.estimators.combined import _least_variance, _Pool
from pliant.observables import Final, TimeAverage
from pliant.systems import DoubleWellSystem, OrnsteinUhlenbeck
from pliant.systems._system import squared_distance

SYSTEM, HORIZON, BURN_IN, DT = OrnsteinUhlenbeck(k=0.8, kT=0.7, x0=1.5), 8, 2, 0.3
LAW = SYSTEM.law(OverdampedLangevin, DT)
OBSERVABLE = TimeAverage(squared_distance, burn_in=BURN_IN)
TRUTH = SYSTEM.truth(LAW, OBSERVABLE, HORIZON)


def transient(estimator: Any, replicas: int = 20_000) -> Any:
    estimate = run(LAW, OBSERVABLE, estimator, SYSTEM.wrt, HORIZON, replicas)
    check(estimate, TRUTH.gradient, value=TRUTH.value, resolution=0.04)
    return estimate


def test_it_is_unbiased_and_at_least_as_good_as_its_best_member():
    found = transient(Combined(BPTT(), Girsanov()))
    alone = [transient(member) for member in (BPTT(), Girsanov())]
    assert found.standard_error.k < min(float(one.standard_error.k) for one in alone)
    assert found.verdict.trusted and any("weights" in note for note in found.verdict.notes)


def test_one_member_is_itself_and_twins_share():
    single = transient(BPTT())
    for combined in (Combined(BPTT()), Combined(BPTT(), ForwardSensitivity())):
        found = transient(combined)
        np.testing.assert_allclose(flat(found.value), flat(single.value), rtol=1e-9)
        np.testing.assert_allclose(flat(found.standard_error), flat(single.standard_error), rtol=1e-6)
        assert found.verdict.trusted


def test_a_member_without_variance_is_left_out():
    """Over the barrier BPTT has tails of index 0.8: all weight goes to Girsanov."""
    well = DoubleWellSystem()
    law, observable = well.law(OverdampedLangevin, 0.02), Final(squared_distance)
    hopeless, good, found = (
        run(law, observable, estimator, well.wrt, 100, 4000) for estimator in (BPTT(), Girsanov(), Combined())
    )
    assert any("tail index" in reason for reason in hopeless.verdict.reasons)
    assert not any("tail index" in reason for reason in found.verdict.reasons)
    assert any("left out" in note and "BPTT" in note for note in found.verdict.notes)
    truth = well.truth(law, observable, 100)
    z = (flat(found.value) - flat(truth.gradient)) / flat(found.standard_error)
    assert np.all(np.abs(z) < 4), z
    assert np.all(flat(found.standard_error) < 1.02 * flat(good.standard_error))


def left_out(found: Any, size: int) -> float:
    """The share of groups of `size` replicas in which a member was left out of a fold."""
    groups = (jax.tree.map(lambda leaf, i=i: leaf[i : i + size], found) for i in range(0, len(found.observable), size))
    return float(np.mean([np.any(np.all(group._combine()[1] == 0, axis=2)) for group in groups]))


@pytest.mark.slow
def test_members_with_all_moments_are_rarely_left_out(monkeypatch):
    """Products of two squared normals: their tail index is seen above 1/2 in one of six sets of 2000, by chance."""
    found = gathered(LAW, OBSERVABLE, Combined(), SYSTEM.wrt, HORIZON, 200 * 2000)
    assert left_out(found, 2000) < 0.05
    # The mutant without the error of the index.
    monkeypatch.setattr(module, "tail_index_error", lambda index, size: 0.0 * index)
    assert left_out(found, 2000) > 0.1


def test_pathwise_members_are_left_out_where_the_observable_jumps():
    above = Final(lambda state: jnp.where(state.position[0] > 1.0, 1.0, 0.0))
    found, good = (run(LAW, above, estimator, SYSTEM.wrt, HORIZON, 20_000) for estimator in (Combined(), Girsanov()))
    assert found.verdict.trusted and any("discontinuous" in note for note in found.verdict.notes)
    np.testing.assert_allclose(flat(found.standard_error), flat(good.standard_error), rtol=0.01)
    alone = run(LAW, above, Combined(BPTT(), ForwardSensitivity()), SYSTEM.wrt, HORIZON, 100)
    assert any("discontinuous" in reason for reason in alone.verdict.reasons)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ((BPTT(), FiniteDifference()), "FiniteDifference estimates a central difference"),
        ((FiniteDifference(), FiniteDifference(0.1)), "no error bar"),
        ((BPTT(), Reweighting()), "one target"),
        ((BPTT(), TruncatedBPTT()), "no error bar"),
        ((Implicit(method="grid"), Reweighting()), "solves this problem without any"),
    ],
)
def test_members_of_other_targets_are_refused(members, why):
    with pytest.raises(pliant.NotApplicable, match=why):
        run(LAW, OBSERVABLE, Combined(*members), SYSTEM.wrt, HORIZON, 100)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`members`.*BPTT, a class; call it"):
        Combined(BPTT)  # pyright: ignore
    with pytest.raises(ValueError, match="`folds`.*1"):
        Combined(BPTT(), folds=1)


def test_few_replicas_share_equally():
    found = run(LAW, OBSERVABLE, Combined(), SYSTEM.wrt, HORIZON, 6)
    alone = [run(LAW, OBSERVABLE, member, SYSTEM.wrt, HORIZON, 6) for member in (BPTT(), Girsanov())]
    np.testing.assert_allclose(flat(found.value), np.mean([flat(one.value) for one in alone], axis=0), rtol=1e-9)


def test_weights_are_those_of_the_exact_covariance():
    rng = np.random.default_rng(0)
    covariance = np.array([[2.0, 0.9, 0.3], [0.9, 1.0, 0.2], [0.3, 0.2, 3.0]])
    values = rng.multivariate_normal(np.zeros(3), covariance, size=400_000)
    exact = np.linalg.solve(covariance, np.ones(3))
    np.testing.assert_allclose(_least_variance(values[:, :, None])[:, 0], exact / exact.sum(), atol=0.01)


# Mutants.


class Halved(BPTT):
    """A biased member: half the gradient, and as little noise."""

    def replicate(self, problem, rollout):
        found = super().replicate(problem, rollout)
        return Direct(found.observable, jax.tree.map(lambda g: 0.5 * g, found.gradient), found.unfinished)


def test_a_biased_member_fails_the_oracle_and_is_found():
    estimate = run(LAW, OBSERVABLE, Combined(Halved(), Girsanov()), SYSTEM.wrt, HORIZON, 20_000)
    assert any("members disagree" in reason for reason in estimate.verdict.reasons)
    with pytest.raises(AssertionError):
        check(estimate, TRUTH.gradient, resolution=0.04)


class Unnormalised(Combined):
    """Weights that forget to sum to one: inverse correlations alone."""

    def replicate(self, problem, rollout):
        found = super().replicate(problem, rollout)
        return _Unnormalised(found.members, found.names, found.folds, found.remarks)


class _Unnormalised(_Pool):
    def _combine(self):
        values, weights = super()._combine()
        return values * 1.2, weights


def test_weights_that_do_not_sum_to_one_fail():
    with pytest.raises(AssertionError):
        transient(Unnormalised())


class InSample(_Pool):
    """Weights from the very replicas that they weigh."""

    def _combine(self):
        everyone = self._members(np.arange(self._replicas))
        weights = _least_variance(everyone)
        return np.sum(weights * everyone, axis=1), weights[None]


@pytest.mark.slow
@pytest.mark.parametrize("pool", [_Pool, InSample])
def test_cross_fitting_is_unbiased_where_in_sample_weights_are_not(pool):
    """Exponential members whose sample mean and variance go together: the smaller of the two gets the weight."""
    rng = np.random.default_rng(1)
    means = []
    for values in rng.exponential(size=(4000, 2, 40)):
        members = tuple(Direct(v, {"p": v}) for v in values)
        means.append(pool(members, ("a", "b"), 5, ()).influence()["p"].mean())
    z = (np.mean(means) - 1) / (np.std(means) / np.sqrt(len(means)))
    assert (abs(z) < 4) == (pool is _Pool), z


@pytest.mark.slow
@pytest.mark.parametrize("size", [256, 4096])
def test_coverage(size, capsys):
    found = gathered(LAW, OBSERVABLE, Combined(), SYSTEM.wrt, HORIZON, REPEATS * size)
    covers(capsys, "Combined, harmonic", found, TRUTH.gradient, size)
