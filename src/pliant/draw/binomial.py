"""Successes among independent trials."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from pliant.core.chance import draws
from pliant.draw._arguments import between, common, key_of


def binomial(key: PRNGKeyArray, n: Any, p: Any, shape: tuple[int, ...] | None = None) -> Int[Array, "*shape"]:
    r"""The number of successes of `n` trials of probability `p`, with a derivative by `p` under `pliant.draw.expect`.

    **Arguments**: `key`; `n`: whole numbers >= 0, which may depend on earlier draws; `p` in [0, 1]; both broadcast to `shape`.

    **Raises** ValueError for a probability outside [0, 1]; TypeError under plain `jax.grad` or `jax.jvp`.

    One of the trials is switched: $\partial_p \mathbb E f = \mathbb E[(n - X)(f(X+1) - f(X)) + X (f(X) - f(X-1))]$. Cost of a
    draw: additions in proportion to n min(p, 1 - p), by inversion, so that a draw is monotone in p; two alternatives.

    Source: Arya, Schauer, Schäfer and Rackauckas, NeurIPS (2022), app. B, averaged over the trials; Kachitvichyanukul and
    Schmeiser, Commun. ACM 31, 216 (1988), for inversion.
    """
    shape, (trials, p) = common(shape, jnp.asarray(n, jnp.int32), between("p", p, 0, 1, "lie in [0, 1]"))
    return draws.draw(draws.Binomial(), key_of(key), trials, p, shape=shape)
