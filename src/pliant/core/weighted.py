"""Averages over states that do not all weigh the same, online."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.laws import Evolve


class WeightedMean(eqx.Module):
    r"""The ratio $\sum w f / \sum w$ as two plain sums: how one state enters does not depend on those before it.

    Weights are given by their logarithms, which must lie below 88 in single and 709 in double precision; the mean is not
    finite where they do not.

    **Fields**: `total`, a tree: $\sum w f$; `weight`: $\sum w$.
    """

    total: PyTree
    weight: Float[Array, ""]

    @staticmethod
    def empty(values: PyTree, log_weight: Float[Array, ""]) -> "WeightedMean":
        """Nothing yet, for values and weights like these."""
        return WeightedMean(jax.tree.map(jnp.zeros_like, values), jnp.zeros_like(log_weight))

    def add(self, values: PyTree, log_weight: Float[Array, ""], share: Any = 1.0) -> "WeightedMean":
        """With one more state, counted `share` times (0 leaves it out)."""
        weight = share * jnp.exp(jnp.where(share > 0, log_weight, 0.0))
        return WeightedMean(jax.tree.map(lambda s, x: s + weight * x, self.total, values), self.weight + weight)

    def since(self, earlier: "WeightedMean") -> "WeightedMean":
        """What was added after `earlier`."""
        return jax.tree.map(jnp.subtract, self, earlier)

    @property
    def mean(self) -> PyTree:
        """The average; nan where nothing was added."""
        return jax.tree.map(lambda s: s / self.weight, self.total)


def weighs_samples(law: Evolve) -> bool:
    """Whether states of `law` have weights in time averages."""
    weight = eqx.filter_eval_shape(lambda law: law.log_sample_weight(law.init(jax.random.key(0))), law)
    return weight is not None
