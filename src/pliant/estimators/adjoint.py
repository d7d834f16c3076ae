"""Adjoints that walk the trajectory backward: memory that does not grow with it."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pliant.core.contributions import Contribution, Direct
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import HasDrift, Invertible, require
from pliant.core.observable import Observable
from pliant.core.reversal import carry_matters, reverse
from pliant.core.rollout import Rollout
from pliant.core.validate import one_of
from pliant.estimators import _bias, _continuous, _reversible
from pliant.estimators.bptt import BPTT

_KINDS = ("reversible", "continuous")
# What may be lost on the way back before the gradient belongs to another trajectory.
_LIMITS = {"reversible": 1e-3, "continuous": 0.1}


class _Walked(Direct):
    """A replica's gradient, and how far the walk back missed the states that it was to rebuild."""

    missed: Float[Array, ""] | None = None
    size: Float[Array, ""] | None = None
    kind: str = eqx.field(static=True, default="reversible")

    @property
    def share(self) -> float:
        """The largest miss, over the root mean square of the states' size."""
        if self.missed is None or self.size is None or not np.any(np.isfinite(self.missed)):
            return 0.0
        return float(np.nanmax(self.missed) / max(np.sqrt(np.nanmean(np.square(self.size))), 1e-300))

    def findings(self) -> list[str]:
        return [_ADVICE[self.kind].format(self.share)] if self.share > _LIMITS[self.kind] else []

    def notes(self) -> list[str]:
        if self.missed is None or self.findings():
            return []
        return [f"the walk back missed the states that it was to rebuild by at most {self.share:.1g} of their size"]


_ADVICE = {
    "reversible": (
        "undoing the steps missed kept states by {:.1g} of their size: round-off has grown on the way, and the gradient "
        "is off by about as much; keep a state more often by Adjoint(every=...), or use BPTT(checkpoint=True)."
    ),
    "continuous": (
        "integrated backward, the equation missed the initial state by {:.1g} of its size: a flow that forgets its start "
        "(friction, contraction) has no backward solution that stays near, and the gradient belongs to another "
        'trajectory; use Adjoint("reversible") or BPTT, shorten dt or the horizon, or keep states by every=...'
    ),
}


class Adjoint(Estimator):
    r"""The pathwise derivative $\mathbb E[\nabla_\theta O(\tau(\theta, w))]$ by walking the trajectory backward.

    **Arguments**: `kind`:

    - "reversible": the exact derivative of the discretised dynamics, to round-off the numbers of BPTT. States are rebuilt
      by the law's `unstep` with the noise drawn again, and each step is differentiated where it began. Undoing friction
      $\gamma$ enlarges round-off by $e^{\gamma t}$, so a state is kept every M steps, $M \gamma\,dt \le 5$ (the law's
      `reversal_growth`), at most every 10,000. Needs `Invertible`.
    - "continuous": the backward differential equation (in Stratonovich's sense) behind the scheme, solved by Heun's
      method at the law's dt with the forward run's noise: the derivative of the continuum, biased by O(dt) (O(dt^2) for
      second-order deterministic schemes). On dissipative flows the backward solution leaves the trajectory: the verdict
      measures by how much. Needs `HasDrift`; `bias` measures the order.

    `every`: keep a state every so many steps. None: by the rule above; for "continuous" only the last one.

    Cost: a forward run, and backward about two forces and one derivative of a step; time does not depend on the number
    of parameters, and memory is that of the kept states (8 bytes a number, horizon / M of them). Several components of
    an observable share one walk back. Where the derivative of an observable's `update` depends on its carry (a maximum,
    a work; not sums over states), the carry has to be at hand: "reversible" then keeps about sqrt(T) checkpoints as BPTT
    does, "continuous" refuses. Variance, heavy tails and blindness to jumps are those of BPTT.

    **Raises** ValueError for an unknown kind or an `every` below 1; `CapabilityError` where the law cannot be undone
    (Euler-Maruyama's step has no explicit inverse) or has no equation.

    Aliases: O(1)-memory backpropagation; backsolve or optimise-then-discretise adjoint ("continuous").

    Source: Maclaurin, Duvenaud and Adams, ICML 2015 (arXiv:1502.03492), for exact reversal; Li, Wong, Chen and Duvenaud,
    AISTATS 2020 (arXiv:2001.01328), Theorem 3.3 and Algorithm 2, for the adjoint equation; Kidger, arXiv:2202.02435,
    chapter 5, for both.
    """

    kind: str = eqx.field(static=True, default="reversible")
    every: int | None = eqx.field(static=True, default=None)
    pathwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        one_of("kind", self.kind, _KINDS)
        whole = isinstance(self.every, int) and not isinstance(self.every, bool)
        if self.every is not None and not (whole and self.every >= 1):
            raise ValueError(
                f"Argument `every` must be None or a whole number of steps >= 1, but it was {self.every!r}."
            )

    def check(self, problem: Problem) -> None:
        require(problem.law(), Invertible if self.kind == "reversible" else HasDrift, type(self).__name__)
        if self.kind == "continuous":
            _refuse_unseen(problem)

    def describe(self, problem: Problem) -> str:
        if self.kind == "reversible":
            return self.target
        return (
            "the derivative along the continuous equation behind the scheme, off that of the discretised one by O(dt)"
        )

    def at_horizon(self, problem: Problem, horizon: int) -> "Adjoint":
        if self.every is not None:
            return self
        rule = _reversible.steps_between(problem.law().reversal_growth()) if self.kind == "reversible" else horizon
        return dataclasses.replace(self, every=min(rule, horizon))

    def memory(self, state: int, carry: int, horizon: int) -> float:
        kept = horizon / (self.every or horizon)
        return state * (512.0 + kept) + 4.0 * carry * (64.0 + 4 * horizon**0.5)

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        state = rollout.initial(problem.law())
        if carry_matters(problem, state):
            return BPTT().replicate(problem, rollout)
        reversible = self.kind == "reversible"
        undo = _reversible.Unstep(_reversible.accounts(problem, state)) if reversible else _continuous.Backsolve()
        # Without a rule made before compiling, a state every sqrt(T) steps is safe and small.
        found = reverse(problem, rollout, undo, self.every or int(rollout.horizon**0.5) + 1)
        return _Walked(found.value, found.gradient, found.unfinished, found.missed, found.size, self.kind)

    def bias(
        self,
        law: Any,
        observable: Observable,
        *,
        horizon: int,
        replicas: int,
        key: PRNGKeyArray,
        wrt: Callable | None = None,
        halvings: int = 2,
    ) -> list[_bias.Bias]:
        """The continuous adjoint less the discrete one (BPTT's numbers), at dt, dt/2, ..., dt/2^halvings.

        Empty for "reversible", which is the discrete one.

        Arguments are those of `gradient`; physical time is held, so the observable should mean the same at any number of
        steps, as `Final` does. Every line has the difference, its error bar, and the order in dt since the line before.
        """
        if self.kind == "reversible":
            return []
        pair = self, BPTT()
        return _bias.measure(
            pair, law, observable, horizon=horizon, replicas=replicas, key=key, wrt=wrt, halvings=halvings
        )


def _refuse_unseen(problem: Problem) -> None:
    hidden = sorted(_continuous.unseen(problem))
    if hidden:
        raise NotApplicable(
            f'`Adjoint("continuous")` rebuilds what the equation moves, but the observable looks at {", ".join(hidden)} of '
            'the state: use Adjoint("reversible") or BPTT.'
        )
    law = problem.law()
    if carry_matters(problem, law.init(jax.random.key(0))):
        raise NotApplicable(
            '`Adjoint("continuous")` rebuilds states alone, but the derivative of this observable\'s `update` depends on '
            'its carry, on what was seen before: use Adjoint("reversible") or BPTT.'
        )
