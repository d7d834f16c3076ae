"""Which results of an operation tangents reach: read from its derivative, not from a list."""

import functools
from typing import Any

import jax

from pliant.core.activity import inexact
from pliant.core.programs import Equation, Program, Variable, trace


def passes(equation: Equation, moving: tuple[bool, ...]) -> list[bool]:
    """For every result of an operation, whether tangents of the moving operands reach it."""
    smooth = [inexact(variable.aval) for variable in equation.outputs]
    if not any(smooth):
        return smooth
    reached = iter(_arrivals(_Keyed(equation, moving)))
    return [next(reached) if keep else False for keep in smooth]


def backwards_alone(equation: Equation, moving: tuple[bool, ...]) -> bool:
    """Whether the derivative of an operation holds a rule that forward mode cannot evaluate."""
    return "custom_lin" in _derivative(_Keyed(equation, moving)).names


class _Keyed:
    """An operation on given types: its derivative is the same wherever it stands."""

    def __init__(self, equation: Equation, moving: tuple[bool, ...]):
        self.equation, self.moving = equation, moving
        self.key = (equation.name, str(equation.parameters), str(equation.operands), moving)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.key == other.key


@functools.lru_cache(maxsize=4096)
def _derivative(keyed: _Keyed) -> Program:
    """From operands, those that move last, and their tangents to tangents of the results that can have one."""
    equation, moving = keyed.equation, keyed.moving
    smooth = [inexact(variable.aval) for variable in equation.outputs]
    still = [kind for kind, moves in zip(equation.operands, moving, strict=True) if not moves]
    primals = [kind for kind, moves in zip(equation.operands, moving, strict=True) if moves]

    def push(still: list, primals: list, tangents: list) -> list:
        def local(*moved: Any) -> list:
            left, right = iter(still), iter(moved)
            results = equation.evaluate([next(right) if moves else next(left) for moves in moving])
            return [result for result, keep in zip(results, smooth, strict=True) if keep]

        return jax.jvp(local, tuple(primals), tuple(tangents))[1]

    return trace(push, still, primals, primals)[0]


@functools.lru_cache(maxsize=4096)
def _arrivals(keyed: _Keyed) -> list[bool]:
    """For every tangent of a result, whether it depends on those that go in."""
    program = _derivative(keyed)
    reached = program.reached(program.inputs[len(keyed.moving) :])
    return [isinstance(atom, Variable) and atom in reached for atom in program.outputs]
