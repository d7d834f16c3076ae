"""Stored samples carried to new parameters by self-normalised weights."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pliant.core.estimate import Estimate
from pliant.core.laws import Evolve, HasStationaryDensity, State, require
from pliant.core.observable import Function
from pliant.core.statistics import effective_sample_size, tail_index

_ENOUGH, _RELIABLE = 0.1, 0.7


class Reweighted(Estimate):
    """A stationary average at new parameters.

    **Fields** beside value and standard error: `ess`: the effective number of samples; `tail_index` of the weights;
    `reasons` that speak against trust.
    """

    ess: float = 0.0
    tail_index: float = 0.0
    reasons: list[str] = eqx.field(default_factory=list)

    @property
    def trusted(self) -> bool:
        """Whether enough weight is left on enough samples."""
        return not self.reasons


def perturbed(samples: State, law: Evolve, new_law: Evolve, function: Function) -> Reweighted:
    """The self-normalised average, its delta-method error, and what the weights say about it."""
    for given in (law, new_law):
        require(given, HasStationaryDensity, "Reweighting.perturb")
    values, log_weights = _weigh(samples, law, new_law, function)
    weights = np.exp(log_weights - np.max(log_weights))
    weights /= np.sum(weights)
    columns = weights.reshape((-1,) + (1,) * (values.ndim - 1))
    mean = np.sum(columns * values, axis=0)
    error = np.sqrt(np.sum((columns * (values - mean)) ** 2, axis=0))
    ess, tail = effective_sample_size(weights), tail_index(weights)
    return Reweighted(jnp.asarray(mean), jnp.asarray(error), None, ess, tail, list(_reasons(ess, tail, len(weights))))


@eqx.filter_jit
def _both(samples: State, law: Any, new_law: Any, function: Function) -> tuple[jax.Array, jax.Array]:
    def one(state: State) -> tuple[jax.Array, jax.Array]:
        return function(new_law, state), new_law.log_density(state) - law.log_density(state)

    return jax.vmap(one)(samples)


def _weigh(samples: State, law: Evolve, new_law: Evolve, function: Function) -> tuple[np.ndarray, np.ndarray]:
    values, log_weights = _both(samples, law, new_law, function)
    return np.asarray(values, np.float64), np.asarray(log_weights, np.float64)


def _reasons(ess: float, tail: float, count: int) -> Iterator[str]:
    if ess < _ENOUGH * count:
        yield (
            f"the weights have collapsed: {ess:.1f} of {count} samples are effective; sample again nearer to the new "
            "parameters, or go there in smaller steps."
        )
    if tail >= _RELIABLE:
        yield (
            f"the tail index of the weights is k = {tail:.2f} >= 0.7: a few samples carry the average; sample again "
            "nearer to the new parameters."
        )
