"""How much the length of a gradient scatters."""

import numpy as np
from jaxtyping import PyTree

from pliant.core.estimate import GradientEstimate, as_columns, per_replica


def norm_stability(gradients: PyTree | GradientEstimate) -> float:
    r"""The relative variance of the norm of a replicate, $\operatorname{Var}\|g\| / (\mathbb E\|g\|)^2$.

    **Arguments**: `gradients`: an array of values, a tree of per-replica gradients with a leading axis of replicas, or a
    `GradientEstimate` made with `keep_replicates=True`.

    0 for gradients of one length, $\pi/2 - 1$ = 0.57 for a normal scalar about zero, growing without bound where a
    few replicas dominate: exploding gradients show here before their mean does. It does not see directions: a gradient
    that is all noise, of constant norm, is "stable". Of n replicas at most n - 1 can be found.

    Raises ValueError for fewer than two replicas. Cost: one pass over the gradients.

    Source: the squared coefficient of variation; as a figure of merit for optimisation, the growth constant of
    stochastic gradients in Bottou, Curtis and Nocedal, SIAM Rev. 60, 223 (2018), equation 4.9.
    """
    norms = np.linalg.norm(as_columns(per_replica(gradients)), axis=1)
    if len(norms) < 2:
        raise ValueError(f"Argument `gradients` must hold at least 2 replicas, but it held {len(norms)}.")
    return float(np.var(norms, ddof=1) / np.mean(norms) ** 2)
