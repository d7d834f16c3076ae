"""What a gradient estimator is: one independent replicate of a gradient, from a problem and a rollout."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.contributions import Contribution
from pliant.core.errors import NotApplicable
from pliant.core.laws import Balance, require
from pliant.core.observable import Observable
from pliant.core.rollout import Rollout


class Problem(eqx.Module):
    """A law whose selected parameters are apart, with what is observed.

    **Fields**: `parameters`: a tree like the law holding the selected arrays, None elsewhere; `rest`: its complement.
    """

    parameters: PyTree
    rest: PyTree
    # Estimators ask laws and observables for more than their base classes have, once `check` has made sure of it.
    observable: Any

    def law(self, parameters: PyTree | None = None) -> Any:
        """The law with `parameters` in their places (the problem's own by default)."""
        return eqx.combine(self.parameters if parameters is None else parameters, self.rest)

    def observe(self, rollout: Rollout, parameters: PyTree, **options: Any) -> tuple[Float[Array, "*obs"], PyTree]:
        """The observable of one trajectory, and beside it the same with what says whether it was cut short."""
        carry = rollout.carry(self.law(parameters), self.observable, **options)
        value = self.observable.result(carry)
        return value, (value, self.observable.unfinished(carry))


class Estimator(eqx.Module):
    """A gradient estimator. `gradient` alone averages its replicates, so that all get their error bars the same way.

    **Class attributes**: `requires`: capabilities of the law; `pathwise`: differentiates through the observable and
    the steps, and so misses their jumps; `stationary`: estimates the derivative of a stationary average, so that the
    chain must have mixed; `target`: what the expectation of the estimate is, in one sentence.
    """

    requires: ClassVar[tuple[type, ...]] = ()
    pathwise: ClassVar[bool] = False
    stationary: ClassVar[bool] = False
    target: ClassVar[str] = "the derivative of the expectation over the discretised dynamics"

    def check(self, problem: Problem) -> None:
        """Raise `NotApplicable` before anything runs where this estimator cannot serve the problem."""
        for capability in self.requires:
            require(problem.law(), capability, type(self).__name__)

    def describe(self, problem: Problem) -> str:
        """What the expectation of the estimate is."""
        return self.target

    def at_horizon(self, problem: Problem, horizon: int) -> "Estimator":
        """This estimator made ready for a problem with its values at hand: what must be known before compiling."""
        return self

    @property
    def batches(self) -> int | None:
        """How many batches of one long chain a replicate is cut into; None where it is one independent value."""
        return None

    def for_one_chain(self, problem: Problem) -> "Estimator":
        """This estimator with batch means for its error bar, where it has them."""
        return self

    def memory(self, state: int, carry: int, horizon: int) -> float:
        """Bytes that one replica takes, roughly, from the bytes of a state and of the observable's carry."""
        return 64.0 * state + 4.0 * carry

    def solves(self, problem: Problem) -> bool:
        """Whether `solve` serves this problem, without a trajectory, rather than `replicate`."""
        return isinstance(problem.law(), Balance)

    def solve(self, problem: Problem) -> tuple[Contribution, list[str]]:
        """The gradient from one deterministic solve, and what speaks against it."""
        raise NotApplicable(
            f"`{type(self).__name__}` follows a trajectory, and a Balance has none: use `Implicit()` from pliant.estimators."
        )

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
    ) -> list[Any]:
        """How far the expectation lies from the derivative of the discretised dynamics, at dt, dt/2, ...

        Empty where it estimates that very derivative. Otherwise each entry has `dt`, `difference`, `standard_error`,
        `size` and `order`, as `Adjoint.bias` describes them.
        """
        return []

    @abc.abstractmethod
    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        """One independent replicate; the engine vectorises it over replicas."""
