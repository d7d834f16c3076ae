"""Derivatives through draws, each off by one mistake: the check against an exact answer must fail every one of them."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from draw_checks import judge, samples, scores
from draw_mutants import (
    against_all_trials,
    detached,
    events_alone,
    negated,
    one_way,
    opposite,
    other_keys,
    unweighted,
    with_itself,
)
from oracle_checks import LIMIT

from pliant import draw
from pliant.core.chance import discrete, draws, expected
from pliant.core.chance.replay import Scorer, Swapper

P, STEPS, COUNT = 3.0, 5, 30_000


def walk(p, key):
    """A walk whose chance depends on where it is, a parameter in front of it, and a binomial beside it."""
    first, second = jax.random.split(key)

    def step(x, key):
        return x + jnp.where(draw.bernoulli(key, jnp.exp(-x / p)), 1.0, -1.0), None

    x = jax.lax.scan(step, 0.0, jax.random.split(first, STEPS))[0]
    return p * x**2 + draw.binomial(second, 5, 1 / p) ** 2


def exactly(p):
    x = jnp.arange(-STEPS - 1.0, STEPS + 2)
    up, law = jnp.where(x > 0, jnp.exp(-jnp.maximum(x, 0) / p), 1.0), jnp.where(x == 0, 1.0, 0.0)
    for _ in range(STEPS):
        law = jnp.roll(law * up, 1) + jnp.roll(law * (1 - up), -1)
    return p * law @ x**2 + 5 / p * (1 - 1 / p) + 25 / p**2


EXACT = jax.grad(exactly)(P)
WAYS: dict[str, dict[str, Any]] = {
    "replay": {"replays": 3},
    "measure_valued": {"replays": 3},
    "score": {"runs": 2},
}


@pytest.mark.parametrize("estimator", WAYS)
def test_originals_pass(estimator):
    judge(walk, P, EXACT, estimator=estimator, count=COUNT, **WAYS[estimator])


MUTANTS = {
    "replay, weights of the choice": ("replay", discrete, "_choose", unweighted),
    "replay, sign": ("replay", discrete, "_flipped", negated),
    "replay, pathwise part": ("replay", discrete.Simulation, "interpret", detached),
    "replay, probability of the alternative": ("replay", draws.Bernoulli, "swaps", one_way),
    "replay, keys": ("replay", Swapper, "_numbers", other_keys),
    "measure-valued, weights of the choice": ("measure_valued", discrete, "_choose", unweighted),
    "measure-valued, sign": ("measure_valued", discrete, "_paired", negated),
    "measure-valued, pathwise part": ("measure_valued", discrete.Simulation, "interpret", detached),
    "measure-valued, measures": ("measure_valued", draws.Binomial, "weak", against_all_trials),
    "measure-valued, keys": ("measure_valued", Swapper, "_numbers", other_keys),
    "score, baseline": ("score", expected, "_product", with_itself),
    "score, pathwise part": ("score", discrete.Simulation, "interpret", detached),
    "score, events alone": ("score", Scorer, "at_draw", events_alone),
    "score, probabilities": ("score", draws.Bernoulli, "log_probability", opposite),
}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_fail(mutant, monkeypatch):
    estimator, place, name, spoil = MUTANTS[mutant]
    monkeypatch.setattr(place, name, spoil(getattr(place, name)))
    z = scores(samples(walk, P, COUNT, estimator=estimator, **WAYS[estimator]), EXACT)
    assert abs(z[0]) > LIMIT, z
