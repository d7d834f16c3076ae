"""Counts in bins, differentiable in the events and in the edges."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, width_of_events
from pliant.smooth._kernels import in_widths, kernel_of


def histogram(
    events: ArrayLike,
    width: ArrayLike,
    *,
    edges: ArrayLike,
    weights: ArrayLike | None = None,
    kernel: str = "logistic",
) -> Float[Array, "bins"]:
    r"""Each event spread over the bins by exact integrals: $\sum_i q_i [K((e_{b+1} - x_i)/w) - K((e_b - x_i)/w)]$.

    **Arguments**: `events` $x_i$, any shape; `width` $w > 0$ in their units, one or one an event; `edges` $e_b$,
    shape (bins + 1,), increasing, spaced as one likes; `weights` $q_i$ in the shape of the events, or 1; `kernel`,
    as in `step`.

    The counts are positive for positive weights. Their sum is that of the weights where the range covers the kernels:
    exactly for "cubic" at a distance w from both ends, else up to the tails. An event outside is lost, as in the sharp
    histogram. Averaged over a smooth density p of events, the bias of a count is
    $\frac12 \sigma^2 w^2 [p'(e_{b+1}) - p'(e_b)] + O(w^4)$ an event: order 2.

    The first and the last edge may be infinite: open bins, which count infinite events as well.

    Raises ValueError for what is no number, a width that is not positive or of another shape, edges that are not one
    increasing row of at least two, weights of another shape, or a kernel not listed. Cost: O(events x bins), in memory
    too.

    Source: the histogram of a kernel density; as a differentiable summary in neos, Simpson and Heinrich, J. Phys. Conf.
    Ser. 2438, 012105 (2023).
    """
    step, values, bounds = kernel_of(kernel).step, numbers("events", events), _increasing(edges)
    q = jnp.ones_like(values) if weights is None else numbers("weights", weights)
    if q.shape != values.shape:
        raise ValueError(f"Argument `weights` must have the shape of `events`, {values.shape}, but it was {q.shape}.")
    width = width_of_events(width, values)
    # All events lie on one side of an infinite edge, infinite events too: an open bin counts them.
    open_end = jnp.isinf(bounds)
    risen = step(in_widths(jnp.where(open_end, 0, bounds) - values.reshape(-1, 1), width.reshape(-1, 1)))
    below = jnp.where(open_end, bounds > 0, risen)
    return q.ravel() @ jnp.diff(below, axis=1)


def _increasing(edges: ArrayLike) -> Float[Array, "edges"]:
    bounds = numbers("edges", edges)
    if bounds.ndim != 1 or bounds.size < 2:
        raise ValueError(f"Argument `edges` must have shape (bins + 1,), but it was {bounds.shape}.")
    if not isinstance(bounds, Tracer) and not np.all(np.diff(np.asarray(bounds)) > 0):
        raise ValueError(f"Argument `edges` must increase from each edge to the next, but it was {edges}.")
    return bounds
