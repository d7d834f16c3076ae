"""Floating point operations of a JAX function, loops included.

XLA's cost analysis counts the body of a loop once, whatever its length. Here every operation outside of loops is asked
from XLA by itself, and a scan counts as often as it is long.
"""

from collections.abc import Callable

import jax

from pliant.core.programs import Branch, Call, Equation, Program, Scan, trace


def flops(function: Callable, arguments: tuple) -> float:
    """Operations of one call, transcendental ones counted once; a `while_loop`, whose length nobody knows, counts once."""
    return _of_program(trace(function, *arguments)[0])


def _of_program(program: Program) -> float:
    return sum(map(_of_equation, program.equations))


def _of_equation(equation: Equation) -> float:
    match equation.structure:
        case Call(body):
            return _of_program(body)
        case Scan(body, length=length):
            return length * _of_program(body)
        case Branch(branches):
            return max(map(_of_program, branches))
    inner = equation.programs
    return sum(map(_of_program, inner)) if inner else _of_operation(equation)


# An operation on arrays of given shapes costs the same wherever it stands.
_KNOWN: dict[tuple, float] = {}


def _of_operation(equation: Equation) -> float:
    shapes = equation.operands
    identity = (equation.name, str(equation.parameters), *map(str, shapes))
    if identity not in _KNOWN:
        _KNOWN[identity] = _counted(equation, shapes)
    return _KNOWN[identity]


def _counted(equation: Equation, shapes: list[jax.ShapeDtypeStruct]) -> float:
    lowered = jax.jit(lambda *inputs: equation.evaluate(inputs)).lower(*shapes)
    costs = lowered.cost_analysis() or {}
    return max(costs.get("flops", 0.0), 0.0) + max(costs.get("transcendentals", 0.0), 0.0)
