"""Which numbers of a program have a derivative, given which inputs have one: read from the program, without running it."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from pliant.core.chance.draws import DRAW
from pliant.core.programs import Branch, Call, Equation, Literal, Program, Scan


def reach(program: Program, active: Sequence[bool]) -> list[bool]:
    """Which outputs have a derivative, given which inputs do."""
    alive = {variable for variable, flag in zip(program.inputs, active, strict=True) if flag}
    for equation in program.equations:
        given = [not isinstance(atom, Literal) and atom in alive for atom in equation.inputs]
        if not any(given) or equation.name in ("stop_gradient", DRAW):
            continue
        inner = _inside(equation, given)
        alive |= {v for v, flag in zip(equation.outputs, inner, strict=True) if flag and inexact(v.aval)}
    return [not isinstance(atom, Literal) and atom in alive for atom in program.outputs]


def _inside(equation: Equation, given: list[bool]) -> list[bool]:
    inside = equation.structure
    if isinstance(inside, Call):
        return reach(inside.body, given)
    if isinstance(inside, Scan):
        first = inside.constants + inside.carry
        parts = given[: inside.constants], given[inside.constants : first], given[first:]
        return reach(inside.body, [*parts[0], *settled(inside.body, *parts), *parts[2]])
    if isinstance(inside, Branch):
        return [any(flags) for flags in zip(*(reach(b, given[1:]) for b in inside.branches), strict=True)]
    return [True] * len(equation.outputs)


def settled(body: Program, constants: list[bool], carry: list[bool], walked: list[bool]) -> list[bool]:
    """Which numbers of a loop's carry have a derivative at any of its steps."""
    while True:
        reached = reach(body, [*constants, *carry, *walked])
        grown = [a or b for a, b in zip(carry, reached, strict=False)]
        if grown == carry:
            return carry
        carry = grown


def inexact(value: Any) -> bool:
    """Whether it is made of real or complex numbers, which alone have derivatives; keys are not."""
    return jnp.issubdtype(value.dtype, jnp.inexact)
