"""Forward sensitivity: forward mode along the trajectory."""

from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Contribution, Direct
from pliant.core.estimator import Estimator, Problem
from pliant.core.rollout import Rollout


class ForwardSensitivity(Estimator):
    r"""The pathwise derivative $\mathbb E[\nabla_\theta O(\tau(\theta, w))]$ in forward mode: tangents ride along.

    Aliases: tangent-linear model, variational equations, real-time recurrent learning. Cost: memory independent of the
    horizon; time about 1 + p/2 forward runs for p parameters, so it is for few parameters and any number of
    observables. Unbiased and of the same variance as BPTT, to round-off the same numbers; jumps are missed.

    Source: Dickinson and Gelinas, J. Comput. Phys. 21, 123 (1976); Williams and Zipser, Neural Comput. 1, 270 (1989).
    """

    pathwise: ClassVar[bool] = True

    def memory(self, state: int, carry: int, horizon: int) -> float:
        return 256.0 * state + 16.0 * carry

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        def observe(parameters: PyTree) -> tuple[Float[Array, "*obs"], Any]:
            return problem.observe(rollout, parameters)

        gradient, (value, unfinished) = jax.jacfwd(observe, has_aux=True)(problem.parameters)
        return Direct(value, gradient, unfinished)
