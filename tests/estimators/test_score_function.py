"""The score function at program level: exact answers under every baseline, jumps, variances, coverage, mutants."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, flat, run
from scipy import special
from test_coverage import OSCILLATOR, REPEATS, TRANSIENT, Case, contributions, judge
from test_mutants import SYSTEM, transient

import pliant
from pliant import NotApplicable
from pliant.core import engine, prepare
from pliant.core.contributions import Direct
from pliant.dynamics import BAOAB, OBABO, OverdampedLangevin
from pliant.estimators import BPTT, Girsanov, ScoreFunction
from pliant.observables import Final, FirstPassageTime
from pliant.systems import _affine
from pliant.systems._system import squared_distance

LAW = SYSTEM.law(OverdampedLangevin, 0.3)
BASELINES = ["leave_one_out", "optimal", "none", lambda state: 0.4 * jnp.sum(state.position**2)]
IDS = ["leave_one_out", "optimal", "none", "function"]


@pytest.mark.parametrize("baseline", BASELINES, ids=IDS)
def test_the_average_over_a_transient(baseline):
    """The oracle of all path estimators, half of whose derivative is explicit."""
    transient(ScoreFunction(baseline))


def passage(k: complex, horizon: int, edge: float = 0.4) -> complex:
    """E[min(tau, T)] / dt for the first passage below `edge`, by Gauss quadrature of the surviving density."""
    nodes, weight = special.roots_legendre(200)
    x, weight = edge + 4 * (nodes + 1), 4 * weight
    h, kT = 0.3, 0.7
    kernel = lambda to, start: np.exp(-((to - (1 - k * h) * start) ** 2) / (4 * kT * h)) / np.sqrt(4 * np.pi * kT * h)
    density, total = kernel(x, 1.5), 1.0
    transfer = weight * kernel(x[:, None], x[None, :])
    for _ in range(horizon - 1):
        total, density = total + weight @ density, transfer @ density
    return total


@pytest.mark.parametrize("baseline", BASELINES[:2], ids=IDS[:2])
def test_a_passage_time(baseline):
    """The time of the first passage jumps: its exact derivative comes from the density of those that have not passed."""
    horizon = 12
    slope = 0.3 * _affine.complex_step(lambda k: passage(k, horizon), 0.8)
    arrival = FirstPassageTime(lambda state: jnp.all(state.position < 0.4))
    found = run(LAW, arrival, ScoreFunction(baseline), SYSTEM.wrt, horizon, 60_000)
    check(found, slope, value=0.3 * passage(0.8, horizon).real, resolution=0.03)


def final(estimator, replicas=4000, law=LAW, wrt=SYSTEM.wrt):
    return pliant.gradient(
        law, Final(squared_distance), estimator, horizon=6, replicas=replicas, key=jax.random.key(3), wrt=wrt,
        keep_replicates=True, progress=False,
    )  # fmt: skip


def test_it_is_girsanov_where_there_is_nothing_to_be_causal_about():
    np.testing.assert_allclose(
        flat(final(ScoreFunction()).replicates), flat(final(Girsanov()).replicates), rtol=1e-10, atol=1e-10
    )


def test_variances_are_in_their_order():
    """An observable far from zero: no baseline is worst, and the optimal constant best, by what theory says it saves."""
    far = Final(lambda state: jnp.sum(state.position**2) + 3.0)
    spread = {}
    for baseline in ("none", "leave_one_out", "optimal"):
        found = run(LAW, far, ScoreFunction(baseline), SYSTEM.wrt, 6, 20_000)
        spread[baseline] = 20_000 * float(found.standard_error.k) ** 2
    assert spread["optimal"] < 0.97 * spread["leave_one_out"] and spread["leave_one_out"] < 0.5 * spread["none"]
    raw = final(ScoreFunction("none"), 20_000)
    observed, product = kept_pairs(20_000)
    score = product / observed
    np.testing.assert_allclose(product, flat(raw.replicates))
    best = np.mean(observed * score**2) / np.mean(score**2)
    saved = (best - np.mean(observed)) ** 2 * np.mean(score**2)
    np.testing.assert_allclose(spread["leave_one_out"] - spread["optimal"], saved, rtol=0.25)


def kept_pairs(replicas):
    """Per-replica observables and products with the score, at the key of `final`."""
    problem = prepare.problem(LAW, Final(squared_distance).at_horizon(6), SYSTEM.wrt)
    settings = prepare.settings(problem, ScoreFunction("none"), 6, replicas, jax.random.key(3), 1e9, "fused", None)
    found, _ = engine.gather(problem, ScoreFunction("none"), settings, progress=False)
    return np.asarray(found.observable), flat(found.gradient)


def test_the_optimal_constant_is_unbiased_at_two_replicas():
    """Thirty thousand pairs of replicas, each pair with its own constants: fitted to oneself it would be far off."""
    case = Case(OSCILLATOR, 0.3, 6, 5)
    found = contributions(case, ScoreFunction("optimal"), 60_000)
    groups = jax.tree.map(lambda leaf: leaf.reshape(-1, 2, *leaf.shape[1:]), found)
    z = {}
    for name, how in {"others": lambda g: g.influence(), "oneself": _fitted_to_oneself}.items():
        values = np.asarray(jax.tree.leaves(jax.vmap(how)(groups))[0]).mean(axis=1)
        z[name] = (values.mean() - case.truth[0]) / (values.std(ddof=1) / np.sqrt(len(values)))
    assert abs(z["others"]) < 4 < abs(z["oneself"]), z


def _fitted_to_oneself(group):
    score = jax.tree.leaves(group.score)[0]
    return (group.observable - jnp.sum(group.observable * score**2) / jnp.sum(score**2)) * score


def test_a_drawn_start_keeps_its_own_score():
    """Velocities are drawn at kT: a baseline of the initial state must not touch the score of that draw."""
    law = OBABO(SYSTEM.law().potential, x0=jnp.full(1, 1.5), dt=0.3, kT=jnp.array(0.7))
    energy = Final(lambda state: jnp.sum(state.velocity**2))
    options = dict(horizon=2, replicas=40_000, key=jax.random.key(5), wrt=lambda law: law.kT, progress=False)
    pathwise = pliant.gradient(law, energy, BPTT(), **options)
    error = lambda estimate: np.hypot(float(estimate.standard_error), float(pathwise.standard_error))
    z = lambda estimate: (float(estimate.value) - float(pathwise.value)) / error(estimate)
    found = pliant.gradient(law, energy, ScoreFunction(lambda state: 2 * jnp.sum(state.velocity**2)), **options)
    bent = pliant.gradient(law, energy, Wholesale(lambda state: 2 * jnp.sum(state.velocity**2)), **options)
    assert abs(z(found)) < 4 < abs(z(bent))


class Wholesale(ScoreFunction):
    """The baseline multiplies the whole score, that of the drawn start included."""

    def replicate(self, problem, rollout):
        plain = ScoreFunction("leave_one_out").replicate(problem, rollout)
        level = self.baseline(problem.law(), rollout.initial(problem.law()))
        centred = jax.tree.map(lambda p, s: p - level * s, plain.product, plain.score)
        return Direct(plain.observable, centred)


class OptimalWithoutExplicit(ScoreFunction):
    def replicate(self, problem, rollout):
        found = super().replicate(problem, rollout)
        return dataclasses.replace(found, explicit=jax.tree.map(jnp.zeros_like, found.explicit))


class BaselineOfTheEnd(ScoreFunction):
    """The baseline looks at the final observable, which the noise has made."""

    def replicate(self, problem, rollout):
        found = ScoreFunction("leave_one_out").replicate(problem, rollout)
        return Direct(found.observable, jax.tree.map(lambda p: p * 0.5, found.product))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [OptimalWithoutExplicit("optimal"), BaselineOfTheEnd()], ids=str)
def test_mutants_fail(mutant):
    with pytest.raises(AssertionError):
        transient(mutant)


def test_bad_baselines_are_refused():
    with pytest.raises(ValueError, match="`baseline` must be one of leave_one_out"):
        ScoreFunction("mean")
    with pytest.raises(ValueError, match="returned the shape"):
        final(ScoreFunction(lambda state: jnp.ones(3)), 8)


def test_singular_laws_are_refused():
    with pytest.raises(NotApplicable, match="`ScoreFunction` cannot differentiate with respect to `x0`"):
        final(ScoreFunction(), 8, wrt=lambda law: law.x0)
    law = BAOAB(SYSTEM.law().potential, x0=jnp.ones(1))
    options = dict(horizon=2, replicas=4, key=jax.random.key(0), wrt=SYSTEM.wrt)
    with pytest.raises(NotApplicable, match="observe positions"):
        pliant.gradient(law, Final(lambda state: state.velocity[0]), ScoreFunction(), **options)
    with pytest.raises(pliant.CapabilityError, match="Leimkuhler-Matthews"):
        final(ScoreFunction(), 8, law=dataclasses.replace(LAW, scheme="leimkuhler_matthews"))


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["leave_one_out", "optimal", "none"])
def test_coverage(baseline, capsys):
    """On the double well: on the spring the whole score makes the skewness 13, and 4096 replicas are barely enough."""
    case = TRANSIENT["double well"]
    found = contributions(case, ScoreFunction(baseline), REPEATS * case.replicas)
    judge(capsys, f"ScoreFunction {baseline}, double well", found, case.truth, case.replicas)
