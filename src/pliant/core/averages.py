"""Weighted averages of functions of the state along a trajectory, online: whole, by halves, and by batches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from pliant.core.laws import Evolve, State
from pliant.core.observable import Additive
from pliant.core.rollout import Rollout

# Batches of one long chain: enough for an error bar to 10 %, few enough to be longer than most correlation times.
BATCHES = 64

Terms = Callable[[Evolve, State], PyTree]


def whole_and_first_half(
    rollout: Rollout, law: Evolve, observable: Additive, terms: Terms
) -> tuple[PyTree, PyTree, PyTree]:
    """Averages of `terms` with the observable's weights: over the trajectory, its first half and its second.

    The halves are by weight, to the nearest block of steps. They have no meaning where the observable is not `spread`
    over several blocks.
    """

    def start(law: Evolve, state: State) -> PyTree:
        zeros = _zeros(terms, law, state)
        return zeros, 0.0, zeros, 0.0

    def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        total, weight, mark, marked = carry
        total, weight = _add(total, weight, observable.weight(t + 1), terms(law, after))
        return total, weight, mark, marked

    def after_block(carry: PyTree) -> PyTree:
        total, weight, mark, marked = carry
        first = weight < 0.5 + 1e-6
        mark = jax.tree.map(lambda new, old: jnp.where(first, new, old), total, mark)
        return total, weight, mark, jnp.where(first, weight, marked)

    total, weight, mark, marked = rollout.fold(law, start, update, after_block=after_block)
    first = jax.tree.map(lambda m: m / jnp.maximum(marked, 1e-30), mark)
    second = jax.tree.map(lambda s, m: (s - m) / jnp.maximum(weight - marked, 1e-30), total, mark)
    return total, first, second


def in_batches(rollout: Rollout, law: Evolve, observable: Additive, terms: Terms, batches: int) -> PyTree:
    """Averages of `terms` over consecutive stretches of equal weight: leaves with a leading axis of `batches`."""

    def start(law: Evolve, state: State) -> PyTree:
        zeros = jax.tree.map(lambda z: jnp.zeros((batches, *z.shape), z.dtype), _zeros(terms, law, state))
        return zeros, jnp.zeros(batches), 0.0

    def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        totals, weights, passed = carry
        weight = observable.weight(t + 1)
        slot = jnp.clip(jnp.floor((passed + 0.5 * weight) * batches), 0, batches - 1).astype(jnp.int32)
        totals = jax.tree.map(lambda s, x: s.at[slot].add(weight * x), totals, terms(law, after))
        return totals, weights.at[slot].add(weight), passed + weight

    totals, weights, _ = rollout.fold(law, start, update)
    return jax.tree.map(lambda s: s / weights.reshape((-1,) + (1,) * (s.ndim - 1)).astype(s.dtype), totals)


def _zeros(terms: Terms, law: Evolve, state: State) -> PyTree:
    return jax.tree.map(jnp.zeros_like, terms(law, state))


def _add(total: PyTree, passed: Any, weight: Any, values: PyTree) -> tuple[PyTree, Any]:
    return jax.tree.map(lambda s, x: s + weight * x, total, values), passed + weight
