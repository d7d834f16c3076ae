"""The linter: a program traced, walked and probed."""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pliant.core import validate
from pliant.core.labels import is_accepted, label
from pliant.core.programs import Program
from pliant.core.source_lines import Place, users_line
from pliant.lint._accepted import is_ignored
from pliant.lint._advice import advice
from pliant.lint._flow import Flow
from pliant.lint._judge import Judge
from pliant.lint._precision import held_by, restore, traced
from pliant.lint._probe import Probe
from pliant.lint.report import Finding, Report

_LOOKED_AT = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)

_SINGLE = (
    "`pliant.lint` looks in double precision. Where the function names float32 itself, let it take the type of an argument "
    "(`jnp.zeros(2, x.dtype)`, `jnp.zeros_like(x)`)."
)


def lint(
    function: Callable, *arguments: Any, argnums: int | Sequence[int] = 0, directions: int = 3, scale: float = 0.1
) -> Report:
    """Where the derivative of `function` at `arguments` lies, and why.

    **Arguments**: `function`: anything that JAX can trace; `arguments`: where to look; `argnums`: which of them are
    parameters, pytrees of numbers and arrays (what else is in them stays as it is); the others stay as they are, Python
    numbers included; `directions`: how many random directions to look along; `scale`: how far, relative to each parameter
    (to the largest of its array where it is zero, to one where all are).

    Works in double precision, whatever the program is run in. Cost: five forward derivatives of the function (three where
    one number moves) with the margins of all that could jump, five more for every edge that is looked at, and the
    compilation of three programs (four where an edge is located), which are kept: a later look at the same function, with
    other numbers of the same shapes, compiles nothing. What it cannot see: what random directions miss, edges beyond
    reach, draws of other keys.

    **Raises** ValueError where no parameter is a floating point number, where `argnums` names no argument, and where
    `directions` or `scale` is not positive; TypeError where `function` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"Argument `function` must be callable, but it was a {type(function).__name__}.")
    chosen = _chosen(argnums, len(arguments))
    directions = validate.positive_whole("directions", directions)
    validate.positive("scale", scale)
    single = jnp.result_type(float) == jnp.float32
    with jax.enable_x64(True):
        parameters = [_double(_numbers(given)) if index in chosen else None for index, given in enumerate(arguments)]
        others = [_double(argument, moving=False) for argument in arguments]
        moving = [leaf.size > 0 and jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(parameters)]
        if not any(moving):
            raise ValueError(
                f"Argument `argnums` must name at least one argument with floating point numbers, but it was {argnums!r}, "
                f"and there are none."
            )
        name = getattr(function, "__name__", type(function).__name__)
        try:
            program = traced(_of_parameters(function, others), parameters)
        except _LOOKED_AT as error:
            return Report((_untraceable(error),), name)
        except TypeError as error:
            if "float32" in str(error):
                error.add_note(_SINGLE)
            raise
        if not any(result.size for result in program.results):
            raise ValueError("Argument `function` must return at least one number, but it returned none.")
        found, held = _look(program, jax.tree.leaves(parameters), moving, directions, scale), held_by(program)
        del program
    if single:
        given = [_numbers(argument) if index in chosen else None for index, argument in enumerate(arguments)]
        restore(_of_parameters(function, arguments), given, held)
    return Report(tuple(found), name)


def _chosen(argnums: Any, count: int) -> tuple[int, ...]:
    """Which of `count` arguments are parameters; negative numbers count from the end."""
    named = argnums if isinstance(argnums, Sequence) else (argnums,)
    for number in named:
        if isinstance(number, bool) or not hasattr(number, "__index__") or not -count <= number < count:
            raise ValueError(
                f"Argument `argnums` must hold whole numbers that name one of the {count} arguments that were given, "
                f"but it was {argnums!r}."
            )
    return tuple(int(number) % count for number in named)


def _look(program: Program, point: list, moving: list[bool], directions: int, scale: float) -> list[Finding]:
    program = _opened(program)
    flow = Flow(program, moving)
    moved = [np.asarray(leaf) for leaf, moves in zip(point, moving, strict=True) if moves]
    probe = Probe(program, flow, point, moving, _directions(moved, directions, scale))
    return Judge(probe, flow).findings()


def _opened(program: Program) -> Program:
    """What a compiled function does, for what its parameters do not reach to be seen; not where its author spoke of it."""
    spoken = any(label(call) or is_accepted(call) or is_ignored(call) for call in program.equations[:1])
    inside = program if spoken else program.opened
    return program if inside is program else _opened(inside)


def _of_parameters(function: Callable, others: Sequence[Any]) -> Callable[[list], Any]:
    """As a function of its parameters, None where an argument is one of the `others`."""
    whole = lambda new, old: old if new is None else eqx.combine(new, old)
    return lambda moved: function(*map(whole, moved, others))


def _numbers(tree: Any) -> Any:
    """What of it is made of numbers: a network's activation functions, say, are not."""
    return eqx.filter(tree, eqx.is_array_like)


def _directions(leaves: list[np.ndarray], count: int, scale: float) -> np.ndarray:
    """Random directions, whose largest element reaches `scale` of its parameter; of one number there is one."""
    sizes = []
    for leaf in leaves:
        largest = np.max(np.abs(leaf), initial=0.0)
        sizes.append(np.where(leaf == 0, largest or 1.0, np.abs(leaf)).ravel())
    reach = scale * np.concatenate(sizes)
    if reach.size == 1:
        return reach[None]
    draws = np.random.default_rng(0).uniform(0.5, 1.0, (count, reach.size))
    # The first goes almost into a corner of the reach, not quite: what depends on ratios of parameters moves too.
    draws[0] = 0.8 + 0.2 * draws[0]
    draws /= np.max(draws, axis=1, keepdims=True)
    signs = np.random.default_rng(1).choice([-1.0, 1.0], draws.shape)
    return reach * draws * signs


def _double(tree: Any, moving: bool = True) -> Any:
    """Floating point and complex numbers in double precision, as arrays; what does not move stays Python's or numpy's own."""

    def convert(leaf: Any) -> Any:
        if not hasattr(leaf, "dtype") and not (moving and isinstance(leaf, (int, float, complex))):
            return leaf
        kind = jnp.result_type(leaf)
        wide = jnp.float64 if jnp.issubdtype(kind, jnp.floating) else jnp.complex128
        kind = wide if jnp.issubdtype(kind, jnp.inexact) else kind
        # While JAX traces, whatever is done to its own arrays is traced; numpy's functions take numpy's alone.
        numpys = not moving and isinstance(leaf, (np.ndarray, np.generic))
        return np.asarray(leaf, kind) if numpys else jnp.asarray(leaf, kind)

    return jax.tree.map(convert, tree)


def _untraceable(error: Exception) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    places = [Place(frame.filename, frame.lineno or 0, frame.name) for frame in frames if users_line(frame.filename)]
    what = str(error).splitlines()[0]
    message = f"Python looks at a value that is being differentiated: {what}"
    return Finding("BREAK", "trace", places[-1] if places else None, message, advice("BREAK", "trace"), 1.0)
