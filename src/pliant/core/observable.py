"""What a simulation observes: a fold over its trajectory, in memory that does not grow with the horizon."""

import abc
import inspect
import types
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.laws import Evolve, State, Step
from pliant.core.trees import inputs_used


class Observable(eqx.Module):
    """A fold over the trajectory `x_0, x_1, ..., x_T`: `start(x_0)`, `update` at every later state, `result` at the end.

    The law is at hand in every part, so that an observable may depend on parameters explicitly (an energy, a work).
    """

    @abc.abstractmethod
    def start(self, law: Evolve, state: State) -> PyTree:
        """The carry after the initial state."""

    @abc.abstractmethod
    def update(self, carry: PyTree, law: Evolve, state: State, t: Step) -> PyTree:
        """The carry after the state `x_t`, `t >= 1`; its shapes and dtypes must not change."""

    @abc.abstractmethod
    def result(self, carry: PyTree) -> Float[Array, "*shape"]:
        """The observable: a scalar or an array of fixed shape."""

    def at_horizon(self, horizon: int) -> "Observable":
        """This observable made ready for a horizon; it raises ValueError where the two do not fit."""
        return self

    def refusal(self, estimator: Any) -> str | None:
        """Why `estimator` would not give this observable's derivative, with what to use instead; None where it would."""
        return None

    def unfinished(self, carry: PyTree) -> Float[Array, ""] | None:
        """1 where the horizon cut the observable short (a passage that did not happen), 0 elsewhere; None if it cannot."""
        return None

    def for_one_state(self) -> "Observable":
        """This observable for a trajectory of a single step: the probe for jumps."""
        return self

    @property
    def last_only(self) -> bool:
        """Whether `update` looks at the state alone, not at the carry: only the last one then needs to be made."""
        return False

    @property
    def jumps(self) -> bool:
        """Whether the result is known to be a discontinuous function of the trajectory."""
        return False


class Additive(Observable):
    """An observable that sums over states: `sum_t weight(t) term(x_t)`. Causal and online estimators ask for it.

    The weights sum to one over the horizon for an average.
    """

    @abc.abstractmethod
    def term(self, law: Evolve, state: State) -> Float[Array, "*shape"]:
        """What one state contributes."""

    @property
    def spread(self) -> int:
        """Over how many states the weights are spread evenly; 1 for a single instant."""
        return 1

    @abc.abstractmethod
    def weight(self, t: Step) -> Float[Array, ""] | float:
        """The weight of the state `x_t`, `t >= 1`."""

    def start(self, law: Evolve, state: State) -> Float[Array, "*shape"]:
        return jnp.zeros_like(self.term(law, state))

    def update(self, carry: Float[Array, "*shape"], law: Evolve, state: State, t: Step) -> Float[Array, "*shape"]:
        return carry + self.weight(t) * self.term(law, state)

    def result(self, carry: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return carry


class Function(eqx.Module):
    """A function of a state, or of a state and the law."""

    function: Any
    takes_law: bool = eqx.field(static=True)

    def __init__(self, function: Callable):
        self.takes_law = _positional(function) >= 2
        self.function = _ByCode(function) if isinstance(function, types.FunctionType) else function

    def __call__(self, law: Evolve | None, state: Any) -> Float[Array, "*shape"]:
        return jnp.asarray(self.function(state, law) if self.takes_law else self.function(state))


class _ByCode:
    """A plain function that equals another one with the same code and closure.

    Two lambdas written at the same place are then one to the compiler, and a second call compiles nothing.
    """

    def __init__(self, function: types.FunctionType):
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __hash__(self) -> int:
        return hash(self.function.__code__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByCode) and _same(self.function, other.function)

    def __repr__(self) -> str:
        return self.function.__qualname__


def as_function(function: Callable) -> Function:
    """Field converter: wraps a callable, leaves what is wrapped already."""
    if isinstance(function, Function):
        return function
    if not callable(function):
        raise ValueError(
            f"Argument `function` must be a callable of the state, but it was {function!r}. Pass for example "
            "`lambda state: jnp.sum(state.position**2)`."
        )
    return Function(function)


def _positional(function: Callable) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


_PLAIN = (int, float, complex, str, bytes, bool, type(None))


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, types.FunctionType) and isinstance(b, types.FunctionType):
        return (
            a.__code__ == b.__code__
            and a.__globals__ is b.__globals__
            and _same(a.__defaults__, b.__defaults__)
            and _same(_cells(a), _cells(b))
        )
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and isinstance(a, _PLAIN) and a == b


def _cells(function: types.FunctionType) -> tuple:
    return tuple(cell.cell_contents for cell in function.__closure__ or ())


def leaves_seen(observable: Observable, law: Any, state: State) -> list[bool]:
    """For every leaf of a state, whether the observable's fold looks at it."""

    def observe(state: State) -> PyTree:
        carry = observable.start(law, state)
        return carry, observable.update(carry, law, state, 1)

    return inputs_used(observe, state)
