"""The score function at the level of the whole program: what was seen in all, times the score of all that was drawn."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Contribution, Covariance, Direct, outer
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import HasPathDensity, State
from pliant.core.observable import Function, as_function
from pliant.core.rollout import Rollout
from pliant.estimators import _explicit, _score

_BASELINES = ("leave_one_out", "optimal", "none")


class ScoreFunction(Estimator):
    r"""The likelihood-ratio gradient of the whole program, $\mathbb E[\partial_\theta O + (O - b)\,S]$.

    $S = \partial_\theta \log p(\tau)$ is the score of the exact discrete path density. Any observable is served, jumping
    ones too (passage times, committors, indicators); of its time order nothing is used. `Girsanov` is the causal form,
    with less variance for time averages.

    **Arguments**: `baseline`, which changes the variance and never the mean:

    - "leave_one_out": the mean of the observable over the other replicas;
    - "optimal": $b = \mathbb E[O S^2] / \mathbb E[S^2]$ for every parameter and component of the observable, which has the
      least variance of all constants; estimated from the other replicas, so that it is independent of the one it serves;
    - "none": nothing is taken off: the reference to compare with;
    - a function of the initial state (or of state and law), with values of the observable's shape or of shape (). Its
      product with the score of the steps has mean zero; the score of the initial state is left as it is.

    Requires `HasPathDensity`. Cost: one forward run and one derivative of the step's log density, in memory independent of
    the horizon. The variance grows in proportion to the horizon, and as 1/dt for parameters of the noise's amplitude.
    Estimating the optimal baseline from R replicas adds a share O(1/R) to its variance.

    Aliases: REINFORCE, score-function or likelihood-ratio estimator, with a control variate.

    Source: Williams, Mach. Learn. 8, 229 (1992); Greensmith, Bartlett and Baxter, JMLR 5, 1471 (2004), theorem 13, for
    the optimal constant; Kool, van Hoof and Welling, ICLR workshop (2019), for leave-one-out.
    """

    baseline: str | Function
    requires: ClassVar[tuple[type, ...]] = (HasPathDensity,)

    def __init__(self, baseline: str | Callable = "leave_one_out"):
        if not callable(baseline) and baseline not in _BASELINES:
            raise ValueError(
                f"Argument `baseline` must be one of {', '.join(_BASELINES)} or a function of the initial state, but it was "
                f"{baseline!r}."
            )
        self.baseline = as_function(baseline) if callable(baseline) else baseline

    def check(self, problem: Problem) -> None:
        super().check(problem)
        _score.refuse_singular(problem, "ScoreFunction")
        _score.refuse_uncovered(problem, "ScoreFunction")

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        value, score, initial, unfinished = _score.of_path(problem, rollout)
        explicit = _explicit.of_trajectory(problem, rollout)
        if self.baseline == "optimal":
            return _OptimallyCentred(value, score, explicit, unfinished)
        product = jax.tree.map(lambda s: jnp.tensordot(value, s, axes=0), score)
        if self.baseline == "leave_one_out":
            return Covariance(value, score, product, explicit, unfinished)
        uncentred = jax.tree.map(jnp.add, explicit, product)
        if self.baseline == "none":
            return Direct(value, uncentred, unfinished)
        level = self._level(problem.law(), rollout, value)
        # The initial density may depend on parameters: given the initial state only the steps' score has mean zero.
        centred = lambda g, s, s0: g - jnp.tensordot(level, s - s0, axes=0)
        return Direct(value, jax.tree.map(centred, uncentred, score, initial), unfinished)

    def _level(self, law: Any, rollout: Rollout, value: Float[Array, "*obs"]) -> Float[Array, "*obs"]:
        """The user's baseline at the initial state of this trajectory."""
        state: State = rollout.initial(law.prepared())
        level = self.baseline(law, state)  # pyright: ignore[reportCallIssue]
        if level.shape not in ((), value.shape):
            raise ValueError(
                f"Argument `baseline` must return the observable's shape {value.shape} or a scalar, but it returned the "
                f"shape {level.shape}."
            )
        return jnp.broadcast_to(level, value.shape).astype(value.dtype)


class _OptimallyCentred(Contribution):
    r"""A replica's observable, score and explicit derivative, to be centred with the variance-optimal constant.

    The constant that meets a replica is that of all others: the values average to an unbiased estimate, and to first order
    they are its influence values, since the score that multiplies the constant's error has mean zero.
    """

    observable: Float[Array, "*obs"]
    score: PyTree
    explicit: PyTree
    unfinished: Float[Array, ""] | None = None

    def influence(self) -> PyTree:
        observed = self.observable.astype(float)

        # Methods of arrays alone: they serve numpy without a compilation, and jax under vmap.
        def leaf(score: Any, explicit: Any) -> Any:
            product, s = outer(observed, score.astype(float)), outer(observed**0, score.astype(float))
            spread = _others(s * s)
            level = _others(product * s) / (spread + (spread == 0))
            return (explicit + product - level * s).astype(explicit.dtype)

        return jax.tree.map(leaf, self.score, self.explicit)


def _others(values: Any) -> Any:
    """The sum over all other replicas, for each of them."""
    return values.sum(axis=0) - values
