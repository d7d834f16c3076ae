"""The last Gaussian step integrated out: exact answers for jumps, less variance for everything, refusals, coverage."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, run
from scipy.stats import norm

import pliant
from pliant import observables
from pliant.core import engine, prepare
from pliant.core.estimate import mean_and_error
from pliant.core.trees import stop_gradient
from pliant.core.verdict import HALF_WIDTH
from pliant.dynamics import BAOAB, OBABO, OverdampedLangevin, VelocityVerlet
from pliant.estimators import BPTT, FiniteDifference, ForwardSensitivity, Girsanov
from pliant.observables import Conditioned, Final
from pliant.systems import OrnsteinUhlenbeck, _affine
from pliant.systems._system import squared_distance

SYSTEM, HORIZON, DT, EDGE = OrnsteinUhlenbeck(k=0.8, kT=0.7, x0=1.5), 8, 0.3, 1.0
LAW = SYSTEM.law(OverdampedLangevin, DT)
STEP = Final(lambda state: jnp.where(state.position[0] > EDGE, 1.0, 0.0))


def tail(horizon: int = HORIZON) -> tuple[float, float]:
    """P(x_T > edge) and its derivative by k, from the exact mean m and variance V of the Gaussian x_T."""
    moments = lambda k: [part[-1].ravel()[0] for part in _affine.of_law(LAW, k=k).moments(horizon)]
    (m, v), (dm, dv) = moments(0.8), (_affine.complex_step(lambda k, i=i: moments(k)[i], 0.8) for i in (0, 1))
    z = (m - EDGE) / np.sqrt(v)
    return float(norm.cdf(z)), float(norm.pdf(z) * (dm / np.sqrt(v) - 0.5 * (m - EDGE) * dv / v**1.5))


@pytest.mark.parametrize("estimator", [BPTT(), ForwardSensitivity(), Girsanov()], ids=lambda e: type(e).__name__)
def test_a_jump_has_its_exact_derivative(estimator):
    value, slope = tail()
    found = run(LAW, Conditioned(STEP), estimator, SYSTEM.wrt, HORIZON, 20_000)
    check(found, slope, value=value, resolution=0.05)
    assert not any("discontinuous" in reason for reason in found.verdict.reasons)


def test_without_conditioning_the_pathwise_derivative_is_nothing():
    found = run(LAW, STEP, BPTT(), SYSTEM.wrt, HORIZON, 1000)
    assert found.value.k == 0.0 and any("discontinuous" in reason for reason in found.verdict.reasons)


def test_finite_differences_agree():
    """The rule is a step function of the parameters at fixed noise, with the right mean all the same."""
    found = run(LAW, Conditioned(STEP), FiniteDifference(step=0.1), SYSTEM.wrt, HORIZON, 20_000)
    check(found, tail()[1], resolution=0.05)


@pytest.mark.parametrize("estimator", [BPTT(), Girsanov()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("function", [squared_distance, STEP.function], ids=["square", "step"])
def test_variance_is_never_larger(estimator, function):
    plain, conditioned = (
        run(LAW, observable, estimator, SYSTEM.wrt, HORIZON, 20_000)
        for observable in (Final(function), Conditioned(Final(function)))
    )
    assert conditioned.observable.standard_error < plain.observable.standard_error
    if not (function is STEP.function and isinstance(estimator, BPTT)):
        assert conditioned.standard_error.k < plain.standard_error.k
    if function is squared_distance:
        truth = SYSTEM.truth(LAW, Final(squared_distance).at_horizon(HORIZON), HORIZON)
        check(conditioned, truth.gradient, value=truth.value, resolution=0.05)


@pytest.mark.parametrize("nodes", [12, 16, 32])
def test_the_rule_is_exact_for_smooth_functions(nodes):
    """E[x'^2 | x] = (a x)^2 + s^2, and its derivatives by state and parameters."""
    observable = Conditioned(squared_distance, nodes).at_horizon(2)

    def at(position: Any, law: Any) -> Any:
        return observable.term(law, eqx.tree_at(lambda s: s.position, law.init(jax.random.key(0)), position))

    def exact(position: Any, law: Any) -> Any:
        return jnp.sum(((1 - DT * law.potential.k) * position) ** 2) + 2 * DT * law.kT

    x = jnp.array([0.7])
    accuracy = {12: 1e-4, 16: 1e-8, 32: 1e-9}[nodes]
    np.testing.assert_allclose(at(x, LAW), exact(x, LAW), rtol=accuracy)
    np.testing.assert_allclose(jax.grad(at)(x, LAW), jax.grad(exact)(x, LAW), rtol=accuracy)
    by_k = lambda f: jax.grad(lambda k: f(x, eqx.tree_at(lambda law: law.potential.k, LAW, k)))(LAW.potential.k)
    np.testing.assert_allclose(by_k(at), by_k(exact), rtol=accuracy)


def test_two_coordinates_and_arrays():
    """P(x > edge, y > edge) of independent coordinates is a square; the observable may be an array."""
    law = OverdampedLangevin(LAW.potential, x0=jnp.full(2, 1.5), dt=DT, kT=0.7)
    both = lambda state: jnp.stack([jnp.prod(state.position > EDGE), state.position[0] > EDGE]).astype(float)
    value, slope = tail(3)
    found = run(law, Conditioned(both, nodes=16), BPTT(), SYSTEM.wrt, 3, 5000)
    check(found, np.array([2 * value * slope, slope]), value=np.array([value**2, value]))


@pytest.mark.parametrize(
    ("law", "why"),
    [
        (OBABO(x0=jnp.ones(1)), "two states alone"),
        (BAOAB(x0=jnp.ones(1)), "two states alone"),
        (VelocityVerlet(x0=jnp.ones(1)), "normal noise"),
        (OverdampedLangevin(x0=jnp.ones(4)), r"32\^4"),
        (OverdampedLangevin(x0=jnp.ones(1), scheme="leimkuhler_matthews"), "Markov"),
    ],
    ids=["OBABO", "BAOAB", "deterministic", "four numbers", "not Markov"],
)
def test_laws_that_do_not_fit_are_refused(law, why):
    with pytest.raises(pliant.NotApplicable, match=why):
        run(law, Conditioned(STEP), BPTT(), lambda law: law.x0, HORIZON, 10)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`nodes`.*3"):
        Conditioned(STEP, nodes=3)
    with pytest.raises(ValueError, match="`observable`.*TimeAverage"):
        Conditioned(observables.TimeAverage())
    with pytest.raises(ValueError, match="`horizon`.*1"):
        run(LAW, Conditioned(STEP), BPTT(), SYSTEM.wrt, 1, 10)


def test_a_jump_that_moves_with_the_law_is_still_seen():
    moving = Conditioned(lambda state, law: jnp.where(state.position[0] > law.potential.k, 1.0, 0.0))
    found = run(LAW, moving, BPTT(), SYSTEM.wrt, HORIZON, 100)
    assert any("discontinuous" in reason for reason in found.verdict.reasons)


# Mutants.


class ThroughTheNodes(Conditioned):
    """The derivative of the function at moving nodes: the boundary term is lost."""

    def term(self, law, state):
        noises, weights = self._rule(law, state)
        values = jax.vmap(lambda noise: self.function(law, law.step(state, noise, self._last)))(noises)
        return jnp.tensordot(weights, values, axes=1)


class HeldState(Conditioned):
    """The density of the last step forgets that its start moves too."""

    def term(self, law, state):
        return super().term(law, jax.lax.stop_gradient(state))


class HeldLaw(Conditioned):
    """The density of the last step forgets the parameters in that step."""

    def term(self, law, state):
        return super().term(stop_gradient(law), state)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [Conditioned, ThroughTheNodes, HeldState, HeldLaw])
def test_mutants_fail(mutant):
    kind = type(
        mutant.__name__, (mutant,), {"at_horizon": lambda self, horizon: type(self)(self.function, 32, horizon)}
    )
    found = run(LAW, kind(STEP), BPTT(), SYSTEM.wrt, HORIZON, 20_000)
    z = (float(found.value.k) - tail()[1]) / (float(found.standard_error.k) + 1e-12)
    assert (abs(z) < 4) == (mutant is Conditioned), z


@pytest.mark.slow
def test_coverage(capsys):
    """Nominal 95 % intervals of BPTT through a jump in 1000 repeats: groups of one run's replicas."""
    size = 1024
    problem = prepare.problem(LAW, Conditioned(STEP).at_horizon(HORIZON), SYSTEM.wrt)
    settings = prepare.settings(problem, BPTT(), HORIZON, 1000 * size, jax.random.key(11), 1e9, "fused", None)
    found, _ = engine.gather(problem, BPTT(), settings, progress=False)
    groups = np.asarray(found.influence().potential.k).reshape(1000, size)
    mean, error = map(np.array, zip(*map(mean_and_error, groups), strict=True))
    held, bias = np.mean(np.abs(mean - tail()[1]) < HALF_WIDTH * error), np.mean(mean - tail()[1]) / np.mean(error)
    with capsys.disabled():
        print(f"\nBPTT of a conditioned jump, {size}: {100 * held:.1f} %, bias/error {bias:.2f}", end="")
    assert abs(bias) < 0.2
    assert 0.93 <= held <= 0.97
