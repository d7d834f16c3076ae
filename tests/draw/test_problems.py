"""Problems with exact answers: every derivative unbiased, and less spread than the score function with leave-one-out."""

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from draw_checks import judge, samples
from oracle_checks import LIMIT, REPEATS

from pliant import draw
from pliant.core.verdict import HALF_WIDTH

# By how much the variance of a run is below that of the score function with leave-one-out, at least.
CASES = {
    "front page": (problems.front_page, {}, 50.0),
    "walk": (lambda: problems.walk(10, 20.0), {}, 4.0),
    "squared jump of Metropolis": (lambda: problems.metropolis_jump(1.0), {}, 1.2),
    "queue": (lambda: problems.queue(100), {}, 4.0),
    "unweighting": (problems.unweighting, {}, 10.0),
    "200 parameters": (problems.table, {"replays": 200, "count": 500}, 50.0),
}


@pytest.mark.parametrize("name", CASES)
def test_replay_is_unbiased_and_beats_the_score_function(name):
    make, options, factor = CASES[name]
    problem = make()
    options = {"count": 4000, **options}
    found = judge(problem.function, problem.theta, problem.exact, **options)
    runs = 10
    scored = judge(
        problem.function, problem.theta, problem.exact, estimator="score", runs=runs, resolution=1.0, **options
    )
    assert runs * total_variance(scored) > factor * total_variance(found)


def total_variance(found):
    return float(np.sum(np.var(np.asarray(found), axis=0)))


def test_gillespie_against_the_master_equation():
    """The end of the observation is a threshold on a waiting time that goes on being used: the score function refuses."""
    problem = problems.birth_death(30)
    judge(problem.function, problem.theta, problem.exact, count=10_000)


def test_the_squared_jump_of_metropolis_at_three_scales():
    """It rises below the optimal scale 2.43 and falls above it: within errors of quadrature everywhere, and zero there."""
    slopes = []
    for scale in (1.5, 2.43, 4.0):
        problem = problems.metropolis_jump(scale)
        found = samples(problem.function, scale, 40_000)
        error = float(np.std(found)) / len(found) ** 0.5
        assert error < 0.02 and abs(float(np.mean(found)) - problem.exact) < LIMIT * error
        slopes.append(problem.exact)
    assert slopes[0] > 0.2 and abs(slopes[1]) < 2e-3 and slopes[2] < -0.05


def test_the_optimal_scale_of_a_metropolis_proposal():
    """The largest expected squared jump on a standard normal, found by stochastic gradients: 2.43 (theory for many
    dimensions: 2.38 over the root of their number)."""
    S = draw.expect(problems.metropolis_jump(1.0).function)
    slope = jax.grad(lambda s, key: jnp.mean(jax.vmap(S, in_axes=(None, 0))(s, jax.random.split(key, 4000))))

    def climb(scale, key):
        step = scale + 1.0 * slope(scale, key)
        return step, step

    path = jax.jit(lambda: jax.lax.scan(climb, 1.0, jax.random.split(jax.random.key(2), 80))[1])()
    assert float(jnp.mean(path[40:])) == pytest.approx(2.43, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["replay", "measure_valued", "score"])
def test_error_bars_cover(estimator, capsys):
    """Nominal 95 % intervals from the mean and spread of 100 derivatives hold the truth in 93-97 % of 1000 repeats."""
    problem, size = problems.walk(10, 20.0), 100
    found = np.reshape(samples(problem.function, problem.theta, REPEATS * size, estimator=estimator), (REPEATS, size))
    error = np.std(found, axis=1, ddof=1) / np.sqrt(size)
    held = np.abs(np.mean(found, axis=1) - problem.exact) <= HALF_WIDTH * error
    with capsys.disabled():
        print(f"\nexpect, {estimator}: {100 * np.mean(held):.1f} %", end="")
    assert 0.93 <= np.mean(held) <= 0.97
