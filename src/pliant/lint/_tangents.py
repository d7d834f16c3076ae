"""Which results of an operation tangents reach: read from its derivative, not from a list."""

from typing import Any, NamedTuple

import jax

from pliant.core.activity import inexact
from pliant.core.programs import Equation, Program, Variable, trace

_KEPT = 4096


class _Reach(NamedTuple):
    """Of an operation's derivative. **Fields**: `passes`: for every result, whether it depends on tangents that go in;
    `backwards`: whether it holds a rule that forward mode cannot evaluate."""

    passes: list[bool]
    backwards: bool


# By what is written of an operation: the operation itself may hold constants, which are not to be kept.
_known: dict[tuple, _Reach] = {}


def passes(equation: Equation, moving: tuple[bool, ...]) -> list[bool]:
    """For every result of an operation, whether tangents of the moving operands reach it."""
    smooth = [inexact(variable.aval) for variable in equation.outputs]
    return _reach(equation, moving, smooth).passes if any(smooth) else smooth


def backwards_alone(equation: Equation, moving: tuple[bool, ...]) -> bool:
    """Whether the derivative of an operation holds a rule that forward mode cannot evaluate."""
    smooth = [inexact(variable.aval) for variable in equation.outputs]
    return _reach(equation, moving, smooth).backwards


def _reach(equation: Equation, moving: tuple[bool, ...], smooth: list[bool]) -> _Reach:
    """The derivative of an operation is the same wherever it stands, on given types."""
    key = *equation.written, moving
    if key not in _known:
        if len(_known) >= _KEPT:
            _known.clear()
        program = _derivative(equation, moving, smooth)
        reached = program.reached(program.inputs[len(moving) :])
        arrivals = iter([isinstance(atom, Variable) and atom in reached for atom in program.outputs])
        _known[key] = _Reach([keep and next(arrivals) for keep in smooth], "custom_lin" in program.names)
    return _known[key]


def _derivative(equation: Equation, moving: tuple[bool, ...], smooth: list[bool]) -> Program:
    """From operands, those that move last, and their tangents to tangents of the results that can have one."""
    still = [kind for kind, moves in zip(equation.operands, moving, strict=True) if not moves]
    primals = [kind for kind, moves in zip(equation.operands, moving, strict=True) if moves]

    def push(still: list, primals: list, tangents: list) -> list:
        def local(*moved: Any) -> list:
            left, right = iter(still), iter(moved)
            results = equation.evaluate([next(right) if moves else next(left) for moves in moving])
            return [result for result, keep in zip(results, smooth, strict=True) if keep]

        return jax.jvp(local, tuple(primals), tuple(tangents))[1]

    return trace(push, still, primals, primals)[0]
