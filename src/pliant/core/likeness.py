"""Whether two traced programs are the same but for their numbers."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pliant.core.programs import Equation, Literal, Program


def alike(one: Any, other: Any) -> bool:
    """Whether two programs differ in values of their constants alone. Rules of custom derivatives are not looked into.

    Programs inside must have the same constants. Of tuples every element is compared, anything else must be equal.
    """
    if isinstance(one, Program) and isinstance(other, Program):
        return one is other or _same_equations(one, other)
    return _same(one, other, alike)


def _same(one: Any, other: Any, inside: Any) -> bool:
    if type(one) is tuple and type(other) is tuple:
        return len(one) == len(other) and all(map(inside, one, other))
    return _equal(one, other)


def _identical(one: Any, other: Any) -> bool:
    """Of programs inside others, and of what equations keep besides."""
    if isinstance(one, Program) and isinstance(other, Program):
        return all(map(_equal, one.constants, other.constants)) and _same_equations(one, other)
    return _same(one, other, _identical)


def _same_equations(one: Program, other: Program) -> bool:
    """The same equations between the same variables, under other names."""
    if len(one.constants) != len(other.constants) or len(one.equations) != len(other.equations):
        return False
    names: dict[Any, Any] = {}

    def bind(some: Sequence[Any], others: Sequence[Any]) -> bool:
        names.update(zip(some, others, strict=False))
        return len(some) == len(others) and all(a.aval == b.aval for a, b in zip(some, others, strict=True))

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, Literal) or isinstance(b, Literal):
            return type(a) is type(b) and a.aval == b.aval and _equal(a.val, b.val)
        return names.get(a) is b

    def read(some: Sequence[Any], others: Sequence[Any]) -> bool:
        return len(some) == len(others) and all(map(same, some, others))

    def step(a: Equation, b: Equation) -> bool:
        return read(a.inputs, b.inputs) and _same_operation(a, b) and bind(a.outputs, b.outputs)

    bound = bind([*one.captured, *one.inputs], [*other.captured, *other.inputs])
    return bound and all(map(step, one.equations, other.equations)) and read(one.outputs, other.outputs)


def _same_operation(one: Equation, other: Equation) -> bool:
    ones, others = one.settings, other.settings
    return ones.keys() == others.keys() and all(_identical(ones[name], others[name]) for name in ones)


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, (np.ndarray, jax.Array)) or isinstance(other, (np.ndarray, jax.Array)):
        return isinstance(one, type(other)) and one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    try:
        return bool(one == other)
    except Exception:  # whatever an operation's author keeps in its parameters
        return False
