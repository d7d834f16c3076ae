"""Central finite differences, with independent or with common random numbers."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.contributions import Contribution, Direct
from pliant.core.estimator import Estimator, Problem
from pliant.core.rollout import Rollout
from pliant.core.validate import positive
from pliant.estimators import _differences


class FiniteDifference(Estimator):
    r"""Central differences $[O(\theta + \delta e_i) - O(\theta - \delta e_i)] / 2\delta$, parameter by parameter.

    **Arguments**: `step`: the difference relative to the size of each parameter (absolute where that is zero).
    `common_random_numbers`: True runs both sides with the same noise and initial draw (for smooth problems the variance
    stays finite as the step shrinks); False draws them independently (variance grows as 1/step^2).

    Cost: two trajectories per parameter; with common random numbers all of them share one draw of the noise. Biased by
    O(step^2), without any demand on derivatives. With common random numbers the variance is that of the pathwise
    gradient as long as trajectories stay together, and that of independent ones once chaos or a barrier has parted them.

    Source: Glasserman, Monte Carlo Methods in Financial Engineering (2003), section 7.1; L'Ecuyer and Perron, Oper. Res.
    42, 643 (1994).
    """

    step: float = eqx.field(static=True, default=0.01)
    common_random_numbers: bool = eqx.field(static=True, default=True)
    target: ClassVar[str] = (
        "a central difference of the expectation over the discretised dynamics, off its derivative by O(step^2)"
    )

    def __check_init__(self) -> None:
        positive("step", self.step)

    def memory(self, state: int, carry: int, horizon: int) -> float:
        return 512.0 * state + 64.0 * carry

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        widths, rows = _differences.shifts(problem.parameters, self.step)

        def side(sign: float, stream: int) -> tuple[Float[Array, "p *obs"], Any]:
            at = lambda row: _differences.shifted(problem.parameters, sign * row)
            return jax.vmap(lambda row: problem.observe(rollout, at(row), stream=stream)[1])(rows)

        (above, unfinished), (below, _) = side(1.0, 0), side(-1.0, 0 if self.common_random_numbers else 1)
        gradient = _differences.slopes(above, below, widths, problem.parameters)
        observed = jnp.mean(above + below, axis=0) / 2
        return Direct(observed, gradient, None if unfinished is None else jnp.mean(unfinished))
