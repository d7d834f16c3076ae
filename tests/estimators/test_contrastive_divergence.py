"""Contrastive divergence: its bias in closed form, its limit, its mutants, and what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, run

import pliant
from pliant.dynamics import BAOAB, OverdampedLangevin, VelocityVerlet
from pliant.estimators import BPTT, Combined, ContrastiveDivergence
from pliant.estimators.contrastive_divergence import _FromData, _score
from pliant.observables import Final, LogLikelihood
from pliant.potentials import Harmonic

DATA = jnp.array([[-1.0], [0.4], [2.5], [1.7]])
SQUARE, K, KT, DT = float(jnp.mean(DATA**2)), 0.8, 0.7, 0.3
LAW = OverdampedLangevin(Harmonic(jnp.array(K)), x0=jnp.zeros(1), dt=DT, kT=KT)
# The scheme x' = A x + noise keeps a Gaussian of variance kT / [k (1 - k h / 2)], and the law knows it exactly.
A, VARIANCE, SLOPE = 1 - K * DT, KT / (K * (1 - K * DT / 2)), (1 - K * DT) / (2 * KT)
# The derivative by k of the mean log-likelihood -E[x^2] / 2V - log(V) / 2.
GRADIENT = SLOPE * (VARIANCE - SQUARE)
LIKELIHOOD = LogLikelihood(DATA)


def estimate(estimator: Any, horizon: int, law: Any = LAW, wrt: Any = lambda law: law.potential) -> Any:
    return run(law, LIKELIHOOD, estimator, wrt, horizon, 20_000)


def truncated(k: int) -> float:
    """E[x_k^2] = A^2k E_data[x^2] + (1 - A^2k) V: that part of the gradient is seen."""
    return GRADIENT * (1 - A ** (2 * k))


def test_the_gradient_is_that_of_the_exact_likelihood():
    """The closed form used here against the derivative of the Gaussian's log density itself."""

    def likelihood(k: Any) -> Any:
        variance = KT / (k * (1 - k * DT / 2))
        return jnp.mean(-0.5 * DATA**2 / variance) - 0.5 * jnp.log(variance)

    np.testing.assert_allclose(jax.grad(likelihood)(K), GRADIENT, rtol=1e-12)


@pytest.mark.parametrize(("k", "rounds"), [(1, 1), (1, 4), (3, 2), (8, 1)])
def test_the_bias_of_k_steps_is_the_exact_one(k, rounds):
    found = estimate(ContrastiveDivergence(k), k * rounds)
    check(found, truncated(k))
    if k == 1:
        with pytest.raises(AssertionError):
            check(found, GRADIENT)
    assert any("biased" in note for note in found.verdict.notes)


def test_many_steps_give_the_likelihoods_gradient():
    check(estimate(ContrastiveDivergence(40), 40), GRADIENT, resolution=0.02)


def test_a_persistent_chain_is_the_mean_over_its_rounds():
    k, rounds = 2, 10
    exact = np.mean([truncated(k * (j + 1)) for j in range(rounds)])
    check(estimate(ContrastiveDivergence(k, persistent=True), k * rounds), exact, resolution=0.02)
    check(estimate(ContrastiveDivergence(1, persistent=True), 1), truncated(1))


@pytest.mark.parametrize("persistent", [False, True])
def test_velocities_and_temperature(persistent):
    """BAOAB samples the Gaussian of variance kT / k exactly, whatever its velocities; by k and by kT."""
    law = BAOAB(Harmonic(jnp.array(K)), x0=jnp.zeros(1), dt=0.5, kT=jnp.array(KT))
    k, horizon = (40, 40) if not persistent else (500, 1000)
    # Persistent: the rounds of 500 steps are long enough for both to have forgotten the data.
    found = run(
        law, LIKELIHOOD, ContrastiveDivergence(k, persistent), lambda law: (law.potential.k, law.kT), horizon, 4000
    )
    # Its velocities have the variance (1 - k dt^2 / 4) kT, where the law's density says kT.
    cold = 0.25 * K * 0.5**2 * 0.5 / KT
    check(found, (0.5 / K - SQUARE / (2 * KT), SQUARE * K / (2 * KT**2) - 0.5 / KT + cold), resolution=0.2)


class Well(pliant.Weigh):
    """The Gaussian as a weight, with a sampler of its own."""

    k: jax.Array

    def log_weight(self, x):
        return -0.5 * self.k * jnp.sum(x**2) / KT

    def sampler(self):
        return BAOAB(Harmonic(self.k), x0=jnp.zeros(1), dt=0.5, kT=KT)


def test_a_law_that_weighs():
    found = estimate(ContrastiveDivergence(40), 40, Well(jnp.array(K)), lambda law: law)
    check(found, 0.5 / K - SQUARE / (2 * KT))


# Mutants.


class WithoutNegative(ContrastiveDivergence):
    def _fresh_chains(self, problem, rollout, law):
        positive, negative = super()._fresh_chains(problem, rollout, law)
        return positive, jax.tree.map(jnp.zeros_like, negative)


class WrongSign(ContrastiveDivergence):
    def _fresh_chains(self, problem, rollout, law):
        return super()._fresh_chains(problem, rollout, law)[::-1]


class FromTheOrigin(ContrastiveDivergence):
    """Chains start where the law does, not at the data."""

    def _fresh_chains(self, problem, rollout, law):
        positive, _ = super()._fresh_chains(problem, rollout, law)
        _, negative = super()._fresh_chains(problem, rollout, _FromData(problem.law(), jnp.zeros((1, 1))))
        return positive, negative


class OneStepLess(ContrastiveDivergence):
    def _fresh_chains(self, problem, rollout, law):
        return ContrastiveDivergence(2)._fresh_chains(problem, rollout, law)


class OwnPoint(ContrastiveDivergence):
    """Only the first data point counts."""

    def _fresh_chains(self, problem, rollout, law):
        first = _score(problem, problem.law().init(rollout.key))
        return first, super()._fresh_chains(problem, rollout, law)[1]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [WithoutNegative, WrongSign, FromTheOrigin, OneStepLess, OwnPoint])
def test_mutants_fail(mutant):
    with pytest.raises(AssertionError):
        check(estimate(mutant(3), 6), truncated(3))


# Refusals.


def test_other_estimators_are_refused_the_likelihood():
    for other in (BPTT(), Combined()):
        with pytest.raises(pliant.NotApplicable, match="normalisation; use ContrastiveDivergence"):
            estimate(other, 4)


def test_other_observables_laws_and_companions_are_refused():
    with pytest.raises(pliant.NotApplicable, match="LogLikelihood"):
        run(LAW, Final(), ContrastiveDivergence(), lambda law: law.potential, 4, 10)
    with pytest.raises(pliant.NotApplicable, match="HasStationaryDensity"):
        estimate(ContrastiveDivergence(), 4, VelocityVerlet(x0=jnp.zeros(1)), lambda law: law.x0)
    with pytest.raises(pliant.NotApplicable, match="derivative of the normalisation"):
        estimate(Combined(ContrastiveDivergence()), 4)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`k`.*0"):
        ContrastiveDivergence(0)
    with pytest.raises(ValueError, match="`persistent`.*1"):
        ContrastiveDivergence(1, 1)  # pyright: ignore
    with pytest.raises(ValueError, match="`horizon`.*multiple of the k = 3.*7"):
        estimate(ContrastiveDivergence(3), 7)
    with pytest.raises(ValueError, match="`data`.*floating"):
        LogLikelihood(jnp.array([1, 2]))
    with pytest.raises(ValueError, match=r"`data`.*\(n, 1\).*\(4, 2\)"):
        run(LAW, LogLikelihood(jnp.ones((4, 2))), ContrastiveDivergence(), lambda law: law.potential, 1, 10)
