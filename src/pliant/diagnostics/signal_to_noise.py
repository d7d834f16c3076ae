"""The signal-to-noise ratio of a gradient."""

import numpy as np
from jaxtyping import PyTree

from pliant.core.estimate import GradientEstimate, as_columns


def signal_to_noise(gradients: PyTree | GradientEstimate) -> float:
    r"""The signal-to-noise ratio of ONE replicate, $\|\mathbb E[g]\| / \sqrt{\operatorname{tr} \operatorname{Var}[g]}$.

    **Arguments**: `gradients`: a tree of per-replica gradients with a leading axis of replicas, or a `GradientEstimate`
    (made with `keep_replicates=True`, or else its value and error serve). An average of R replicates has sqrt(R) times
    this ratio; that is `estimate.snr`.

    Raises ValueError for fewer than two replicas. Cost: one pass over the gradients.

    Source: Roberts and Tedrake, "Signal-to-noise ratio analysis of policy gradient algorithms", NIPS 2008, equation 11;
    Parmas, Rasmussen, Peters and Doya, ICML 2018.
    """
    if isinstance(gradients, GradientEstimate):
        return gradients.snr / float(np.sqrt(gradients.replicas))
    values = as_columns(gradients)
    if len(values) < 2:
        raise ValueError(f"Argument `gradients` must hold at least 2 replicas, but it held {len(values)}.")
    noise = np.sqrt(np.sum(np.var(values, axis=0, ddof=1)))
    return float(np.linalg.norm(np.mean(values, axis=0)) / noise)
