"""What one replica hands over, and how a set of replicas becomes influence values that may simply be averaged.

An estimator's gradient over R replicas is the mean of R influence values, and its error bar their standard deviation
over sqrt(R). For estimators that average over replicas these are the replicas' own gradients; for those built from
products of averages they are the jackknife's pseudo-values, which average to the unbiased (U-statistic) estimate.
"""

import abc
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree


class Contribution(eqx.Module):
    """The statistics of one replica; gathered, they are numpy arrays with a leading axis of replicas.

    Every contribution has the fields `observable`, shape `obs`, and `unfinished`: 1 where the horizon cut the observable
    short, 0 elsewhere, or None.
    """

    @abc.abstractmethod
    def influence(self) -> PyTree:
        """Per-replica values whose mean is the gradient: leaves of shape `(replicas, *obs, *parameter)`."""

    def mixing(self) -> dict[str, tuple[Array, Array]]:
        """Averages over the first and the second half of each trajectory, by name; empty where none were taken."""
        return {}

    def bias(self) -> tuple[Any, PyTree] | None:
        """The sizes of the systematic errors left in the observable and in the gradient; they widen the error bars.

        Shapes `obs` and `(*obs, *parameter)`; None where there are none.
        """
        return None

    def findings(self) -> list[str]:
        """What the run itself showed that speaks against trust: reasons of the verdict."""
        return []

    def notes(self) -> list[str]:
        """What the run itself showed that is good to know: notes of the verdict."""
        return []


class Direct(Contribution):
    """A replica's own unbiased gradient."""

    observable: Float[Array, "*obs"]
    gradient: PyTree
    unfinished: Float[Array, ""] | None = None

    def influence(self) -> PyTree:
        return self.gradient


class Solved(Direct):
    """A deterministic solve: one replica without spread, whose error bars are what the solver leaves.

    **Fields** beside those of `Direct`: `errors` of the observable and of the gradient, shapes as in `bias`.
    """

    errors: tuple[Any, PyTree] | None = None

    def bias(self) -> tuple[Any, PyTree] | None:
        return self.errors


class Forward(Contribution):
    """A replica's observable alone."""

    observable: Float[Array, "*obs"]
    unfinished: Float[Array, ""] | None = None

    def influence(self) -> PyTree:
        return self.observable


class Covariance(Contribution):
    r"""The averages behind $E[\partial O] + E[O S] - E[O] E[S]$ with a score $S$.

    **Fields** beside the observable: `score` like the parameters; `product` of observable and score and `explicit`
    derivative of the observable, leaves of shape `(*obs, *parameter)`; `halves`: averages over the two halves of the
    trajectory for the test of mixing.

    The product of means is taken over pairs of different replicas, which makes the estimate unbiased at any number of
    replicas (leave-one-out centring). Source: Hoeffding, Ann. Math. Stat. 19, 293 (1948); Miller, Biometrika 61, 1 (1974).
    """

    observable: Float[Array, "*obs"]
    score: PyTree
    product: PyTree
    explicit: PyTree
    unfinished: Float[Array, ""] | None = None
    halves: dict[str, tuple[Array, Array]] = eqx.field(default_factory=dict)

    def influence(self) -> PyTree:
        def leaf(score: Any, product: Any, explicit: Any) -> Any:
            # Methods of arrays alone: they serve numpy without a compilation, and jax under vmap.
            pairs = pairs_of(self.observable.astype(float), score.astype(float))
            return explicit + product - pairs.astype(score.dtype)

        return jax.tree.map(leaf, self.score, self.product, self.explicit)

    def mixing(self) -> dict[str, tuple[Array, Array]]:
        return self.halves


def pairs_of(a: Any, b: Any) -> Any:
    """Pseudo-values of the product of the two means, taken over pairs of different replicas."""
    replicas = a.shape[0]
    if replicas < 2:
        return np.full((1, *a.shape[1:], *b.shape[1:]), np.nan)
    others_a, others_b = _others(a), _others(b)
    cross = outer(a, others_b).mean(axis=0)
    return outer(a, others_b) + outer(others_a, b) - cross


def _others(values: Any) -> Any:
    """The mean over all other replicas, for each of them."""
    return (values.sum(axis=0) - values) / (values.shape[0] - 1)


def outer(a: Any, b: Any) -> Any:
    """The outer product of the trailing axes for every replica."""
    return a.reshape(a.shape + (1,) * (b.ndim - 1)) * b.reshape(b.shape[:1] + (1,) * (a.ndim - 1) + b.shape[1:])
