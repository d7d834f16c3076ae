"""Nominal 95 % intervals cover the exact gradient in 93-97 % of 1000 repeats, estimator by estimator.

A repeat is what `gradient` reports from as many replicas as the system's defaults for the atlas, or from one long
chain. All repeats are drawn in one run whose replicas are cut into groups: replicas are independent, so that groups of
them are what separate calls with as many keys would give. The same run in groups of 64 and 256 shows, without a demand,
what skewness does to few replicas: an interval of +-1.96 standard errors needs about 15 skewness^2 of them, and the
product of an observable with a path score is as skewed as 10 on the harmonic potential.

The truth is exact for the discretised dynamics at its dt, horizon and start; for Reweighting, long after the start. Its
shadow potential is exact on the harmonic potential and leaves O(dt^2) on the double well, less than a fifth of an error
bar here.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from oracle_checks import flat
from scipy import stats

from pliant.core import engine, prepare
from pliant.core.averages import BATCHES
from pliant.core.contributions import Contribution
from pliant.core.estimate import mean_and_error
from pliant.core.verdict import HALF_WIDTH
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import BPTT, FiniteDifference, ForwardSensitivity, Girsanov, Reweighting
from pliant.systems import DoubleWellSystem, HarmonicOscillator
from pliant.systems._system import System

REPEATS, FEW = 1000, (64, 256)


@dataclasses.dataclass(frozen=True)
class Case:
    """A system and a dt, with (horizon, burn-in) in steps; `batch`: steps, where one chain is cut."""

    system: System
    dt: float
    horizon: int
    burn_in: int
    batch: int = 0

    @property
    def law(self) -> Any:
        return self.system.law(OverdampedLangevin, self.dt)

    @property
    def observable(self) -> Any:
        return self.system.observable(self.burn_in)

    @property
    def replicas(self) -> int:
        return self.system.defaults["OverdampedLangevin"]["replicas"]

    @property
    def truth(self) -> np.ndarray:
        return flat(self.system.truth(self.law, self.observable, self.horizon).gradient)

    @property
    def stationary_truth(self) -> np.ndarray:
        """At twice the burn-in: the derivative of what is left of the start decays more slowly than that itself."""
        late = 2 * self.burn_in
        return flat(self.system.truth(self.law, self.system.observable(late), late + 1).gradient)


OSCILLATOR, WELL = HarmonicOscillator(k=1.3, kT=0.8), DoubleWellSystem()
TRANSIENT = {"harmonic": Case(OSCILLATOR, 0.1, 24, 8), "double well": Case(WELL, 0.02, 32, 8)}
STATIONARY = {
    "harmonic": Case(OSCILLATOR, 0.1, 120, 80, batch=400),
    "double well": Case(WELL, 0.005, 2400, 2000, batch=8000),
}
PATH = {
    "FiniteDifference": FiniteDifference(),
    "FiniteDifference, independent": FiniteDifference(step=0.2, common_random_numbers=False),
    "ForwardSensitivity": ForwardSensitivity(),
    "BPTT": BPTT(),
    "Girsanov": Girsanov(),
}


def contributions(case: Case, estimator: Any, replicas: int) -> Contribution:
    """What `gradient` gathers before it averages."""
    problem = prepare.problem(case.law, case.observable.at_horizon(case.horizon), case.system.wrt)
    estimator.check(problem)
    settings = prepare.settings(problem, estimator, case.horizon, replicas, jax.random.key(11), 1e9, "fused", None)
    return engine.gather(problem, estimator, settings, progress=False)[0]


def influences(found: Contribution, size: int) -> np.ndarray:
    """Influence values of shape (repeats, size, parameters), every repeat centred on its own replicas."""
    whole = len(found.observable) // size * size
    groups = jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, size, *leaf.shape[1:]), found)
    leaves = jax.tree.leaves(jax.jit(jax.vmap(lambda group: group.influence()))(groups))
    return np.stack([np.asarray(leaf) for leaf in leaves], axis=-1)


def coverage(values: np.ndarray, truth: np.ndarray, correlated: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The share of repeats whose interval holds the truth, and the mean deviation in a repeat's standard errors."""
    mean, error = map(np.array, zip(*(mean_and_error(repeat, correlated) for repeat in values), strict=True))
    held = np.abs(mean - truth) <= HALF_WIDTH * error
    return held.mean(axis=0), (mean - truth).mean(axis=0) / error.mean(axis=0)


def percent(shares: np.ndarray) -> str:
    return " ".join(f"{100 * share:5.1f}" for share in shares)


def report(capsys: Any, row: str, shares: list[tuple[int, np.ndarray]], skewness: Any, bias: np.ndarray) -> None:
    """One row of the table."""
    cells = "   ".join(f"{size}: {percent(share)}" for size, share in shares)
    with capsys.disabled():
        print(f"\n{row:44s} {cells}   skewness {np.round(skewness, 1)}   bias/error {np.round(bias, 2)}", end="")


def judge(capsys: Any, row: str, found: Contribution, truth: np.ndarray, size: int) -> None:
    """Print coverage at few replicas and at `size`, and demand 93-97 % there."""
    shares = [(few, coverage(influences(found, few), truth)[0]) for few in FEW]
    values = influences(found, size)
    share, bias = coverage(values, truth)
    report(capsys, row, [*shares, (size, share)], stats.skew(values.reshape(-1, values.shape[-1])), bias)
    assert np.all(np.abs(bias) < 0.2)
    assert np.all((share >= 0.93) & (share <= 0.97)), share


@pytest.mark.slow
@pytest.mark.parametrize("system", TRANSIENT)
@pytest.mark.parametrize("estimator", PATH)
def test_path_estimators(system, estimator, capsys):
    case = TRANSIENT[system]
    found = contributions(case, PATH[estimator], REPEATS * case.replicas)
    truth = central_difference(case, 0.2) if "independent" in estimator else case.truth
    judge(capsys, f"{estimator}, {system}", found, truth, case.replicas)


def central_difference(case: Case, step: float) -> np.ndarray:
    """At a wide step the expectation is that of the difference, not of the derivative: known exactly all the same."""
    slopes = []
    for parameter in ("k",) if case.system is OSCILLATOR else ("a", "b"):
        at: Any = getattr(case.system, parameter)
        moved = [dataclasses.replace(case.system, **{parameter: at * (1 + sign * step)}) for sign in (1, -1)]
        above, below = (
            float(system.truth(system.law(OverdampedLangevin, case.dt), case.observable, case.horizon).value)
            for system in moved
        )
        slopes.append((above - below) / (2 * step * at))
    return np.array(slopes)


@pytest.mark.slow
@pytest.mark.parametrize("system", STATIONARY)
def test_reweighting(system, capsys):
    case = STATIONARY[system]
    found = contributions(case, Reweighting(), REPEATS * case.replicas)
    judge(capsys, f"Reweighting, {system}", found, case.stationary_truth, case.replicas)


@pytest.mark.slow
@pytest.mark.parametrize("system", STATIONARY)
def test_reweighting_of_one_long_chain(system, capsys):
    """Every repeat is one chain, whose batches of some thirty relaxation times take the place of replicas."""
    case = STATIONARY[system]
    chain = dataclasses.replace(case, horizon=case.burn_in + BATCHES * case.batch)
    found = contributions(chain, Reweighting(BATCHES), REPEATS)
    flattened = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)
    values = influences(flattened, BATCHES)
    share, bias = coverage(values, case.stationary_truth, correlated=True)
    skewness = stats.skew(values.reshape(-1, values.shape[-1]))
    report(capsys, f"Reweighting, {system}, {BATCHES} batches of a chain", [(BATCHES, share)], skewness, bias)
    assert np.all(np.abs(bias) < 0.2)
    assert np.all((share >= 0.93) & (share <= 0.97)), share
