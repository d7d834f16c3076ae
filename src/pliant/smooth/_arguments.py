"""Arguments of relaxations: arrays of floating point, widths that are positive."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pliant.core.validate import positive

Choice = TypeVar("Choice")


def positive_width(width: Any, name: str = "width") -> Any:
    """The width as it came, so that a Python number keeps its weak type; ValueError unless positive, where it is known."""
    positive(name, width)
    return width


def one_of(name: str, choices: Mapping[str, Choice], value: Any) -> Choice:
    """The choice of that name; ValueError names the others."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"Argument `{name}` must be one of {', '.join(map(repr, choices))}, but it was {value!r}.")
    return choices[value]
