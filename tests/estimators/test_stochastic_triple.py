"""Discrete draws inside trajectories: `StochasticTriple` and `MeasureValued` against exact answers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draw_mutants import against_all_trials, detached, negated, other_keys, unweighted
from oracle_checks import LIMIT, check, covers, flat, gathered, run
from test_mutants import SYSTEM
from test_score_function import passage

import pliant
from pliant import NotApplicable, draw
from pliant.core.chance import discrete, draws
from pliant.core.chance.replay import Swapper
from pliant.dynamics import Metropolis, OverdampedLangevin
from pliant.estimators import BPTT, MeasureValued, ScoreFunction, StochasticTriple
from pliant.observables import Final, FirstPassageTime
from pliant.potentials import Harmonic
from pliant.systems import _affine

STEPS, START = 6, 1.5


class BirthDeath(pliant.Evolve):
    """A population with a Poisson number of births and a binomial number of deaths; its state carries the key."""

    birth: jax.Array
    death: jax.Array

    @property
    def noise(self) -> Any:
        return ()

    def init(self, key: Any) -> Any:
        return {"n": jnp.array(3.0), "key": jax.random.key_data(key)}

    def step(self, state: Any, noise: Any, t: Any) -> Any:
        after, births, deaths = jax.random.split(jax.random.wrap_key_data(state["key"]), 3)
        born = draw.poisson(births, self.birth)
        died = draw.binomial(deaths, state["n"].astype(jnp.int32), self.death)
        return {"n": state["n"] + born - died, "key": jax.random.key_data(after)}


def population(birth: Any, death: Any) -> Any:
    """E n^2 after the steps: thinning and adding keep closed equations for mean and variance."""
    mean, variance = 3.0, 0.0
    for _ in range(STEPS):
        stay = 1 - death
        mean, variance = stay * mean + birth, stay**2 * variance + stay * death * mean + birth
    return variance + mean**2


@pytest.mark.parametrize("estimator", [StochasticTriple(), StochasticTriple(replays=4), MeasureValued(replays=8)])
def test_explicit_draws_in_a_law(estimator):
    exact = jax.grad(population, argnums=(0, 1))(2.0, 0.3)
    law = BirthDeath(jnp.array(2.0), jnp.array(0.3))
    number = Final(lambda state: state["n"] ** 2)
    found = run(law, number, estimator, lambda law: (law.birth, law.death), STEPS, 10_000)
    check(found, exact, value=population(2.0, 0.3))
    assert found.verdict.trusted


SPOILED = {
    "weights of the choice": (StochasticTriple(replays=4), discrete, "_choose", unweighted),
    "sign": (StochasticTriple(), discrete, "_flipped", negated),
    "pathwise part": (StochasticTriple(), discrete.Simulation, "interpret", detached),
    "keys": (StochasticTriple(), Swapper, "_numbers", other_keys),
    "sign of pairs": (MeasureValued(), discrete, "_paired", negated),
    "measures": (MeasureValued(), draws.Binomial, "weak", against_all_trials),
    "keys of pairs": (MeasureValued(), Swapper, "_numbers", other_keys),
}


def weighted(estimator: Any, replicas: int) -> Any:
    """The squared number times the birth rate, which it depends on explicitly as well."""
    law = BirthDeath(jnp.array(2.0), jnp.array(0.3))
    number = Final(lambda state, law: law.birth * state["n"] ** 2)
    return run(law, number, estimator, lambda law: (law.birth, law.death), STEPS, replicas)


WEIGHTED = jax.grad(lambda birth, death: birth * population(birth, death), argnums=(0, 1))(2.0, 0.3)


@pytest.mark.parametrize("estimator", [StochasticTriple(), MeasureValued()])
def test_originals_pass(estimator):
    check(weighted(estimator, 10_000), WEIGHTED)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SPOILED)
def test_mutants_fail(mutant, monkeypatch):
    estimator, place, name, spoil = SPOILED[mutant]
    monkeypatch.setattr(place, name, spoil(getattr(place, name)))
    jax.clear_caches()  # compiled programs know of no mutant, and the next test must not find this one
    found = weighted(estimator, 10_000)
    jax.clear_caches()
    z = (flat(found.value) - flat(WEIGHTED)) / flat(found.standard_error)
    assert np.max(np.abs(z)) > LIMIT, z


def test_backpropagation_through_an_explicit_draw_raises():
    law = BirthDeath(jnp.array(2.0), jnp.array(0.3))
    with pytest.raises(TypeError, match="no derivative under"):
        run(law, Final(lambda state: state["n"] ** 2), BPTT(), lambda law: law.birth, STEPS, 4)


def metropolis(scale: float, k: float) -> float:
    """E x^2 after the steps, by quadrature of the transition density."""
    grid = np.linspace(-9, 9, 1801)
    x, y = grid[:, None], grid[None, :]
    kernel = np.exp(-0.5 * ((y - x) / scale) ** 2) / np.sqrt(2 * np.pi) / scale * (grid[1] - grid[0])
    kernel *= np.minimum(1, np.exp(0.5 * k * (x**2 - y**2)))
    kernel += np.diag(1 - kernel.sum(axis=1))
    law = np.zeros(len(grid))
    law[np.argmin(np.abs(grid - START))] = 1.0
    for _ in range(STEPS):
        law = law @ kernel
    return law @ grid**2


def of_metropolis(estimator: Any, replicas: int) -> Any:
    law = Metropolis(Harmonic(jnp.array(1.0)), x0=jnp.array([START]), scale=jnp.array(2.0))
    square = Final(lambda state: jnp.sum(state.position**2))
    return run(law, square, estimator, lambda law: (law.scale, law.potential.k), STEPS, replicas)


def test_a_metropolis_law_as_it_is():
    """Its acceptance is recognised in the noise that it declares; the path score of the same chain is three times as wide."""
    h = 1e-3
    exact = [(metropolis(2.0 + h, 1.0) - metropolis(2.0 - h, 1.0)) / (2 * h)]
    exact += [(metropolis(2.0, 1.0 + h) - metropolis(2.0, 1.0 - h)) / (2 * h)]
    found = of_metropolis(StochasticTriple(), 20_000)
    check(found, exact, value=metropolis(2.0, 1.0))
    scored = of_metropolis(ScoreFunction(), 20_000)
    assert float(scored.standard_error[1]) > 2.5 * float(found.standard_error[1])


def test_a_passage_time():
    """A threshold on the declared noise, which goes on being used: the boundary term, against quadrature."""
    slope = 0.3 * _affine.complex_step(lambda k: passage(k, 12), 0.8)
    arrival = FirstPassageTime(lambda state: jnp.all(state.position < 0.4))
    found = run(SYSTEM.law(OverdampedLangevin, 0.3), arrival, StochasticTriple(), SYSTEM.wrt, 12, 40_000)
    check(found, slope, value=0.3 * passage(0.8, 12).real, resolution=0.03)


def test_it_is_backpropagation_where_nothing_jumps():
    law = OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=jnp.ones(2), dt=0.1)
    options: dict[str, Any] = {
        "horizon": 7,
        "replicas": 16,
        "key": jax.random.key(1),
        "progress": False,
    }
    options |= {"wrt": lambda law: law.potential.k, "keep_replicates": True}
    triple, plain = (
        pliant.gradient(law, Final(lambda s: s.position**2), estimator, **options)
        for estimator in (StochasticTriple(), BPTT())
    )
    np.testing.assert_allclose(triple.replicates, plain.replicates, rtol=1e-9)


@pytest.mark.parametrize("generator", ["fused", "jax"])
def test_its_trajectories_are_those_of_other_estimators(generator):
    """Whatever draws the noise: the same values, replica by replica."""
    law = Metropolis(Harmonic(jnp.array(1.0)), x0=jnp.ones(3), scale=jnp.array(0.8))
    seen = [
        pliant.gradient(
            law, Final(lambda state: state.position), estimator, horizon=24, replicas=32, key=jax.random.key(3),
            wrt=lambda law: law.scale, generator=generator, progress=False,
        ).observable.value
        for estimator in (StochasticTriple(replays=2), ScoreFunction())
    ]  # fmt: skip
    np.testing.assert_allclose(*seen, rtol=1e-12)


def test_a_jump_that_cannot_be_followed_is_refused():
    law = OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=jnp.ones(2), dt=0.1)
    far = Final(lambda state: 1.0 * (jnp.sum(state.position**2) > 1.0))
    with pytest.raises(NotApplicable, match="`gt`"):
        run(law, far, StochasticTriple(), lambda law: law.potential, 5, 8)
    run(law, far, StochasticTriple(jumps="ignore"), lambda law: law.potential, 5, 8)


def test_arguments_are_named():
    for kind in (StochasticTriple, MeasureValued):
        with pytest.raises(ValueError, match="Argument `replays`"):
            kind(replays=0)
        with pytest.raises(ValueError, match="Argument `jumps`"):
            kind(jumps="smooth")
        assert eqx.tree_equal(kind(), kind())


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [StochasticTriple(), MeasureValued()])
def test_error_bars_cover(estimator, capsys):
    exact = jax.grad(population, argnums=(0, 1))(2.0, 0.3)
    law = BirthDeath(jnp.array(2.0), jnp.array(0.3))
    found = gathered(
        law, Final(lambda state: state["n"] ** 2), estimator, lambda law: (law.birth, law.death), STEPS, 200_000, 20_000
    )
    covers(capsys, type(estimator).__name__, found, exact, 200)
