"""Derivatives through discrete draws: variance x seconds of every estimator on problems with exact answers.

The score function has its leave-one-out baseline over ten runs; what is compared is the variance of a call times its
seconds, both measured here, in turns, inside one process.
"""

import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import Row

from pliant.core.errors import NotApplicable
from pliant.draw import expect

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests" / "draw"))
import problems

# By how much replay is to be better than the score function, at least; and the options of `expect`.
PROBLEMS: dict[str, tuple[Callable[[], Any], float, dict[str, Any]]] = {
    "binomial(10, 0.6)": (lambda: problems.counts("binomial"), 5, {}),
    "geometric(0.4)": (lambda: problems.counts("geometric"), 1, {}),
    "Poisson(3)": (lambda: problems.counts("poisson"), 5, {}),
    "one of four": (problems.classes, 1, {}),
    "StochasticAD's front page": (problems.front_page, 1, {}),
    "walk, 10 steps": (lambda: problems.walk(10, 20.0), 5, {}),
    "walk, 100 steps": (lambda: problems.walk(100, 50.0), 5, {}),
    "squared jump of Metropolis": (lambda: problems.metropolis_jump(1.0), 1, {}),
    "Metropolis chain, 20 steps": (lambda: problems.metropolis(20), 1, {}),
    "Metropolis chain, 100 steps": (lambda: problems.metropolis(100), 1, {}),
    "queue, 100 steps": (lambda: problems.queue(100), 1, {}),
    "unweighting": (problems.unweighting, 1, {}),
    "Gillespie's birth and death": (lambda: problems.birth_death(30), 1, {}),
    "200 parameters": (problems.table, 1, {"replays": 200}),
}
_CALLS, _ROUNDS = 2000, 5


def rows() -> Iterator[Row]:
    """For every problem how many times better replay is than the score function, and what the pilot takes."""
    for name, (make, goal, options) in PROBLEMS.items():
        yield from _compared(name, make(), goal, options)


def _compared(name: str, problem: Any, goal: float, options: dict[str, Any]) -> Iterator[Row]:
    chosen = expect(problem.function, pilot=(problem.theta, jax.random.key(1)), **options)
    contestants = {
        "replay": expect(problem.function, "replay", **options),
        "measure-valued": expect(problem.function, "measure_valued", **options),
        "score": expect(problem.function, "score", **options),
        "auto": chosen,
    }
    found = {way: entry for way, S in contestants.items() for entry in _measured(S, problem)}
    seconds = _seconds({way: run for way, (run, _, _) in found.items()})
    costs = {way: variance * seconds[way] for way, (_, variance, _) in found.items()}
    zs = ", ".join(f"{way} {z:.1f}" for way, (_, _, z) in found.items() if way != "auto")
    yield Row(f"{name}: largest deviation in standard errors", "<= 4", zs, all(z <= 4 for _, _, z in found.values()))
    picked = f"{chosen.estimator} of {chosen.options.replays}" if chosen.estimator == "replay" else chosen.estimator
    if "score" not in costs:
        yield Row(f"{name}: variance x time", "", f"no score function here; the pilot takes {picked}")
        return
    names = {"replay": "replay", "measure-valued": "measure-valued", "auto": f"auto ({picked})"}
    gains = {way: costs["score"] / cost for way, cost in costs.items()}
    shown = ", ".join(f"{names[way]} {_times(gain)}" for way, gain in gains.items() if way != "score")
    # Where the pilot takes the score function itself, its gain is one within what timing can tell.
    passed = gains["auto"] >= (0.8 if chosen.estimator == "score" else goal)
    yield Row(f"{name}: variance x time over the score with leave-one-out", f"auto >= {goal:g}x", shown, passed)


def _times(gain: float) -> str:
    """A gain in words; round-off alone is no variance."""
    return f"{gain:.3g}x" if gain < 1e12 else "without variance"


def _measured(S: Any, problem: Any) -> Iterator[tuple[Callable, float, float]]:
    """A run of many calls, the variance of one, and the largest deviation from the exact answer in standard errors."""
    theta = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), problem.theta)
    slopes = jax.jit(jax.vmap(jax.jacrev(S), in_axes=(None, 0)))
    keys = jax.random.split(jax.random.key(0), _CALLS)
    try:
        values = np.asarray(slopes(theta, keys), float).reshape(_CALLS, -1)
    except NotApplicable:
        return
    error = np.std(values, axis=0) / np.sqrt(_CALLS)
    z = np.abs(np.mean(values, axis=0) - np.ravel(problem.exact)) / (error + 1e-9 * np.abs(np.ravel(problem.exact)))
    # Every parameter in its own size, as the pilot counts.
    size = float(np.mean(np.abs(np.asarray(theta))))
    yield (lambda: slopes(theta, keys)), float(np.sum(np.var(values, axis=0))) * size**2, float(np.max(z))


def _seconds(runs: dict[str, Callable]) -> dict[str, float]:
    """The best of a few rounds in turns."""
    taken: dict[str, list[float]] = {way: [] for way in runs}
    for _ in range(_ROUNDS):
        for way, run in runs.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            taken[way].append(time.perf_counter() - started)
    return {way: min(times) for way, times in taken.items()}
