"""A biased coin."""

from typing import Any

from jaxtyping import Array, Bool, PRNGKeyArray

from pliant.core.chance import draws
from pliant.draw._arguments import between, common, key_of


def bernoulli(key: PRNGKeyArray, p: Any, shape: tuple[int, ...] | None = None) -> Bool[Array, "*shape"]:
    r"""True with probability `p`, as `jax.random.bernoulli` draws it, with a derivative under `pliant.draw.expect`.

    **Arguments**: `key`; `p` in [0, 1], any shape that broadcasts to `shape` (its own by default).

    **Raises** ValueError for a probability outside [0, 1]; TypeError under plain `jax.grad` or `jax.jvp`, where a derivative
    with respect to `p` would silently be zero.

    Swapped for its opposite with weight one: $\partial_p \mathbb E f = \mathbb E[f(1) - f(0)]$ at every draw. Cost of a draw:
    one uniform; one alternative.

    Source: Arya, Schauer, Schäfer and Rackauckas, NeurIPS (2022), sec. 2.
    """
    shape, (p,) = common(shape, between("p", p, 0, 1, "lie in [0, 1]"))
    return draws.draw(draws.Bernoulli(), key_of(key), p, shape=shape).astype(bool)
