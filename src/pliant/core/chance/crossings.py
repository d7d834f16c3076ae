"""Comparisons and step functions of numbers that were followed from their noise: what came out, and how likely."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array

from pliant.core.chance.chains import Chain, Value, decides, is_shared
from pliant.core.chance.events import Digit, Edge, Noise, Threshold
from pliant.core.chance.extremes import Extreme
from pliant.core.chance.stairs import Edges
from pliant.core.programs import Equation

# (name, on which side the value stands) -> whether it is true above the threshold, and whether "above" has the threshold.
_ABOVE = {
    ("gt", 0): (True, False),
    ("ge", 0): (True, True),
    ("lt", 0): (False, True),
    ("le", 0): (False, False),
    ("lt", 1): (True, False),
    ("le", 1): (True, True),
    ("gt", 1): (False, True),
    ("ge", 1): (False, False),
}
COMPARISONS = {name for name, _ in _ABOVE}


def side_that_decides(values: list[Value]) -> int | None:
    """Which of two numbers is followed to where the comparison switches; None where neither can be."""
    sides = [i for i in (0, 1) if decides(values[i], values[1 - i])]
    return min(sides, key=lambda i: is_shared(values[i]), default=None)


def compared(
    equation: Equation, values: list[Value], side: int, place: tuple[int, Any], meet: Callable[[Threshold], Array]
) -> Array:
    """The outcome of a comparison; `meet(threshold)` says of every element whether it reaches its threshold."""
    above, inclusive = _ABOVE[equation.name, side]
    threshold = jnp.broadcast_to(values[1 - side].value, equation.results[0].shape)
    reached = _noted(values[side], threshold, inclusive, place, meet)
    return reached if above else ~reached


def matched(
    values: list[Value], side: int, first: int, second: int, iteration: Any, meet: Callable[[Threshold], Array]
) -> Array:
    """Whether a number reaches a threshold and does not pass it."""
    shape = jnp.broadcast_shapes(*(jnp.shape(v.value) for v in values))
    threshold = jnp.broadcast_to(values[1 - side].value, shape)
    reached = _noted(values[side], threshold, True, (first, iteration), meet)
    passed = _noted(values[side], threshold, False, (second, iteration), meet)
    return reached & ~passed


def _noted(value: Value, threshold: Array, inclusive: bool, place: tuple[int, Any], meet: Callable) -> Array:
    assert value.chain is not None
    value.chain.source.compare(value.chain.origin, place[0])
    return _reached(value, threshold, inclusive, place, meet)


def _reached(value: Value, threshold: Array, inclusive: Any, place: tuple[int, Any], meet: Callable) -> Array:
    if isinstance(value.chain, Extreme):
        event = value.chain.undone(threshold, inclusive)
        inner = _reached(value.chain.of, event.threshold, event.inclusive, place, meet)
        return value.chain.gathered(inner) == event.rises
    assert isinstance(value.chain, Chain)
    shape = threshold.shape
    value.chain.source.shared |= threshold.size > value.chain.element.size
    chain = value.chain.map(lambda array: jnp.broadcast_to(array, shape))
    outcome = jnp.where(inclusive, value.value >= threshold, value.value > threshold)
    uniform, chance, rises = _flat(chain.reaches(threshold, inclusive))
    met = Threshold(*place, outcome.reshape(-1), chance, uniform, rises, Noise.of(chain))
    return meet(met).reshape(shape)


def digit(result: Array, value: Value, edges: Edges, place: tuple[int, Any]) -> Digit:
    """A whole number between its edges.

    A boundary between k and k + 1 is met from both: its share is divided by the chance of either, so that what is
    summed over outcomes counts it once.
    """
    chain = value.chain
    assert isinstance(chain, Chain)
    k = stop_gradient(result).astype(value.value.dtype)
    uniform, above, rises = zip(*(_flat(chain.reaches(*edges(k + i))) for i in (-1, 0, 1, 2)), strict=True)
    chances = [stop_gradient(above[i] - above[i + 1]) for i in (0, 1, 2)]
    low, high = (Edge(above[i], chances[i - 1] + chances[i], uniform[i]) for i in (1, 2))
    chain.source.compare(chain.origin, place[0])
    came_out = jnp.round(k).astype(jnp.int32).reshape(-1)
    return Digit(*place, came_out, above[1] - above[2], low, high, rises[1], Noise.of(chain))


def _flat(arrays: tuple[Array, ...]) -> list[Array]:
    return [array.reshape(-1) for array in arrays]
