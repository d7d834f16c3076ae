"""Counts in bins, differentiable in the events and in the edges."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from pliant.core.trees import floating
from pliant.smooth._arguments import positive_width
from pliant.smooth._kernels import kernel_of


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

    Raises ValueError for a width that is not positive, edges that are not one increasing row of at least two,
    weights of another shape, or a kernel not listed. Cost: O(events x bins), in memory too.

    Source: the histogram of a kernel density; as a differentiable summary in neos, Simpson and Heinrich, J. Phys. Conf.
    Ser. 2438, 012105 (2023).
    """
    step, values, bounds = kernel_of(kernel).step, floating(events), _increasing(edges)
    q = jnp.ones_like(values) if weights is None else floating(weights)
    if q.shape != values.shape:
        raise ValueError(f"Argument `weights` must have the shape of `events`, {values.shape}, but it was {q.shape}.")
    width = jnp.broadcast_to(positive_width(width), values.shape)
    below = step((bounds - values.reshape(-1, 1)) / width.reshape(-1, 1))
    return q.ravel() @ jnp.diff(below, axis=1)


def _increasing(edges: ArrayLike) -> Float[Array, "edges"]:
    if np.ndim(edges) != 1 or np.size(edges) < 2:
        raise ValueError(f"Argument `edges` must have shape (bins + 1,), but it was {np.shape(edges)}.")
    if not isinstance(edges, Tracer) and not np.all(np.diff(np.asarray(edges)) > 0):
        raise ValueError("Argument `edges` must increase from each edge to the next, but they did not.")
    return floating(edges)
