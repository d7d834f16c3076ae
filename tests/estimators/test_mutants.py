"""Broken estimators, each off by one classical mistake: the check that all oracles use must fail every one of them.

A mutant is either an estimator that spoils what its parent hands over, or an estimator that sees a law bent in one
place (`Bent`), such as a path density that is not detached.
"""

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import pytest
from oracle_checks import check, flat, name, run

import pliant
from pliant.core import engine, prepare
from pliant.core.contributions import Covariance
from pliant.core.estimator import Problem
from pliant.core.laws import HasPathDensity, HasStationaryDensity
from pliant.core.trees import stop_gradient
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.estimators import BPTT, FiniteDifference, ForwardSensitivity, Girsanov, Implicit, Reweighting
from pliant.observables import Final, TimeAverage
from pliant.systems import OrnsteinUhlenbeck
from pliant.systems._system import squared_distance

SYSTEM, HORIZON, BURN_IN, DT = OrnsteinUhlenbeck(k=0.8, kT=0.7, x0=1.5), 8, 2, 0.3
WEIGHTED = lambda state, law: law.potential.k**2 * jnp.sum(state.position**2)


def transient(estimator: Any) -> None:
    """The oracle of path estimators: the average of k^2 x^2 over a transient of the Ornstein-Uhlenbeck process."""
    law = SYSTEM.law(OverdampedLangevin, DT)
    plain = SYSTEM.truth(law, TimeAverage(squared_distance, burn_in=BURN_IN), HORIZON)
    exact = 2 * 0.8 * plain.value + 0.8**2 * plain.gradient.k
    estimate = run(law, TimeAverage(WEIGHTED, burn_in=BURN_IN), estimator, SYSTEM.wrt, HORIZON, 60_000)
    check(estimate, exact, value=0.8**2 * plain.value, resolution=0.04)


def stationary(estimator: Any) -> None:
    """The oracle of stationary estimators: BAOAB samples the harmonic density exactly, and d<k^2 x^2>/dk = kT."""
    law = BAOAB(SYSTEM.law().potential, x0=jnp.zeros(1), dt=0.5, kT=0.7)
    estimate = run(law, TimeAverage(WEIGHTED, burn_in=64), estimator, SYSTEM.wrt, 512, 4000)
    check(estimate, 0.7, value=0.8 * 0.7, resolution=0.04)


class Dumbbell(pliant.Balance):
    """Two beads on a spring k, pulled apart by f to a distance of f/k; where they are together is a zero mode."""

    k: jax.Array
    f: jax.Array

    def guess(self):
        return jnp.zeros(2)

    def energy(self, u):
        return 0.5 * self.k * (u[1] - u[0]) ** 2 - self.f * (u[1] - u[0])


def balanced(estimator: Any) -> None:
    """The oracle of balances: the work f (u_1 - u_0) = f^2 / k, half of whose derivative by f is explicit."""
    k, f = jnp.array(0.8), jnp.array(1.5)
    estimate = pliant.gradient(Dumbbell(k, f), Final(lambda u, law: law.f * (u[1] - u[0])), estimator)
    check(estimate, Dumbbell(-((f / k) ** 2), 2 * f / k), value=f**2 / k)


@pytest.mark.parametrize("estimator", [FiniteDifference(), ForwardSensitivity(), BPTT(), Girsanov()], ids=name)
def test_originals_pass_the_transient(estimator):
    transient(estimator)


def test_original_passes_the_stationary_state():
    stationary(Reweighting())


def test_original_passes_the_balance():
    balanced(Implicit())


# Laws bent in one place.


class Bent(HasPathDensity, HasStationaryDensity):
    """A law that does everything as the inner one does."""

    inner: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def noise(self):
        return self.inner.noise

    def init(self, key):
        return self.inner.init(key)

    def step(self, state, noise, t):
        return self.inner.step(state, noise, t)

    def log_density(self, state):
        return self.inner.log_density(state)

    def path_step(self, memory, state, noise, next_state, t):
        return self.inner.path_step(memory, state, noise, next_state, t)


class Undetached(Bent):
    """The noise counts as free: the step that rebuilds it moves with the parameters, and the score vanishes."""

    def path_step(self, memory, state, noise, next_state, t):
        return self.inner.path_step(memory, state, noise, self.inner.step(state, noise, t), t)


class OffByOne(Bent):
    """The force of a step's score is taken at the step's end: it anticipates the noise."""

    def path_step(self, memory, state, noise, next_state, t):
        after = stop_gradient(self.inner).step(next_state, noise, t)
        return self.inner.path_step(memory, next_state, noise, after, t)


class HalfTheScore(Bent):
    """A diffusion constant of twice its size in the weights."""

    def path_step(self, memory, state, noise, next_state, t):
        memory, log_density = self.inner.path_step(memory, state, noise, next_state, t)
        return memory, 0.5 * log_density


class WithoutBeta(Bent):
    """The energy in place of the energy over kT."""

    def log_density(self, state):
        return self.inner.kT * self.inner.log_density(state)


class WrongSign(Bent):
    """The Boltzmann factor upside down."""

    def log_density(self, state):
        return -self.inner.log_density(state)


class Truncated(Bent):
    """Backpropagation stops half-way."""

    def step(self, state, noise, t):
        held = jax.tree.map(lambda x: jnp.where(t == HORIZON // 2, jax.lax.stop_gradient(x), x), state)
        return self.inner.step(held, noise, t)


class Shortsighted(Bent):
    """Every step forgets how its state came about."""

    def step(self, state, noise, t):
        return self.inner.step(jax.lax.stop_gradient(state), noise, t)


class Late(Bent):
    """The parameter enters from the second step on."""

    def step(self, state, noise, t):
        live, held = self.inner.step(state, noise, t), stop_gradient(self.inner).step(state, noise, t)
        return jax.tree.map(lambda a, b: jnp.where(t == 0, b, a), live, held)


class BentBalance(pliant.Balance):
    """A balance that does everything as the inner one does."""

    inner: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def minimises(self):
        return self.inner.minimises

    def guess(self):
        return self.inner.guess()

    def energy(self, u):
        return self.inner.energy(u)


class Backwards(BentBalance):
    """The implicit derivative without its minus sign."""

    def energy(self, u):
        return 2 * stop_gradient(self.inner).energy(u) - self.inner.energy(u)


class Unmoved(BentBalance):
    """The solution does not follow the parameters: the explicit derivative alone."""

    def energy(self, u):
        return stop_gradient(self.inner).energy(u)


class Unseen(BentBalance):
    """The observable looks at a law that is held: the implicit derivative alone."""

    def __getattr__(self, name: str) -> Any:
        return getattr(stop_gradient(self.inner), name)


class Lifted(BentBalance):
    """Zero modes get a weak spring in place of being left out: every other mode is a little too stiff."""

    def energy(self, u):
        return self.inner.energy(u) + 0.5e-6 * jnp.sum(u**2)


class BentProblem(Problem):
    """The problem under a bent law."""

    bend: Callable = eqx.field(static=True, default=Bent)

    def law(self, parameters=None):
        return self.bend(super().law(parameters))


def under(base: type, bend: type) -> type:
    """The estimator `base` that sees the law through `bend`."""

    def bent(problem: Problem) -> Problem:
        return BentProblem(problem.parameters, problem.rest, problem.observable, bend)

    class Mutant(base):
        def replicate(self, problem, rollout):
            return super().replicate(bent(problem), rollout)

        def solve(self, problem):
            return super().solve(bent(problem))

    Mutant.__name__ = f"{base.__name__}-{bend.__name__}"
    return Mutant


@pytest.mark.parametrize("base", [FiniteDifference, ForwardSensitivity, BPTT, Girsanov], ids=name)
def test_bending_nothing_passes(base):
    """The instrument itself does no harm."""
    transient(under(base, Bent)())


def test_bending_nothing_passes_the_balance():
    balanced(under(Implicit, BentBalance)())


BENT = [
    *(under(Girsanov, bend) for bend in (Undetached, OffByOne, HalfTheScore)),
    *(under(BPTT, bend) for bend in (Truncated, Shortsighted, Late)),
    *(under(ForwardSensitivity, bend) for bend in (Truncated, Shortsighted)),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", BENT, ids=name)
def test_bent_path_estimators_fail(mutant):
    with pytest.raises(AssertionError):
        transient(mutant())


@pytest.mark.parametrize("bend", [WithoutBeta, WrongSign], ids=name)
def test_bent_reweighting_fails(bend):
    with pytest.raises(AssertionError):
        stationary(under(Reweighting, bend)())


@pytest.mark.slow
@pytest.mark.parametrize("bend", [Backwards, Unmoved, Unseen, Lifted], ids=name)
def test_bent_implicit_derivatives_fail(bend):
    with pytest.raises(AssertionError):
        balanced(under(Implicit, bend)())


# Estimators that spoil what they hand over.


class GirsanovWithoutExplicit(Girsanov):
    def replicate(self, problem, rollout):
        return _without_explicit(super().replicate(problem, rollout))


class ReweightingWithoutExplicit(Reweighting):
    def replicate(self, problem, rollout):
        return _without_explicit(super().replicate(problem, rollout))


def _without_explicit(contribution):
    return dataclasses.replace(contribution, explicit=jax.tree.map(jnp.zeros_like, contribution.explicit))


class BPTTWithoutExplicit(BPTT):
    """The observable looks at a law that is held."""

    def replicate(self, problem, rollout):
        held = stop_gradient(problem.law())
        observable = TimeAverage(lambda state: WEIGHTED(state, held), burn_in=BURN_IN, horizon=HORIZON)
        return super().replicate(Problem(problem.parameters, problem.rest, observable), rollout)


class OneStepTooMany(FiniteDifference):
    """The difference over the step in place of twice the step."""

    def replicate(self, problem, rollout):
        found = super().replicate(problem, rollout)
        return dataclasses.replace(found, gradient=jax.tree.map(lambda g: 2 * g, found.gradient))


class NoisyDifference(FiniteDifference):
    """Common random numbers promised, independent ones drawn."""

    def replicate(self, problem, rollout):
        return FiniteDifference(self.step, common_random_numbers=False).replicate(problem, rollout)


class ForwardDifference(FiniteDifference):
    """A one-sided difference over a wide step."""

    def replicate(self, problem, rollout):
        width = 0.4
        value, _ = problem.observe(rollout, problem.parameters)
        moved, _ = problem.observe(rollout, jax.tree.map(lambda p: p + width, problem.parameters))
        found = super().replicate(problem, rollout)
        return dataclasses.replace(found, gradient=jax.tree.map(lambda g: (moved - value) / width, found.gradient))


SPOILED = [GirsanovWithoutExplicit, BPTTWithoutExplicit, OneStepTooMany, NoisyDifference, ForwardDifference]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SPOILED, ids=name)
def test_spoiled_path_estimators_fail(mutant):
    with pytest.raises(AssertionError):
        transient(mutant())


def test_reweighting_without_explicit_derivative_fails():
    with pytest.raises(AssertionError):
        stationary(ReweightingWithoutExplicit())


class Anew(BentBalance):
    """A law of its own type: nothing compiled for another one serves it."""


class Unprojected(under(Implicit, Anew)):
    """Zero modes are left in: Gaussian elimination in place of least squares with minimal norm."""

    def solve(self, problem):
        with mock.patch.object(lineax, "SVD", lineax.LU):
            return super().solve(problem)


def test_zero_modes_left_in_fail():
    """The division by a zero pivot is not even finite."""
    with pytest.raises(eqx.EquinoxRuntimeError, match="not well-posed"):
        balanced(Unprojected())


# Centring: without it the mean is right and the variance is not; with the replica itself in the mean it is biased.


class Uncentred(Covariance):
    def influence(self):
        return jax.tree.map(jnp.add, self.product, self.explicit)


class SelfCentred(Covariance):
    def influence(self):
        centred = lambda product, score: product - self.observable * jnp.mean(score, axis=0)
        return jax.tree.map(lambda e, p, s: e + centred(p, s), self.explicit, self.product, self.score)


def recentred(how: type) -> type:
    """`Girsanov` with its contributions centred in another way."""

    class Mutant(Girsanov):
        def replicate(self, problem, rollout):
            found = super().replicate(problem, rollout)
            return how(found.observable, found.score, found.product, found.explicit)

    Mutant.__name__ = f"Girsanov-{how.__name__}"
    return Mutant


def test_uncentred_score_is_seen_in_the_variance():
    """O + 10 has the same gradient as O: centring makes its error the same as well."""
    law = SYSTEM.law(OverdampedLangevin, DT)
    shifted = TimeAverage(lambda state: jnp.sum(state.position**2) + 10.0, burn_in=BURN_IN)
    plain = SYSTEM.truth(law, TimeAverage(squared_distance, burn_in=BURN_IN), HORIZON)
    good = run(law, shifted, Girsanov(), SYSTEM.wrt, HORIZON, 20_000)
    check(good, plain.gradient, value=plain.value + 10)
    bad = run(law, shifted, recentred(Uncentred)(), SYSTEM.wrt, HORIZON, 20_000)
    assert float(bad.standard_error.k) > 3 * float(good.standard_error.k)
    with pytest.raises(AssertionError):
        check(bad, plain.gradient, resolution=2 * abs(float(good.standard_error.k / plain.gradient.k)))


@pytest.mark.parametrize("how", [Covariance, SelfCentred], ids=name)
def test_centring_on_oneself_is_biased_at_few_replicas(how):
    """The mean over pairs of replicas, thirty thousand pairs: leave-one-out is unbiased, the plain mean loses half."""
    law, observable = SYSTEM.law(OverdampedLangevin, DT), TimeAverage(squared_distance, burn_in=BURN_IN)
    truth = SYSTEM.truth(law, observable, HORIZON)
    problem = prepare.problem(law, observable.at_horizon(HORIZON), SYSTEM.wrt)
    settings = prepare.settings(problem, Girsanov(), HORIZON, 60_000, jax.random.key(2026), 1e9, "fused", None)
    found, _ = engine.gather(problem, Girsanov(), settings, progress=False)
    pairs = jax.tree.map(lambda leaf: leaf.reshape(-1, 2, *leaf.shape[1:]), found)
    rebuilt = how(pairs.observable, pairs.score, pairs.product, pairs.explicit)
    values = flat(jax.tree.map(lambda leaf: jnp.mean(leaf, axis=1), jax.vmap(lambda pair: pair.influence())(rebuilt)))
    z = (values.mean() - float(truth.gradient.k)) / (values.std(ddof=1) / np.sqrt(len(values)))
    assert (abs(z) < 4) == (how is Covariance), z
