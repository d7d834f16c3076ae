"""Floating point operations of a JAX function, loops included.

XLA's cost analysis counts the body of a loop once, whatever its length. Here every operation outside of loops is asked
from XLA by itself, and a scan counts as often as it is long.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core


def flops(function: Callable, arguments: tuple) -> float:
    """Operations of one call, transcendental ones counted once; a `while_loop`, whose length nobody knows, counts once."""
    return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of_jaxpr(jaxpr: core.Jaxpr) -> float:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> float:
    inner = [_of_jaxpr(jaxpr) for jaxpr in _jaxprs(list(equation.params.values()))]
    name = equation.primitive.name
    if name == "scan":
        return equation.params["length"] * sum(inner)
    if name == "cond":
        return max(inner)
    return sum(inner[:1]) if name.startswith("custom_") else sum(inner) if inner else _of_operation(equation)


def _jaxprs(values: list) -> Iterator[core.Jaxpr]:
    for value in values:
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value
        elif isinstance(value, list | tuple):
            yield from _jaxprs(list(value))


# An operation on arrays of given shapes costs the same wherever it stands.
_KNOWN: dict[tuple, float] = {}


def _of_operation(equation: Any) -> float:
    avals = [variable.aval for variable in equation.invars]
    identity = (equation.primitive.name, str(equation.params), *map(str, avals))
    if identity not in _KNOWN:
        _KNOWN[identity] = _counted(equation, avals)
    return _KNOWN[identity]


def _counted(equation: Any, avals: list) -> float:
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]
    lowered = jax.jit(lambda *inputs: equation.primitive.bind(*inputs, **equation.params)).lower(*shapes)
    costs = lowered.cost_analysis() or {}
    return max(costs.get("flops", 0.0), 0.0) + max(costs.get("transcendentals", 0.0), 0.0)
