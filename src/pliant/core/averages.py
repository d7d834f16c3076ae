"""Weighted averages of functions of the state along a trajectory, online: whole, by halves, and by batches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pliant.core.laws import Evolve, State
from pliant.core.observable import Additive
from pliant.core.rollout import Rollout
from pliant.core.weighted import WeightedMean

# Batches of one long chain: enough for an error bar to 10 %, few enough to be longer than most correlation times.
BATCHES = 64

Terms = Callable[[Evolve, State], PyTree]


def whole_and_first_half(
    rollout: Rollout, law: Evolve, observable: Additive, terms: Terms
) -> tuple[PyTree, PyTree, PyTree]:
    """Averages of `terms` with the observable's weights: over the trajectory, its first half and its second.

    The halves are by weight, to the nearest block of steps. They have no meaning where the observable is not `spread`
    over several blocks. States of a law that weighs its samples are weighed.
    """
    if law.log_sample_weight(rollout.initial(law)) is not None:
        return _weighted_halves(rollout, law, observable, terms)

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


def _weighted_halves(
    rollout: Rollout, law: Evolve, observable: Additive, terms: Terms
) -> tuple[PyTree, PyTree, PyTree]:
    """The same with the law's own weights: ratios of sums over each part of the trajectory, by time."""

    def start(law: Any, state: State) -> PyTree:
        empty = WeightedMean.empty(terms(law, state), law.log_sample_weight(state))
        return empty, empty, 0.0

    def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        whole, first, passed = carry
        share = observable.weight(t + 1)
        return whole.add(terms(law, after), law.log_sample_weight(after), share), first, passed + share

    def after_block(carry: PyTree) -> PyTree:
        whole, first, passed = carry
        return whole, jax.tree.map(lambda new, old: jnp.where(passed < 0.5 + 1e-6, new, old), whole, first), passed

    whole, first, _ = rollout.fold(law, start, update, after_block=after_block)
    return whole.mean, first.mean, whole.since(first).mean


def in_batches(rollout: Rollout, law: Evolve, observable: Additive, terms: Terms, batches: int) -> PyTree:
    """Averages of `terms` over consecutive stretches of equal weight: leaves with a leading axis of `batches`.

    States of a law that weighs its samples are weighed within each stretch.
    """
    if law.log_sample_weight(rollout.initial(law)) is not None:
        return _weighted_batches(rollout, law, observable, terms, batches)

    def start(law: Evolve, state: State) -> PyTree:
        zeros = jax.tree.map(lambda z: jnp.zeros((batches, *z.shape), z.dtype), _zeros(terms, law, state))
        return zeros, jnp.zeros(batches), 0.0

    def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        totals, weights, passed = carry
        weight = observable.weight(t + 1)
        slot = _slot(passed + 0.5 * weight, batches)
        totals = jax.tree.map(lambda s, x: s.at[slot].add(weight * x), totals, terms(law, after))
        return totals, weights.at[slot].add(weight), passed + weight

    totals, weights, _ = rollout.fold(law, start, update)
    return jax.tree.map(lambda s: s / weights.reshape((-1,) + (1,) * (s.ndim - 1)).astype(s.dtype), totals)


def _weighted_batches(rollout: Rollout, law: Evolve, observable: Additive, terms: Terms, batches: int) -> PyTree:
    """The same with the law's own weights: a ratio of sums for each stretch, biased by one over its length."""

    def start(law: Any, state: State) -> PyTree:
        empty = WeightedMean.empty(terms(law, state), law.log_sample_weight(state))
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (batches, *x.shape)), empty), 0.0

    def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        means, passed = carry
        share = observable.weight(t + 1)
        slot = _slot(passed + 0.5 * share, batches)
        mean = jax.tree.map(lambda x: x[slot], means).add(terms(law, after), law.log_sample_weight(after), share)
        return jax.tree.map(lambda x, new: x.at[slot].set(new), means, mean), passed + share

    means, _ = rollout.fold(law, start, update)
    return jax.vmap(lambda mean: mean.mean)(means)


def _slot(passed: Any, batches: int) -> Array:
    """The batch that holds what lies after a part `passed` of the whole."""
    return jnp.clip(jnp.floor(passed * batches), 0, batches - 1).astype(jnp.int32)


def _zeros(terms: Terms, law: Evolve, state: State) -> PyTree:
    return jax.tree.map(jnp.zeros_like, terms(law, state))


def _add(total: PyTree, passed: Any, weight: Any, values: PyTree) -> tuple[PyTree, Any]:
    return jax.tree.map(lambda s, x: s + weight * x, total, values), passed + weight
