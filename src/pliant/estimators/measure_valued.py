"""Derivatives through discrete draws inside a trajectory: differences of runs under the two parts of a derivative."""

import equinox as eqx

from pliant.core.chance.discrete import options
from pliant.core.contributions import Contribution
from pliant.core.estimator import Estimator, Problem
from pliant.core.rollout import Rollout
from pliant.estimators import _swapped


class MeasureValued(Estimator):
    r"""Weak derivatives of the draws, $\partial_\theta \mu = c\,(\mu^+ - \mu^-)$, with the rest of the path pathwise.

    $\partial_\theta \mathbb E O = \mathbb E[\partial_\theta O\,|_\text{draws}] + \mathbb E \sum_i c_i (O(x_i^+) - O(x_i^-))$
    where $x_i^\pm$ are drawn from the two parts, independent of what the run has drawn, and all later keys are the same. It
    sees the draws that `StochasticTriple` sees. The decompositions are those of the families: a Bernoulli one against
    zero, one trial more of a binomial of n - 1, one event more of a Poisson, the first against the second success of a
    geometric.

    **Arguments**: as those of `StochasticTriple`.

    Cost: about 3 + 2 `replays` forward runs and one reverse run: twice that of `StochasticTriple`, whose pairs hold the run
    itself and are closer to one another. Unbiased for the discretised dynamics.

    Aliases: weak derivative, signed measure derivative, phantom estimator.

    Source: Pflug, Optimization of Stochastic Models (1996), ch. 4; Heidergott and Vázquez-Abad, J. Optim. Theory Appl. 136,
    187 (2008).
    """

    replays: int = eqx.field(static=True, default=16)
    max_steps: int | None = eqx.field(static=True, default=None)
    jumps: str = eqx.field(static=True, default="raise")

    def __check_init__(self) -> None:
        options(self.replays, self.max_steps, self.jumps)

    def memory(self, state: int, carry: int, horizon: int) -> float:
        return 64.0 * (state + carry) * (horizon + 2 * self.replays)

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        chosen = options(self.replays, self.max_steps, self.jumps)
        return _swapped.replicate(problem, rollout, chosen, weak=True)
