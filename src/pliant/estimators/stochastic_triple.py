"""Derivatives through discrete draws inside a trajectory: the path is run again with one draw swapped."""

import equinox as eqx

from pliant.core.chance.discrete import options
from pliant.core.contributions import Contribution
from pliant.core.estimator import Estimator, Problem
from pliant.core.rollout import Rollout
from pliant.estimators import _swapped


class StochasticTriple(Estimator):
    r"""Pathwise where the path is continuous, and replay with a swapped draw where it jumps.

    $\partial_\theta \mathbb E O = \mathbb E[\partial_\theta O\,|_\text{draws}] + \mathbb E \sum_i \partial_\theta p_i\Delta_i O$
    over all discrete draws of the trajectory, with everything else that is random held fixed. Draws are those of
    `pliant.draw`, and every comparison of a monotone function of one number of the declared noise with what does not
    depend on that number: a Metropolis acceptance, a first passage, a hit or no hit. At such a threshold the noise is
    moved to the threshold, which gives the boundary term of a jump without bias.

    **Arguments**: `replays`: how many swaps are run for each replica at most, chosen by the size of $\partial p_i$ along a
    random direction; `max_steps` of a while loop that draws; `jumps`: "raise" refuses a jump whose probability is not
    known, "ignore" leaves it out, as is right for kinks.

    Cost: about 3 + `replays` forward runs and one reverse run (twice the replays where noise at a threshold is used
    elsewhere too); memory grows with the horizon. Unbiased for the discretised dynamics; the variance grows with the horizon as
    that of `BPTT` where the path is chaotic.

    Aliases: smoothed perturbation analysis, stochastic automatic differentiation.

    Source: Arya, Schauer, Schäfer and Rackauckas, NeurIPS (2022); Gong and Ho, IEEE Trans. Autom. Control 32, 858 (1987).
    """

    replays: int = eqx.field(static=True, default=16)
    max_steps: int | None = eqx.field(static=True, default=None)
    jumps: str = eqx.field(static=True, default="raise")

    def __check_init__(self) -> None:
        options(self.replays, self.max_steps, self.jumps)

    def memory(self, state: int, carry: int, horizon: int) -> float:
        return 64.0 * (state + carry) * (horizon + self.replays)

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        chosen = options(self.replays, self.max_steps, self.jumps)
        return _swapped.replicate(problem, rollout, chosen, weak=False)
