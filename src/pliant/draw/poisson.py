"""Events at a mean."""

from typing import Any

from jaxtyping import Array, Int, PRNGKeyArray

from pliant.core.chance import draws
from pliant.draw._arguments import between, common, key_of


def poisson(key: PRNGKeyArray, rate: Any, shape: tuple[int, ...] | None = None) -> Int[Array, "*shape"]:
    r"""The number of events at the mean `rate`, with a derivative under `pliant.draw.expect`.

    **Arguments**: `key`; `rate` >= 0, any shape that broadcasts to `shape`.

    **Raises** ValueError for a negative rate; TypeError under plain `jax.grad` or `jax.jvp`.

    One more event: $\partial_\lambda \mathbb E f = \mathbb E[f(X + 1) - f(X)]$. Cost of a draw: additions in proportion to the
    rate, by inversion, so that a draw is monotone in it; one alternative. Draw a rate above some thousands as a normal.

    Source: Arya, Schauer, Schäfer and Rackauckas, NeurIPS (2022), app. B; Devroye, Non-Uniform Random Variate Generation
    (1986), ch. X.3, for inversion.
    """
    shape, (rate,) = common(shape, between("rate", rate, 0, float("inf"), "be at least 0"))
    return draws.draw(draws.Poisson(), key_of(key), rate, shape=shape)
