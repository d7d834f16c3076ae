"""Resampling of weighted particles with one uniform."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from pliant.core.chance.draws import guarded
from pliant.core.validate import positive_whole
from pliant.draw._arguments import between, key_of


def systematic(key: PRNGKeyArray, weights: Any, count: int | None = None) -> Int[Array, " count"]:
    r"""Indices of particles drawn in proportion to their weights by systematic resampling, in ascending order.

    $i_j = \min\{k : C_k > (j + u)/n\}$ with the cumulative weights C and one uniform u for all j: a particle of weight w
    comes $\lfloor n w \rfloor$ or $\lceil n w \rceil$ times.

    **Arguments**: `key`; `weights` >= 0, shape `(particles,)`, taken relative to their sum; `count`: how many are drawn, as many
    as there are particles by default.

    **Raises** ValueError for negative weights; TypeError under plain `jax.grad` or `jax.jvp`.

    Under `pliant.draw.expect` the uniform is moved to where an index switches, which is unbiased: $\partial \mathbb E f = n
    \sum_k \partial C_k\,(f^-_k - f^+_k)$. Two runs for each of the `particles` - 1 switches; count x particles alternatives are
    looked at. No score function: a switch has no probability given the other indices.

    Source: Kitagawa, J. Comput. Graph. Stat. 5, 1 (1996), appendix; Gong and Ho, IEEE Trans. Autom. Control 32, 858 (1987).
    """
    weights = between("weights", weights, 0, float("inf"), "be at least 0")
    if weights.ndim != 1:
        raise ValueError(f"Argument `weights` must have the shape (particles,), but it had the shape {weights.shape}.")
    drawn = weights.shape[0] if count is None else positive_whole("count", count)
    ladder = jnp.cumsum(guarded(weights, name="systematic"))
    uniform = jax.random.uniform(key_of(key), (), weights.dtype)
    rungs = (jnp.arange(drawn, dtype=weights.dtype)[:, None] + uniform) / drawn
    # The last rung of the ladder is the sum: nothing lies above it, whatever round-off says.
    return jnp.sum(rungs >= (ladder[:-1] / ladder[-1])[None, :], axis=1, dtype=jnp.int32)
