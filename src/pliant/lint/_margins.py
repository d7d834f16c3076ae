"""Where operations stop being smooth: for each, the numbers that vanish at the edge.

A margin is a function of an operation's operands whose zeros are its edges: the arguments of a comparison less one
another, the distance to the next whole number, the gap between the two largest. Its derivative along a direction says how
far the edge is. Operations are grouped by what happens there.

- `BLOCKS`: the result is piecewise constant, so that its derivative is zero wherever it exists.
- `BENDS`: the result is continuous, its derivative jumps.
- `EDGES`: the derivative, or the value, ceases to be finite.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

Margin = Callable[..., Array]
"""`margin(operands, results, parameters)`: an array of any shape."""


def _difference(operands: Any, results: Any, parameters: Any) -> Array:
    return operands[0] - operands[1]


def _itself(operands: Any, results: Any, parameters: Any) -> Array:
    return operands[0]


def _to_whole(operands: Any, results: Any, parameters: Any) -> Array:
    return operands[0] - jnp.round(operands[0])


def _to_half(operands: Any, results: Any, parameters: Any) -> Array:
    return operands[0] - jnp.floor(operands[0]) - 0.5


def _to_cast(operands: Any, results: Any, parameters: Any) -> Array:
    """A cast cuts towards zero, which is no edge itself; a cast to a truth value has its edge there."""
    (x,) = operands
    if parameters["new_dtype"] == jnp.bool_:
        return x
    return x - jnp.where(jnp.abs(x) < 1, jnp.where(x < 0, -1.0, 1.0), jnp.round(x))


def _to_multiple(operands: Any, results: Any, parameters: Any) -> Array:
    x, y = operands
    ratio = x / y
    return x - y * jnp.where(jnp.abs(ratio) < 1, jnp.where(ratio < 0, -1.0, 1.0), jnp.round(ratio))


def _to_bounds(operands: Any, results: Any, parameters: Any) -> Array:
    low, x, high = operands
    return jnp.stack([x - low, high - x])


def _lead(axes: tuple[int, ...], sign: int, x: Array) -> Array:
    """By how much the first is ahead of the second."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = sign * x.transpose(*kept, *axes).reshape([x.shape[axis] for axis in kept] + [-1])
    if rows.shape[-1] < 2:
        return jnp.full(rows.shape[:-1], jnp.inf)
    # Sorting them takes ten times as long.
    first = jnp.argmax(rows, axis=-1, keepdims=True)
    others = jnp.where(jnp.arange(rows.shape[-1]) == first, -jnp.inf, rows)
    second = jnp.argmax(others, axis=-1, keepdims=True)
    at = lambda place: jnp.take_along_axis(rows, place, axis=-1)[..., 0]
    return at(first) - at(second)


def _lead_of(sign: int) -> Margin:
    return lambda operands, results, parameters: _lead(tuple(parameters["axes"]), sign, operands[0])


def _neighbours(operands: Any, results: Any, parameters: Any) -> Array:
    return jnp.diff(results[0], axis=parameters["dimension"])


def _ranks(operands: Any, results: Any, parameters: Any) -> Array:
    """Between all, since what is not among the largest may become so."""
    axis = parameters.get("axis", -1)
    return jnp.diff(jnp.sort(operands[0], axis=axis), axis=axis)


def _records(sign: int) -> Margin:
    def margin(operands: Any, results: Any, parameters: Any) -> Array:
        axis = parameters["axis"]
        x, so_far = (jnp.moveaxis(array, axis, 0) for array in (operands[0], results[0]))
        x, so_far = (x[::-1], so_far[::-1]) if parameters.get("reverse") else (x, so_far)
        return sign * (x[1:] - so_far[:-1])

    return margin


def _queries(operands: Any, results: Any, parameters: Any) -> Array:
    """To the edges on both sides of every query; leading axes of the edges are batches."""
    edges, queries = map(jnp.asarray, operands)
    beside = _beside
    for _ in range(edges.ndim - 1):
        beside = jax.vmap(beside)
    return beside(edges, queries, results[0])


def _beside(edges: Array, queries: Array, above: Array) -> Array:
    sides = jnp.stack([above - 1, above])
    return jnp.where((sides >= 0) & (sides < edges.size), queries - edges[jnp.clip(sides, 0, edges.size - 1)], jnp.inf)


def _divisor(operands: Any, results: Any, parameters: Any) -> Array:
    return operands[1]


def _shifted(shift: float) -> Margin:
    return lambda operands, results, parameters: operands[0] + shift


def _to_one(operands: Any, results: Any, parameters: Any) -> Array:
    return 1.0 - jnp.abs(operands[0])


def _cosine(operands: Any, results: Any, parameters: Any) -> Array:
    return jnp.cos(operands[0])


def _to_pole(operands: Any, results: Any, parameters: Any) -> Array:
    """Of the gamma function's logarithm: zero and all negative whole numbers."""
    return operands[0] - jnp.minimum(jnp.round(operands[0]), 0.0)


def _radius(operands: Any, results: Any, parameters: Any) -> Array:
    return operands[0] ** 2 + operands[1] ** 2


def _gaps(operands: Any, results: Any, parameters: Any) -> Array:
    """Between eigenvalues or singular values, whichever result they are."""
    values = next(result for result in results if result.ndim == operands[0].ndim - 1)
    if jnp.iscomplexobj(values):
        apart = jnp.abs(values[..., :, None] - values[..., None, :]) ** 2
        return jnp.where(jnp.eye(values.shape[-1], dtype=bool), jnp.inf, apart)
    return jnp.diff(jnp.sort(values, axis=-1), axis=-1)


def _diagonal(operands: Any, results: Any, parameters: Any) -> Array:
    return jnp.diagonal(results[0], axis1=-2, axis2=-1)


COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne", "lt_to", "le_to", "eq_to")
# What chooses among values that have derivatives of their own; the others lose theirs.
CHOICES = (*COMPARISONS, "argmax", "argmin", "sort", "top_k")

BLOCKS: Mapping[str, Margin | None] = {
    **dict.fromkeys(COMPARISONS, _difference),
    "floor": _to_whole,
    "ceil": _to_whole,
    "round": _to_half,
    "sign": _itself,
    "convert_element_type": _to_cast,
    "argmax": _lead_of(1),
    "argmin": _lead_of(-1),
    "search_sorted": _queries,
    "is_finite": None,
    "stop_gradient": None,
    "nextafter": None,
}

BENDS: Mapping[str, Margin | None] = {
    "max": _difference,
    "min": _difference,
    "abs": _itself,
    "clamp": _to_bounds,
    "reduce_max": _lead_of(1),
    "reduce_min": _lead_of(-1),
    "sort": _neighbours,
    "top_k": _ranks,
    "cummax": _records(1),
    "cummin": _records(-1),
    "rem": _to_multiple,
    "reduce_window_max": None,
    "reduce_window_min": None,
    "select_and_scatter_add": None,
}

EDGES: Mapping[str, Margin] = {
    "sqrt": _itself,
    "rsqrt": _itself,
    "cbrt": _itself,
    "log": _itself,
    "log1p": _shifted(1.0),
    "tan": _cosine,
    "lgamma": _to_pole,
    "digamma": _to_pole,
    "acosh": _shifted(-1.0),
    "acos": _to_one,
    "asin": _to_one,
    "atanh": _to_one,
    "erf_inv": _to_one,
    "atan2": _radius,
    "div": _divisor,
    "pow": _itself,
    "integer_pow": _itself,
    "eigh": _gaps,
    "eig": _gaps,
    "svd": _gaps,
    "cholesky": _diagonal,
}
