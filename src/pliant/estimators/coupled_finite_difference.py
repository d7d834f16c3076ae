"""Central finite differences of two trajectories that are advanced together, so that they may be coupled."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core import gaussian_step
from pliant.core.contributions import Contribution, Direct
from pliant.core.coupling import reflected
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Evolve, State, Step
from pliant.core.noise import Uniform
from pliant.core.observable import Observable
from pliant.core.rollout import Rollout
from pliant.core.validate import one_of, positive
from pliant.estimators import _differences

_COUPLINGS = ("synchronous", "reflection")


class CoupledFiniteDifference(Estimator):
    r"""Central differences $[O(\theta + \delta e_i) - O(\theta - \delta e_i)] / 2\delta$ of two coupled trajectories.

    **Arguments**: `step`: the difference relative to the size of each parameter (absolute where that is zero).
    `coupling`:

    - "synchronous": both trajectories are driven by the same noise. Any law. In chaos they part for good, and the variance is
      that of two independent runs, $\sim 1/\delta^2$.
    - "reflection": the maximal reflection coupling of the Gaussian steps. With means $m$, $m'$ of the two next states and
      the spread s of the noise, $z = (m - m') / s$: the second noise is $w + z$, at which both trajectories meet, with
      probability $\min(1, \phi(w + z) / \phi(w))$, and else w mirrored in the plane normal to z. Trajectories that have
      parted then meet again, whatever lies between them, and stay together but for a chance of order $|z|$ a step.

    Both marginals are exactly those of the law under either coupling, so that the estimate is that of `FiniteDifference`:
    biased by O(step^2), without any demand on derivatives; jumps are served.

    Reflection requires a state of one array, every number of which is moved by a normal noise of its own that enters the
    step affinely (overdamped Langevin by Euler-Maruyama, random walks). It pays in chaos, where the variance falls from
    $\sim 1/\delta^2$ to $\sim 1/\delta$. Where the dynamics contracts between crossings of a barrier, as in a double well,
    common noise brings trajectories together by itself, with variance $\sim 1/\delta$ at any horizon; reflection, which parts
    close trajectories with probability $\sim |z|$ at every step, is then no better.

    Cost: two trajectories per parameter; reflection takes one more uniform number a step.

    Aliases: common random numbers (synchronous); sticky or mirror coupling; coupling control variates.

    Source: Bou-Rabee, Eberle and Zimmer, Ann. Appl. Probab. 30, 1209 (2020), section 2.3.2; Goodman and Lin, J. Comput.
    Phys. 228, 7127 (2009); Jacob, O'Leary and Atchadé, J. R. Stat. Soc. B 82, 543 (2020), section 4.
    """

    step: float = eqx.field(static=True, default=0.01)
    coupling: str = eqx.field(static=True, default="synchronous")
    target: ClassVar[str] = (
        "a central difference of the expectation over the discretised dynamics, off its derivative by O(step^2)"
    )

    def __check_init__(self) -> None:
        positive("step", self.step)
        one_of("coupling", self.coupling, _COUPLINGS)

    def check(self, problem: Problem) -> None:
        super().check(problem)
        reason = gaussian_step.refusal(problem.law()) if self.coupling == "reflection" else None
        if reason is not None:
            raise NotApplicable(
                f"`CoupledFiniteDifference` cannot reflect {type(problem.law()).__name__}: {reason}, so that two "
                'states cannot meet in one step; use coupling="synchronous", or OverdampedLangevin by Euler-Maruyama.'
            )

    def memory(self, state: int, carry: int, horizon: int) -> float:
        return 512.0 * state + 64.0 * carry

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        widths, rows = _differences.shifts(problem.parameters, self.step)
        both = _Both(problem.observable)

        def pair(row: Float[Array, " p"]) -> tuple[Float[Array, "2 *obs"], Array | None]:
            sides = (problem.law(_differences.shifted(problem.parameters, sign * row)) for sign in (1, -1))
            carry = rollout.carry(self._couple(*sides), both)
            return both.result(carry), both.unfinished(carry)

        values, unfinished = jax.vmap(pair)(rows)
        gradient = _differences.slopes(values[:, 0], values[:, 1], widths, problem.parameters)
        return Direct(jnp.mean(values, axis=(0, 1)), gradient, None if unfinished is None else jnp.mean(unfinished))

    def _couple(self, left: Any, right: Any) -> "_Pair":
        return _Mirrored(left, right) if self.coupling == "reflection" else _Pair(left, right)


class _Pair(Evolve):
    """Two laws driven by the same noise, as one law whose states are pairs."""

    left: Any
    right: Any

    @property
    def noise(self) -> PyTree:
        return self.left.noise

    def init(self, key: PRNGKeyArray) -> State:
        return self.left.init(key), self.right.init(key)

    def step(self, state: State, noise: PyTree, t: Step) -> State:
        return self.left.step(state[0], noise, t), self.right.step(state[1], noise, t)

    def prepared(self) -> "_Pair":
        return dataclasses.replace(self, left=self.left.prepared(), right=self.right.prepared())


class _Mirrored(_Pair):
    """The second trajectory meets the first with the largest probability there is, and mirrors it where it does not."""

    @property
    def noise(self) -> PyTree:
        return self.left.noise, Uniform(())

    def step(self, state: State, noise: PyTree, t: Step) -> State:
        normal, uniform = noise
        other = reflected(normal, self._apart(state, t), uniform)
        return self.left.step(state[0], normal, t), self.right.step(state[1], other, t)

    def _apart(self, state: State, t: Step) -> Array:
        """The distance of the two means in units of the noise of the second: a function of the past alone."""
        (mean, _), (other, spread) = (
            gaussian_step.parts(law, x, t) for law, x in zip((self.left, self.right), state, strict=True)
        )
        return (mean - other) / spread


class _Both(Observable):
    """One observable of both trajectories of a pair, stacked."""

    inner: Observable

    def start(self, law: Any, state: State) -> PyTree:
        return self.inner.start(law.left, state[0]), self.inner.start(law.right, state[1])

    def update(self, carry: PyTree, law: Any, state: State, t: Step) -> PyTree:
        first, second = (None, None) if carry is None else carry
        return self.inner.update(first, law.left, state[0], t), self.inner.update(second, law.right, state[1], t)

    def result(self, carry: PyTree) -> Float[Array, "2 *obs"]:
        return jnp.stack([self.inner.result(part) for part in carry])

    def unfinished(self, carry: PyTree) -> Float[Array, ""] | None:
        first, second = (self.inner.unfinished(part) for part in carry)
        return None if first is None or second is None else 0.5 * (first + second)

    @property
    def last_only(self) -> bool:
        return self.inner.last_only
