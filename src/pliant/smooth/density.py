"""A density from events."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, width_of_events
from pliant.smooth._kernels import in_widths, kernel_of


def density(
    events: ArrayLike,
    width: ArrayLike,
    *,
    points: ArrayLike,
    weights: ArrayLike | None = None,
    kernel: str = "gaussian",
) -> Float[Array, "*points"]:
    r"""The kernel density estimate $\hat p(y) = \sum_i q_i\, k((y - x_i)/w) / (w \sum_i q_i)$ of numbers.

    **Arguments**: `events` $x_i$, any shape; `width` $w > 0$ in their units, one or one an event; `points` $y$, any
    shape; `weights` $q_i$ in the shape of the events, or 1; `kernel`, as in `step`.

    It integrates to one. Its bias at a point is $\frac12 \sigma^2 w^2 p''(y) + O(w^4)$: order 2. Its variance is
    $p(y) \int k^2 / (n w)$, so that the least mean square error has $w \propto n^{-1/5}$.

    Raises ValueError for what is no number, a width that is not positive or of another shape, no events, weights of
    another shape, or a kernel not listed. An infinite event is nowhere. Cost: O(events x points), in memory too.

    Source: Parzen, Ann. Math. Stat. 33, 1065 (1962); Silverman, Density Estimation (1986), section 3.3.
    """
    values, targets = numbers("events", events), numbers("points", points)
    q = jnp.ones_like(values) if weights is None else numbers("weights", weights)
    if values.size == 0 or q.shape != values.shape:
        raise ValueError(
            f"Argument `events` must not be empty, and `weights` of its shape, but the shapes were {values.shape}, {q.shape}."
        )
    width = width_of_events(width, values).ravel()
    spread = kernel_of(kernel).density(in_widths(targets[..., None] - values.ravel(), width)) / width
    return spread @ (q.ravel() / jnp.sum(q))
