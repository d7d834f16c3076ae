"""How long a chain remembers."""

import numpy as np
from jaxtyping import ArrayLike

from pliant.core import statistics


def integrated_autocorrelation_time(series: ArrayLike, *, window: float = 5.0) -> tuple[float, float]:
    r"""The integrated autocorrelation time $\tau = \frac12 + \sum_{t \ge 1} \rho(t)$ in steps, and its standard error.

    **Arguments**: `series`: shape (steps,), or (chains, steps) for chains of the same law; `window`: the sum runs to the
    smallest W with $W \ge$ window $\cdot\, \tau(W)$.

    The variance of a mean of n values is $2 \tau / n$ times that of one value; independent values have $\tau = 1/2$. The
    estimate is biased low for chains shorter than some 50 $\tau$.

    Raises ValueError for fewer than four steps. Cost: a fast Fourier transform.

    Source: Sokal, "Monte Carlo methods in statistical mechanics" (1997), section 3; Wolff, Comput. Phys. Commun. 156,
    143 (2004).
    """
    values = np.asarray(series, dtype=float)
    if values.ndim not in (1, 2) or values.shape[-1] < 4:
        raise ValueError(
            f"Argument `series` must have shape (steps,) or (chains, steps) with at least 4 steps, but it was {values.shape}."
        )
    return statistics.integrated_autocorrelation_time(values, window)
