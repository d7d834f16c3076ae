"""Reweighting of the stationary state: the covariance formula, and samples carried to new parameters."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pliant.core.averages import BATCHES, in_batches, whole_and_first_half
from pliant.core.contributions import Contribution, Covariance
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Evolve, HasStationaryDensity, State
from pliant.core.observable import Additive, as_function
from pliant.core.rollout import Rollout
from pliant.core.weighted import weighs_samples
from pliant.estimators import _explicit
from pliant.estimators._perturbation import Reweighted, perturbed

# Halves are marked at the ends of blocks of steps: over fewer blocks than these they would be no halves.
_BLOCKS_TO_HALVE = 4


class Reweighting(Estimator):
    r"""The derivative of a stationary average by the covariance formula.

    $$\partial_\theta \langle O \rangle = \langle \partial_\theta O \rangle
      + \operatorname{Cov}(O, \partial_\theta \log \rho), \qquad \log \rho = -\beta U.$$

    Requires `HasStationaryDensity` and an additive observable (`TimeAverage`, `Final`). Cost: one forward run and one
    derivative of the log density a step, in memory independent of the horizon. The trajectory is never differentiated:
    chaos and barriers do no harm as long as the chain mixes. Valid at the stationary state alone: out of equilibrium,
    or before burn-in, the formula is wrong. It is unbiased at any number of replicas (product over pairs of replicas).
    One replica is one long chain with batch means.

    Aliases: fluctuation-response (static), thermodynamic perturbation at first order, REINFORCE of the Boltzmann law,
    DiffTRe. Not to be confused with Girsanov reweighting, which weighs paths.

    Source: Zwanzig, J. Chem. Phys. 22, 1420 (1954); Thaler and Zavadlav, Nat. Commun. 12, 6884 (2021).
    """

    # How many batches one long chain is cut into; `gradient` sets it.
    cut: int | None = eqx.field(static=True, default=None)
    requires: ClassVar[tuple[type, ...]] = (HasStationaryDensity,)
    stationary: ClassVar[bool] = True
    target: ClassVar[str] = "the derivative of the average over the invariant density"

    def describe(self, problem: Problem) -> str:
        return f"the derivative of the average over {problem.law().stationary_measure}"

    @property
    def batches(self) -> int | None:
        return self.cut

    def check(self, problem: Problem) -> None:
        super().check(problem)
        if not isinstance(problem.observable, Additive):
            raise NotApplicable(
                f"`Reweighting` differentiates stationary averages, but {type(problem.observable).__name__} is a "
                "functional of whole paths; use Girsanov, which weighs paths, or a pathwise estimator."
            )
        if problem.observable.spread == 1 and weighs_samples(problem.law()):
            raise NotApplicable(
                f"`Reweighting` needs a time average on {type(problem.law()).__name__}: its states have weights, which a "
                "single instant cannot balance; use TimeAverage over many steps."
            )

    def for_one_chain(self, problem: Problem) -> "Reweighting":
        return Reweighting(BATCHES if problem.observable.spread >= 2 * BATCHES else None)

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        observable, fixed = problem.observable, problem.law()

        def terms(law: Evolve, state: State) -> tuple[PyTree, PyTree, PyTree, PyTree]:
            value = observable.term(law, state)
            score = jax.grad(lambda p: problem.law(p).log_density(state))(problem.parameters)
            product = jax.tree.map(lambda s: jnp.tensordot(value, s, axes=0), score)
            return value, score, product, _explicit.of_term(problem, state)

        if self.cut is not None:
            return Covariance(*in_batches(rollout, fixed, observable, terms, self.cut))
        whole, first, second = whole_and_first_half(rollout, fixed, observable, terms)
        if observable.spread < _BLOCKS_TO_HALVE * rollout.block:
            return Covariance(*whole)
        return Covariance(
            *whole, halves={"the observable": (first[0], second[0]), **_score_halves(first[1], second[1])}
        )

    def perturb(self, samples: State, law: Evolve, new_law: Evolve, function: Callable) -> Reweighted:
        r"""Stationary averages at new parameters from stored samples of `law`, by self-normalised weights.

        **Arguments**: `samples`: states with a leading axis of n independent samples; `law`, `new_law`: laws with
        `HasStationaryDensity` at the old and the new parameters; `function` of the state (and of the law).

        **Returns** a `Reweighted` with value, standard error (delta method), effective sample size and whether it is
        to be trusted: with fewer than a tenth of the samples effective, or a tail index of the weights of 0.7 or more,
        it is not: sample again. Bias O(1/n).

        Source: Zwanzig, J. Chem. Phys. 22, 1420 (1954); Vehtari et al., JMLR 25, 1 (2024).
        """
        return perturbed(samples, law, new_law, as_function(function))


def _score_halves(first: PyTree, second: PyTree) -> dict[str, tuple[Array, Array]]:
    """The scores of both halves by parameter: a chain that has not mixed shows there first."""
    paths = [jax.tree_util.keystr(path).lstrip(".") for path, _ in jax.tree_util.tree_leaves_with_path(first)]
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return {f"the score of {path}": pair for path, pair in zip(paths, pairs, strict=True)}
