"""Programs traced in double precision although they are run in single: numpy's constants stand between the two.

JAX (0.10 to 0.12) holds a constant of numpy's as it was first traced, for as long as a traced program does, and takes it
into programs of another precision as it is, which then cannot run. Without those programs it is read again: before a look
in double precision if one ran in single, and afterwards, so that the user's still runs.
"""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from pliant.core.programs import Equation, Program, trace
from pliant.lint._compiled import forget

# What takes operands of one type alone.
_ALIKE = frozenset(
    "add sub mul div rem max min pow atan2 and or xor lt le gt ge eq ne select_n concatenate dot_general".split()
)
Held = list[weakref.ref]
"""Constants that may be gone."""

# What single precision does without.
_WIDE = tuple(map(np.dtype, ("float64", "complex128", "int64", "uint64")))


def traced(function: Callable, parameters: list) -> Program:
    """The program of `function(parameters)` in double precision, numpy's constants included."""
    program, _ = trace(function, parameters)
    if not _mixed(program):
        return program
    held = held_by(program)
    # This one holds them too.
    del program
    _forget(held)
    return trace(function, parameters)[0]


def held_by(program: Program) -> Held:
    """Constants of numpy's that a program holds, which somebody else may hold longer."""
    return [weakref.ref(constant) for constant in program.numpys]


def restore(function: Callable, parameters: list, held: Held) -> None:
    """See to it that `function` is traced in single precision again, after it was in double, with constants that it held."""
    if any(map(_wide, _alive(held))) and _is_wide(function, parameters):
        _forget(held)


def _mixed(program: Program) -> bool:
    """Whether numbers of single and of double precision meet where they must be of one kind."""
    return any(_mixes(equation) for inner in program.inner for equation in inner.equations)


def _mixes(equation: Equation) -> bool:
    if equation.name not in _ALIKE:
        return False
    operands = equation.operands[1:] if equation.name == "select_n" else equation.operands
    return len({operand.dtype for operand in operands}) > 1


def _is_wide(function: Callable, parameters: list) -> bool:
    """Whether a trace in single precision meets numbers of double precision."""
    try:
        return any(_wide(kind) for kind in _kinds(trace(function, parameters)[0]))
    except Exception:  # whatever the function raises: it is as good as not known
        return True


def _kinds(program: Program) -> Iterator[Any]:
    for inner in program.inner:
        yield from (variable.aval for variable in inner.captured)
        for equation in inner.equations:
            yield from (*equation.operands, *equation.results)


def _wide(kind: Any) -> bool:
    return getattr(kind, "dtype", None) in _WIDE


def _alive(held: Held) -> list[np.ndarray]:
    return [constant for constant in (reference() for reference in held) if constant is not None]


def _forget(held: Held) -> None:
    """Let go of traced programs, until nobody holds these."""
    for let_go in (jax.clear_caches, gc.collect, forget, gc.collect):
        if _alive(held):
            let_go()
