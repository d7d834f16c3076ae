"""The likelihood ratio of paths: the score of the discrete path density."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pliant.core.contributions import Contribution, Covariance
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import HasPathDensity, State
from pliant.core.observable import Additive
from pliant.core.rollout import Rollout
from pliant.estimators import _explicit, _score


class Girsanov(Estimator):
    r"""The likelihood-ratio gradient $\mathbb E[\partial_\theta O] + \operatorname{Cov}(O, \partial_\theta \log p(\tau))$.

    The score is that of the exact discrete path density of the scheme, of the path that was sampled: the noise is
    rebuilt from a fixed path, never differentiated as if it were free. It is centred by leave-one-out over replicas,
    and causal for additive observables: what is seen at time t is weighed with the score up to t alone.

    Requires `HasPathDensity`. Cost: one forward run and one derivative of the step's log density, in memory independent
    of the horizon (plus one tangent per parameter where the density remembers the path, as that of BAOAB does). The
    observable may jump. The variance grows in proportion to the horizon, and as 1/dt for parameters of the noise's
    amplitude (temperature, friction): use a pathwise estimator there. Parameters that move the support of the path
    (dt, initial positions) are refused.

    Aliases: score function of the path, REINFORCE, likelihood-ratio method, Girsanov reweighting at first order.

    Source: Glynn, Commun. ACM 33, 75 (1990); Warren and Allen, Phys. Rev. Lett. 109, 250601 (2012); Girsanov, Theory
    Probab. Appl. 5, 285 (1960).
    """

    requires: ClassVar[tuple[type, ...]] = (HasPathDensity,)

    def check(self, problem: Problem) -> None:
        super().check(problem)
        _score.refuse_singular(problem, "Girsanov")
        _score.refuse_uncovered(problem, "Girsanov")

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        if isinstance(problem.observable, Additive):
            return _causal(problem, rollout)
        return _terminal(problem, rollout)


def _causal(problem: Problem, rollout: Rollout) -> Contribution:
    """Every state's term is weighed with the score up to its own time."""
    observable: Any = problem.observable
    fixed: Any = problem.law()

    def zeros(state: State) -> tuple[Array, PyTree]:
        value = observable.term(fixed, state)
        return jnp.zeros_like(value), _per_parameter(value, problem)

    def start(law: Any, state: State) -> PyTree:
        none, product = zeros(state)
        return _score.start(problem, state), none, _per_parameter(jnp.zeros(()), problem), product, product

    def update(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        tracker, average, mean_score, product, explicit = carry
        tracker = _score.step(problem, tracker, state, noise, after, t)
        weight, value = observable.weight(t + 1), observable.term(law, after)
        weighted = jax.tree.map(lambda s: weight * s, tracker[1])
        mean_score = jax.tree.map(jnp.add, mean_score, weighted)
        product = jax.tree.map(lambda p, s: p + jnp.tensordot(value, s, axes=0), product, weighted)
        own = _explicit.of_term(problem, after)
        explicit = jax.tree.map(lambda e, d: e + weight * d, explicit, own)
        return tracker, average + weight * value, mean_score, product, explicit

    _, average, mean_score, product, explicit = rollout.fold(fixed, start, update)
    return Covariance(average, mean_score, product, explicit)


def _terminal(problem: Problem, rollout: Rollout) -> Contribution:
    """The observable of the whole path is weighed with the score of the whole path."""
    value, score, _, unfinished = _score.of_path(problem, rollout)
    product = jax.tree.map(lambda s: jnp.tensordot(value, s, axes=0), score)
    return Covariance(value, score, product, _explicit.of_trajectory(problem, rollout), unfinished)


def _per_parameter(value: Array, problem: Problem) -> PyTree:
    return jax.tree.map(lambda p: jnp.zeros(value.shape + p.shape, p.dtype), problem.parameters)
