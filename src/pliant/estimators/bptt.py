"""Backpropagation through time: reverse mode through the whole trajectory."""

from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Contribution, Direct
from pliant.core.estimator import Estimator, Problem
from pliant.core.rollout import Rollout


class BPTT(Estimator):
    r"""Backpropagation through time: the pathwise derivative $\mathbb E[\nabla_\theta O(\tau(\theta, w))]$ in reverse mode.

    **Arguments**: `checkpoint`: True keeps about $\sqrt T$ states and computes the rest again (memory grows as the square
    root of the horizon or slower, time about 2.7 forward runs); False keeps every intermediate value of T steps.

    Aliases: reparametrisation gradient, infinitesimal perturbation analysis, discrete adjoint. Cost: independent of the
    number of parameters; one reverse run per component of the observable. Unbiased for the discretised dynamics where
    steps and observable are differentiable almost everywhere AND continuous; jumps are missed. In chaos, and over
    barriers even without chaos, the variance grows exponentially with the horizon.

    Source: Werbos, Proc. IEEE 78, 1550 (1990); Griewank and Walther, ACM Trans. Math. Softw. 26, 19 (2000).
    """

    checkpoint: bool = eqx.field(static=True, default=True)
    pathwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        if not isinstance(self.checkpoint, bool):
            raise ValueError(f"Argument `checkpoint` must be True or False, but it was {self.checkpoint!r}.")

    def memory(self, state: int, carry: int, horizon: int) -> float:
        steps = 4 * horizon**0.5 + 256 if self.checkpoint else horizon
        return 8.0 * state * steps + 4.0 * carry * steps

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        def observe(parameters: PyTree) -> tuple[Float[Array, "*obs"], Any]:
            return problem.observe(rollout, parameters, checkpoint=self.checkpoint)

        gradient, (value, unfinished) = jax.jacrev(observe, has_aux=True)(problem.parameters)
        return Direct(value, gradient, unfinished)
