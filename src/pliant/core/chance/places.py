"""What is told from a program's operations without running them: where it draws, and where it jumps."""

from collections.abc import Callable

from pliant.core.activity import inexact
from pliant.core.chance.chains import Value
from pliant.core.chance.draws import DRAW
from pliant.core.programs import Call, Equation, Program, While

GENERATORS = {"random_bits", "random_gamma", "threefry2x32", "rng_bit_generator", "rng_uniform"}
_STEPS = {"floor", "ceil", "round", "sign", "search_sorted"}
EQUALITIES = {"eq", "ne"}
# They switch on a set without measure; of numbers that are lumped see `Value`.
_HARMLESS = {*EQUALITIES, "is_finite"}
_LUMPING = {"max", "min", "clamp", "select_n"}


def is_uniform(equation: Equation) -> bool:
    return equation.of_jax == "_uniform" and len(equation.inputs) == 3


def interesting(equation: Equation, values: list[Value]) -> bool:
    """Whether there is something inside that must be seen."""
    if isinstance(equation.structure, While):
        return any(v.active for v in values) and any(map(draws, equation.programs))
    if any(map(draws, equation.programs)):
        return True
    chained = equation.name in ("jit", "scan") and any(v.chain is not None for v in values)
    moving = any(v.active for v in values) and any(v.random for v in values)
    jumping = moving and any(holds(p, jumps) for p in equation.programs)
    custom = isinstance(equation.structure, Call) and equation.structure.custom
    return chained or (jumping and not custom)


def jumps(equation: Equation) -> bool:
    """Whether the result is a step function of the operands: every number that is not real, but for what is harmless."""
    if equation.name in _STEPS:
        return True
    counted = not all(map(inexact, equation.results)) and any(map(inexact, equation.operands))
    return counted and equation.name not in _HARMLESS and not equation.programs


def lumps(equation: Equation, values: list[Value]) -> bool:
    """Whether results may be one number with a probability."""
    if any(v.lumped for v in values) or any(map(may_lump, equation.programs)):
        return True
    taken = values[1:] if equation.name == "select_n" else values
    return equation.name in _LUMPING and not all(v.random for v in taken)


def may_lump(program: Program) -> bool:
    """Whether anything inside could make a number that is lumped."""
    return holds(program, lambda equation: equation.name in _LUMPING)


def draws(program: Program) -> bool:
    return holds(program, lambda equation: equation.name in (DRAW, *GENERATORS))


def holds(program: Program, wanted: Callable[[Equation], bool]) -> bool:
    """Whether one such equation is anywhere inside."""
    return any(wanted(equation) for inner in program.inner for equation in inner.equations)


def lumped(equation: Equation) -> str:
    """Why an equality is refused."""
    return (
        f"`{equation.name}`{_where(equation)} asks whether a random number is one that it may well be, such as a number that "
        "was cut off there, and the probability of that is not known. Compare by `<=` or `>=` where the number is cut off, "
        'or pass `jumps="ignore"` where nothing depends on it.'
    )


def unrecognised(equation: Equation) -> str:
    return (
        f"`{equation.name}`{_where(equation)} compares a random number that depends on the parameters, and jumps where the "
        "outcome switches; it is no monotone function of one uniform or normal number, so that the probability of its outcome is "
        "not known. Draw it explicitly (`pliant.draw.bernoulli`, `draw.categorical` ...), compare within the step that "
        'draws the noise, or pass `jumps="ignore"` where both sides of the comparison give the same value.'
    )


def _where(equation: Equation) -> str:
    return f" ({equation.place}: `{equation.place.text}`)" if equation.place else ""
