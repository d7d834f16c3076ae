"""Arguments of relaxations: arrays of floating point, widths that are positive, shapes that fit."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pliant.core.trees import floating
from pliant.core.validate import positive

Choice = TypeVar("Choice")


def numbers(name: str, value: Any) -> Array:
    """An array of floating point, from whatever holds real numbers; ValueError for what does not."""
    return floating(_real(name, value))


def positive_width(width: Any, name: str = "width") -> Any:
    """The width, a Python number as it came, so that it keeps its weak type; ValueError unless positive, where known."""
    given = width if isinstance(width, int | float) else _real(name, width)
    positive(name, given)
    return given


def width_of_rows(width: Any, rows: Array, name: str = "x") -> Array:
    """A positive width with the batch axes of `rows`; ValueError where they do not fit."""
    given = jnp.asarray(positive_width(width))
    if not _broadcast(given.shape, rows.shape[:-1]):
        raise ValueError(
            f"Argument `width` must be a number or have the shape of the batch, {rows.shape[:-1]} for `{name}` of shape "
            f"{rows.shape}, but its shape was {given.shape}."
        )
    return given


def width_of_events(width: Any, events: Array) -> Array:
    """A positive width for each of the events; ValueError where it is neither one nor one an event."""
    given = jnp.asarray(positive_width(width))
    if given.ndim > events.ndim or not _broadcast(given.shape, events.shape):
        raise ValueError(
            f"Argument `width` must be a number or have the shape of `events`, {events.shape}, but it was {given.shape}."
        )
    return jnp.broadcast_to(given, events.shape)


def together(**given: Any) -> None:
    """ValueError where the shapes of these arguments do not broadcast."""
    shapes = [jnp.shape(value) for value in given.values()]
    if not _broadcast(*shapes):
        named = ", ".join(f"`{name}`" for name in given)
        raise ValueError(
            f"Arguments {named} must have shapes that broadcast, but they were {', '.join(map(str, shapes))}."
        )


def not_beyond(width: Any, radius: Any) -> None:
    """ValueError for a width that is known to exceed the radius."""
    known = not isinstance(width, Tracer) and not isinstance(radius, Tracer)
    if known and np.any(np.asarray(width) > np.asarray(radius)):
        raise ValueError(f"Argument `width` must not exceed `radius`, but they were {width} and {radius}.")


def direction(name: str, value: Any) -> Array:
    """A vector of shape (d,) that is not zero, where it is known; ValueError else."""
    vector = numbers(name, value)
    if vector.ndim != 1 or not (isinstance(vector, Tracer) or np.any(np.asarray(vector) != 0)):
        raise ValueError(f"Argument `{name}` must be a vector that is not zero, but it was {value}.")
    return vector


def points(value: Any, dimensions: int | None = None) -> Array:
    """Points of shape (..., d); ValueError for what has no such axis."""
    given = numbers("point", value)
    if given.ndim == 0 or given.shape[-1] != (dimensions or given.shape[-1]):
        raise ValueError(f"Argument `point` must have shape (..., {dimensions or 'd'}), but it was {given.shape}.")
    return given


def one_of(name: str, choices: Mapping[str, Choice], value: Any) -> Choice:
    """The choice of that name; ValueError names the others."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"Argument `{name}` must be one of {', '.join(map(repr, choices))}, but it was {value!r}.")
    return choices[value]


def _real(name: str, value: Any) -> Array:
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        array = None
    if array is None or not any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        shown = repr(value) if array is None else f"an array of {array.dtype}"
        raise ValueError(f"Argument `{name}` must be real numbers (one, an array or a list), but it was {shown}.")
    return array


def _broadcast(*shapes: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True
