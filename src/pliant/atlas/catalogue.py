"""What a configuration may name: the systems, dynamics and estimators of this installation."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The names that an atlas may use, with what a configuration may leave out or set.

    Parameters
    ----------
    systems
        The defaults of every system: for each dynamics its `dt`, `horizon`, `burn_in` and `replicas`.
    dynamics
        The names of the dynamics.
    estimators
        For every estimator the names of its options.
    titles
        The full names of systems, where they are known.
    """

    systems: Mapping[str, Mapping[str, Mapping[str, Any]]]
    dynamics: tuple[str, ...]
    estimators: Mapping[str, tuple[str, ...]]
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)


def installed() -> Catalogue:
    """The catalogue of everything that lies in the component folders; it imports all of them."""
    import pliant.dynamics
    import pliant.estimators

    systems = {system.name: system for system in _systems()}
    estimators = {name: _options(cls) for name, cls in _classes(pliant.estimators).items()}
    return Catalogue(
        systems={name: system.defaults for name, system in systems.items()},
        dynamics=tuple(_classes(pliant.dynamics)),
        estimators=estimators,
        titles={name: system.title for name, system in systems.items()},
    )


def system_named(name: str) -> Any:
    """The class of the system called `name`."""
    return next(system for system in _systems() if system.name == name)


def _systems() -> list[Any]:
    import pliant.systems

    # The parameters of a system may be a public class beside it: only the system itself has a name.
    return [found for found in _classes(pliant.systems).values() if isinstance(getattr(found, "name", None), str)]


def _classes(package: Any) -> dict[str, Any]:
    return {name: found for name, found in package.components().items() if isinstance(found, type)}


def _options(estimator: type) -> tuple[str, ...]:
    return tuple(inspect.signature(estimator).parameters)
