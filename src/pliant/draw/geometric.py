"""Trials up to the first success."""

from typing import Any

from jaxtyping import Array, Int, PRNGKeyArray

from pliant.core.chance import draws
from pliant.draw._arguments import between, common, key_of


def geometric(key: PRNGKeyArray, p: Any, shape: tuple[int, ...] | None = None) -> Int[Array, "*shape"]:
    r"""The number of trials up to the first success (1, 2, ...), with a derivative under `pliant.draw.expect`.

    **Arguments**: `key`; `p` in (0, 1], any shape that broadcasts to `shape`.

    **Raises** ValueError for a probability outside [0, 1]; TypeError under plain `jax.grad` or `jax.jvp`.

    With X' an independent copy, $\partial_p \mathbb E f = \mathbb E[f(X) - f(X + X')] / p$: the derivative of the mass function
    is 1/p times what lies between the first success and the second. Cost of a draw: one uniform; one alternative.

    Source: Heidergott and Vázquez-Abad, J. Optim. Theory Appl. 136, 187 (2008), for derivatives of the geometric law.
    """
    shape, (p,) = common(shape, between("p", p, 0, 1, "lie in (0, 1]"))
    return draws.draw(draws.Geometric(), key_of(key), p, shape=shape)
