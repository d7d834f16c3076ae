"""Chains that draw: their truths by routes that share nothing with them, and estimators held against the truths."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import LIMIT, check, flat, name, run
from scipy import linalg

from pliant.dynamics import BirthDeath, LatticeWalk, Metropolis
from pliant.estimators import BPTT, MeasureValued, ScoreFunction, StochasticTriple
from pliant.observables import Final
from pliant.systems import FadingWalk, LayeredDetector, MetropolisChain, Population, Queue, metropolis_chain
from pliant.systems._system import squared_distance

CHAINS = {
    FadingWalk: (LatticeWalk, 8, 4),
    LayeredDetector: (LatticeWalk, 8, 7),
    Queue: (BirthDeath, 10, 5),
    Population: (BirthDeath, 10, 9),
    MetropolisChain: (Metropolis, 4, 1),
}


def stated(kind):
    """The system with its law, its observable and the horizon of a short run."""
    system, (dynamics, horizon, burn_in) = kind(), CHAINS[kind]
    settings = system.defaults[dynamics.__name__]
    return system, system.law(dynamics, settings["dt"]), system.observable(burn_in), horizon


@pytest.mark.parametrize("kind", CHAINS, ids=name)
def test_gradient_is_the_derivative_of_the_value(kind):
    system, law, observable, horizon = stated(kind)
    truth, h = system.truth(law, observable, horizon), 1e-5
    for parameter, slope in zip(getattr(kind, "parameters", ("k", "scale")), flat(truth.gradient), strict=True):
        moved = [dataclasses.replace(system, **{parameter: getattr(system, parameter) + s * h}) for s in (1, -1)]
        above, below = (
            s.truth(s.law(CHAINS[kind][0], getattr(law, "dt", 1.0)), observable, horizon).value for s in moved
        )
        np.testing.assert_allclose(slope, (above - below) / (2 * h), rtol=1e-6, atol=1e-9)


def test_the_walk_by_all_its_paths():
    """2^6 paths, one by one."""
    p, steps, total = 3.0, 6, 0.0
    for path in np.ndindex(*(2,) * steps):
        x, chance = 0, 1.0
        for rises in path:
            up = np.exp(-x / p)
            chance, x = chance * (up if rises else 1 - up), x + (1 if rises else -1)
        total += chance * x**2
    system = FadingWalk(p=p)
    np.testing.assert_allclose(system.truth(system.law(), Final(squared_distance), steps).value, total, rtol=1e-13)


def test_counts_long_after_the_start_are_those_of_theory():
    """Geometric for one server, Poisson without a bound."""
    for system, dt, steps, exact in ((Queue(), 0.5, 500, 0.5 * 1.5 / 0.5**2), (Population(), 0.02, 1000, 4.0 + 16.0)):
        truth = system.truth(system.law(dt=dt), Final(squared_distance), steps)
        np.testing.assert_allclose(truth.value, exact, rtol=1e-6)


def test_a_population_in_small_steps_follows_its_master_equation():
    n = np.arange(60)
    flow = np.diag(4.0 * np.ones(59), -1) + np.diag(1.0 * n[1:], 1)
    flow -= np.diag(flow.sum(axis=0))
    exact = n**2 @ linalg.expm(flow)[:, 0]
    off = [Population().truth(Population().law(dt=dt), Final(squared_distance), round(1 / dt)).value - exact
           for dt in (0.02, 0.01)]  # fmt: skip
    assert abs(off[1]) < 0.01 * exact and off[0] / off[1] == pytest.approx(2, rel=0.02)


def test_the_chain_is_resolved():
    """Both spacings agree to the digits that are claimed, and the chain forgets its start: the scale drops out."""
    weight = np.array([0.0, 1.0, 1.0])
    fine, coarse = (metropolis_chain._both({"k": 1.0, "scale": 2.0}, 1.5, weight, h) for h in (0.01, 0.02))
    np.testing.assert_allclose(fine, coarse, atol=1e-8)
    system = MetropolisChain()
    truth = system.truth(system.law(), Final(squared_distance), 60)
    np.testing.assert_allclose(flat((truth.value, truth.gradient)), (1.0, -1.0, 0.0), atol=1e-6)


def test_what_is_not_known_has_no_truth():
    chain = MetropolisChain()
    law = chain.law()
    assert chain.truth(dataclasses.replace(law, acceptance="barker"), chain.observable(), 3) is None
    assert chain.truth(law, Final(lambda state: state.position**4), 3) is None
    with pytest.raises(ValueError, match="Argument `dynamics` must be BirthDeath"):
        Queue().law(LatticeWalk)
    with pytest.raises(ValueError, match="Argument `dynamics` must be Metropolis"):
        MetropolisChain().law(LatticeWalk)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [StochasticTriple(), MeasureValued(), ScoreFunction()], ids=name)
@pytest.mark.parametrize("kind", CHAINS, ids=name)
def test_estimators_of_draws_are_right(kind, estimator):
    system, law, observable, horizon = stated(kind)
    truth = system.truth(law, observable, horizon)
    found = run(law, observable, estimator, system.wrt, horizon, 20_000)
    check(found, truth.gradient, value=truth.value, resolution=0.2)


class HitsAlone(LatticeWalk):
    """A layer that does not fire has a probability too."""

    def path_step(self, memory, state, noise, next_state, t):
        memory, log = super().path_step(memory, state, noise, next_state, t)
        return memory, jnp.where(jnp.all(next_state.position > state.position), log, 0.0)


class Opposite(LatticeWalk):
    """Hits with the probability of misses."""

    def path_step(self, memory, state, noise, next_state, t):
        chance = self._chance(state.position)
        hit = next_state.position > state.position
        return memory, jnp.sum(jnp.log(jnp.where(hit, 1 - chance, chance)))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [HitsAlone, Opposite], ids=name)
def test_wrong_scores_fail(mutant):
    system, law, observable, horizon = stated(LayeredDetector)
    truth = system.truth(law, observable, horizon)
    wrong = mutant(law.chance, law.x0, law.up, law.down)
    found = run(wrong, observable, ScoreFunction(), system.wrt, horizon, 20_000)
    z = (flat(found.value) - flat(truth.gradient)) / flat(found.standard_error)
    assert np.max(np.abs(z)) > LIMIT, z


@pytest.mark.parametrize("kind", [LayeredDetector, Queue], ids=name)
def test_backpropagation_sees_no_draw_and_is_not_trusted(kind):
    system, law, observable, horizon = stated(kind)
    found = run(law, observable, BPTT(), system.wrt, horizon, 64)
    assert not np.any(flat(found.value)) and found.verdict.level == "untrusted"
    assert any("jump" in reason for reason in found.verdict.reasons)


def test_limits_of_steps_and_arguments():
    with pytest.raises(ValueError, match="Argument `death` must be"):
        BirthDeath(death=-1.0)
    with pytest.raises(ValueError, match="Argument `chance` must be a function"):
        LatticeWalk(0.5)
    law = BirthDeath(2.0, 1.0, x0=np.array([8.0]), dt=0.2)
    assert law.step_limit(law.init(jax.random.key(0))) == pytest.approx(0.1)
    too_long = Queue(arrival=3.0, service=3.0)
    estimate = run(too_long.law(dt=0.5), too_long.observable(), StochasticTriple(), too_long.wrt, 6, 64)
    assert any("sum of the rates" in reason for reason in estimate.verdict.reasons)
