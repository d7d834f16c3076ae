"""How many independent samples a weighted or a correlated sample is worth."""

import numpy as np
from jaxtyping import ArrayLike

from pliant.core import statistics


def effective_sample_size(weights: ArrayLike | None = None, *, chain: ArrayLike | None = None) -> float:
    r"""The effective sample size of importance weights, or of a correlated chain.

    **Arguments**, one of the two: `weights` $w_i \ge 0$, shape (n,), for Kish's $(\sum w)^2 / \sum w^2$; `chain`, shape
    (steps,) or (chains, steps), for $n / 2 \tau_{int}$ with the integrated autocorrelation time.

    Raises ValueError where neither or both are given, or for weights that are negative or all zero.

    Source: Kish, Survey Sampling (1965), section 8.2; Sokal, "Monte Carlo methods in statistical mechanics" (1997).
    """
    if (weights is None) == (chain is None):
        raise ValueError("Give either `weights` or `chain`, not both and not neither.")
    if chain is not None:
        tau, _ = statistics.integrated_autocorrelation_time(np.asarray(chain))
        return float(np.size(chain) / (2 * tau))
    given = np.asarray(weights, dtype=float)
    if np.any(given < 0) or not np.any(given > 0):
        raise ValueError(
            f"Argument `weights` must be >= 0 and not all zero, but their minimum was {np.min(given):.3g}."
        )
    return statistics.effective_sample_size(given)
