"""Trials over several classes."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from pliant.draw._arguments import between
from pliant.draw.binomial import binomial


def multinomial(key: PRNGKeyArray, n: Any, p: Any) -> Int[Array, "*batch classes"]:
    r"""How many of `n` trials fall into each class, with a derivative by `p` under `pliant.draw.expect`.

    **Arguments**: `key`; `n`: whole numbers >= 0, shape `batch`; `p`: probabilities, shape `(*batch, classes)`, taken relative
    to their sum.

    **Raises** ValueError for a negative probability; TypeError under plain `jax.grad` or `jax.jvp`.

    Class after class, a binomial of the trials that are left: $X_k \sim B(n - \sum_{j<k} X_j,\; p_k / \sum_{j \ge k} p_j)$. Cost:
    one binomial a class; two alternatives each.

    Source: Devroye, Non-Uniform Random Variate Generation (1986), ch. XI.1.4.
    """
    p = between("p", p, 0, float("inf"), "be at least 0")
    left = jnp.broadcast_to(jnp.asarray(n, jnp.int32), p.shape[:-1])
    rest = jnp.flip(jnp.cumsum(jnp.flip(p, -1), -1), -1)
    counts = []
    for k, one in enumerate(jax.random.split(key, p.shape[-1])[:-1]):
        share = jnp.where(rest[..., k] > 0, p[..., k] / jnp.where(rest[..., k] > 0, rest[..., k], 1.0), 0.0)
        counts.append(binomial(one, left, jnp.minimum(share, 1.0)))
        left = left - counts[-1]
    return jnp.stack([*counts, left], axis=-1)
