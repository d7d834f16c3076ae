"""What a benchmark system is: a law and an observable whose value and gradient are known."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core.laws import Evolve, HasStationaryDensity
from pliant.core.observable import Additive, Observable, as_function
from pliant.observables import TimeAverage
from pliant.systems._truth import Truth


class System(eqx.Module):
    """A benchmark problem that can be put under any dynamics.

    **Class attributes**: `name`, a slug; `title`; `defaults`: for every dynamics, by class name, a good `dt`, `horizon`,
    `burn_in` and number of `replicas`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    defaults: ClassVar[dict[str, dict[str, Any]]]

    @abc.abstractmethod
    def law(self, dynamics: type, dt: float) -> Any:
        """The system under `dynamics`, a class of `pliant.dynamics`, with time step `dt`."""

    @abc.abstractmethod
    def observable(self, burn_in: int = 0) -> Observable:
        """What is measured, after `burn_in` steps."""

    @abc.abstractmethod
    def wrt(self, law: PyTree) -> PyTree:
        """The parameters that the gradient is taken with respect to."""

    @abc.abstractmethod
    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        """What is known about this law, observable and horizon; None where nothing is."""

    def continuum(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        """What is known about the stationary state of the continuous dynamics, for estimators that solve for it."""
        found = self.truth(law, observable, horizon)
        return found if found is not None and found.of == "exact stationary" else None


class OneCoordinate(System):
    """A system of one coordinate: its observable is x^2, its parameters are those of its potential."""

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(squared_distance, burn_in=burn_in)

    def wrt(self, law: PyTree) -> PyTree:
        return law.potential

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        weight = weights(observable, squared_distance, horizon)
        return None if weight is None else self.average_square(law, weight)

    @abc.abstractmethod
    def average_square(self, law: Any, weight: Float[np.ndarray, " horizon"]) -> Truth | None:
        """What is known about the average of x^2 with these weights on the times 1 to horizon; None where nothing is."""


def build(dynamics: Callable, potential: Callable, **settings: Any) -> Any:
    """`dynamics(potential, ...)` with those of the settings that it takes: not every dynamics has a friction."""
    taken = {field.name for field in dataclasses.fields(dynamics)}  # pyright: ignore[reportArgumentType]
    return dynamics(potential, **{name: value for name, value in settings.items() if name in taken})


def canonical(law: Evolve) -> bool:
    """Whether the law samples the Boltzmann density of its potential, up to its own error in dt."""
    return law.refusal(HasStationaryDensity) is None


def weights(observable: Observable, function: Callable, horizon: int) -> Float[np.ndarray, " horizon"] | None:
    """The weights of an additive observable of `function` at the times 1 to horizon; None for any other observable."""
    if not isinstance(observable, Additive) or getattr(observable, "function", None) != as_function(function):
        return None
    ready: Any = observable.at_horizon(horizon)
    return np.broadcast_to(np.asarray(ready.weight(np.arange(1, horizon + 1)), float), (horizon,))


def numbers(law: Evolve, *names: str) -> dict[str, float]:
    """Scalar fields of a law as Python numbers."""
    return {name: float(np.asarray(getattr(law, name))) for name in names}


def require(dynamics: type, kind: type, why: str) -> None:
    """The one kind of dynamics that a system has."""
    if not issubclass(dynamics, kind):
        raise ValueError(f"Argument `dynamics` must be {kind.__name__}, but it was {dynamics.__name__}: {why}.")


def only(module: PyTree, *names: str) -> PyTree:
    """The same module with the fields `names` alone, None in all others: what `wrt` selects."""
    others = {field.name: None for field in dataclasses.fields(module) if field.name not in names}
    return dataclasses.replace(module, **others)


def squared_distance(state: Any) -> Float[Array, ""]:
    """|x|^2, the observable of the one-dimensional systems."""
    return (state.position**2).sum()
