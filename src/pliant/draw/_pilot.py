"""Which estimator is cheapest: variance times seconds, measured."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from pliant.core.chance.discrete import Options
from pliant.core.chance.expected import Expected
from pliant.core.errors import NotApplicable

_REPEATS, _ROUNDS = 256, 3
_LEAVE_ONE_OUT = 10


def cheapest(f: Callable, options: Options, runs: int | None, theta: PyTree, key: PRNGKeyArray) -> Expected:
    """The estimator of `f` with the least variance x seconds at `theta`."""
    costs = [(cost, candidate) for candidate in _candidates(f, options, runs) for cost in _cost(candidate, theta, key)]
    if not costs:
        raise NotApplicable("No estimator serves this program: call `expect` with one of them for the reason.")
    return min(costs, key=lambda pair: pair[0])[1]


def _candidates(f: Callable, options: Options, runs: int | None) -> Iterator[Expected]:
    for replays in sorted({max(options.replays // share, 1) for share in (1, 2, 4)}):
        yield Expected(f, "replay", runs or 1, dataclasses.replace(options, replays=replays))
    yield Expected(f, "measure_valued", runs or 1, options)
    if runs != 1:
        yield Expected(f, "score", runs or _LEAVE_ONE_OUT, options)


def _cost(candidate: Expected, theta: PyTree, key: PRNGKeyArray) -> Iterator[float]:
    """The one number; none where the estimator does not serve."""
    moving, rest = eqx.partition(jax.tree.map(jnp.asarray, theta), eqx.is_inexact_array)
    slopes = jax.jit(jax.vmap(jax.jacrev(lambda m, k: candidate(eqx.combine(m, rest), k)), in_axes=(None, 0)))
    keys = jax.random.split(key, _REPEATS)
    try:
        found = jax.block_until_ready(slopes(moving, keys))
    except NotApplicable:
        return
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        jax.block_until_ready(slopes(moving, keys))
        seconds.append(time.perf_counter() - started)
    yield min(seconds) * _spread(found, moving)


def _spread(slopes: PyTree, moving: PyTree) -> float:
    """The variance of all components, every parameter measured in its own size; heavy tails may hide from a pilot."""
    sizes = [float(np.mean(np.abs(leaf))) or 1.0 for leaf in jax.tree.leaves(moving)]
    total = 0.0
    for index, leaf in enumerate(jax.tree.leaves(slopes)):
        variance: Any = np.var(np.asarray(leaf, float), axis=0)
        total += float(np.sum(variance)) * sizes[index % len(sizes)] ** 2
    return total
