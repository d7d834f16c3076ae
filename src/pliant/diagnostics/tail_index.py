"""The tail index of a gradient: has it a variance at all?"""

from jaxtyping import PyTree

from pliant.core import statistics
from pliant.core.estimate import GradientEstimate, as_columns, per_replica
from pliant.core.verdict import tail_of


def tail_index(gradients: PyTree | GradientEstimate) -> float:
    r"""The Pareto $\hat k$ of the heaviest tail of per-replica gradients.

    **Arguments**: `gradients`: an array of values, a tree of per-replica gradients with a leading axis of replicas, or a
    `GradientEstimate` made with `keep_replicates=True`.

    Moments of order 1/k and above are infinite: at k >= 0.5 an error bar is not to be trusted, at k >= 0.7 neither is
    the mean at any feasible number of replicas. Up to eight components are judged one by one, more by their joint norm.
    nan for fewer than 25 replicas. The estimate itself has a standard error of about (1 + k) / sqrt(M) with M values in
    the tail, M = min(R/5, 3 sqrt(R)).

    Source: Zhang and Stephens, Technometrics 51, 316 (2009); Vehtari, Simpson, Gelman, Yao and Gabry, JMLR 25, 1 (2024).
    """
    columns = as_columns(per_replica(gradients))
    if columns.shape[1] == 1:
        return statistics.tail_index(columns)
    return tail_of(columns, [""] * columns.shape[1])[0]
