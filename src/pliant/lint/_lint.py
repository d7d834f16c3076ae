"""The linter: a program traced, walked and probed."""

import gc
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pliant.core.programs import Place, Program, trace, users_line
from pliant.lint._advice import advice
from pliant.lint._compiled import forget
from pliant.lint._flow import Flow
from pliant.lint._judge import Judge
from pliant.lint._probe import Probe
from pliant.lint.report import Finding, Report

_LOOKED_AT = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def lint(
    function: Callable, *arguments: Any, argnums: int | Sequence[int] = 0, directions: int = 3, scale: float = 0.1
) -> Report:
    """Where the derivative of `function` at `arguments` lies, and why.

    **Arguments**: `function`: anything that JAX can trace; `arguments`: where to look; `argnums`: which of them are
    parameters, pytrees of numbers and arrays; the others stay as they are, Python numbers included; `directions`: how many
    random directions to look along; `scale`: how far, relative to each parameter (to the largest of its array where it is
    zero, to one where all are).

    Works in double precision, whatever the program is run in. Cost: five forward derivatives of the function (three where
    one number moves) with the margins of all that could jump, five more for every edge that is looked at, and the
    compilation of three programs, which are kept: a later look at the same function, with other numbers of the same
    shapes, compiles nothing. What it cannot see: what random directions miss, edges beyond reach, draws of other keys.

    **Raises** ValueError where no parameter is a floating point number.
    """
    single = jnp.result_type(float) == jnp.float32
    with jax.enable_x64(True):
        report, holds_doubles = _lint(function, arguments, argnums, directions, scale)
    if single and holds_doubles and _is_broken(function, arguments, argnums):
        _forget()
    return report


def _is_broken(function: Callable, arguments: tuple, argnums: int | Sequence[int]) -> bool:
    """Whether the program would now mix numbers of the linter's precision with those of its own."""
    chosen = _chosen(argnums)
    given = lambda moved: [moved[i] if i in chosen else argument for i, argument in enumerate(arguments)]
    try:
        jax.jit(lambda moved: function(*given(moved))).lower({i: arguments[i] for i in chosen})
    except Exception:  # whatever the function or the compiler raises: it is as good as not known
        return True
    return False


def _chosen(argnums: int | Sequence[int]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def _lint(
    function: Callable, arguments: tuple, argnums: int | Sequence[int], directions: int, scale: float
) -> tuple[Report, bool]:
    """The report, and whether the program held numpy constants in double precision."""
    name = getattr(function, "__name__", type(function).__name__)
    chosen = _chosen(argnums)
    parameters = [_double(argument) if index in chosen else None for index, argument in enumerate(arguments)]
    point = jax.tree.leaves(parameters)
    moving = [jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in point]
    if not any(moving):
        raise ValueError(
            f"Argument `argnums` must name at least one argument with floating point numbers, but it was {argnums!r}, and "
            f"there {'are none' if arguments else 'is no argument'}."
        )
    others = [_double(argument, arrays_alone=True) for argument in arguments]

    def of_parameters(parameters: list) -> Any:
        return function(*(parameters[i] if i in chosen else others[i] for i in range(len(others))))

    try:
        program = _traced(of_parameters, parameters)
    except _LOOKED_AT as error:
        return Report((_untraceable(error),), name), False
    flow = Flow(program, moving)
    moved = [np.asarray(leaf) for leaf, moves in zip(point, moving, strict=True) if moves]
    probe = Probe(program, flow, point, moving, _directions(moved, directions, scale))
    return Report(tuple(Judge(probe, flow).findings()), name), program.holds_doubles


def _traced(function: Callable, parameters: list) -> Program:
    """The program in double precision, numpy's constants included.

    JAX (0.10 to 0.12) holds a constant of numpy's as it was first traced, for as long as a traced program does, and takes it into
    programs of another precision as it is, which then cannot run. Without the programs it is read again: before a walk in
    doubles if there is one that ran in single precision, and afterwards, so that the user's still runs.
    """
    program, _ = trace(function, parameters)
    if not program.mixed:
        return program
    # This one holds it too.
    del program
    _forget()
    return trace(function, parameters)[0]


def _forget() -> None:
    """Let go of every traced program that nobody else holds, those in cycles of references too."""
    forget()
    jax.clear_caches()
    gc.collect()


def _directions(leaves: list[np.ndarray], count: int, scale: float) -> np.ndarray:
    """Random directions whose elements reach `scale` of each parameter at most; of one number there is one."""
    sizes = []
    for leaf in leaves:
        largest = np.max(np.abs(leaf), initial=0.0)
        sizes.append(np.where(leaf == 0, largest or 1.0, np.abs(leaf)).ravel())
    reach = scale * np.concatenate(sizes)
    if reach.size == 1:
        return reach[None]
    draws = np.random.default_rng(0).uniform(0.5, 1.0, (count, reach.size))
    signs = np.random.default_rng(1).choice([-1.0, 1.0], draws.shape)
    return reach * draws * signs


def _double(tree: Any, arrays_alone: bool = False) -> Any:
    """Floating point and complex numbers in double precision, as arrays; Python's own stay with `arrays_alone`."""

    def convert(leaf: Any) -> Any:
        if not hasattr(leaf, "dtype") and (arrays_alone or not isinstance(leaf, (int, float, complex))):
            return leaf
        kind = jnp.result_type(leaf)
        if jnp.issubdtype(kind, jnp.floating):
            return jnp.asarray(leaf, jnp.float64)
        return jnp.asarray(leaf, jnp.complex128 if jnp.issubdtype(kind, jnp.complexfloating) else kind)

    return jax.tree.map(convert, tree)


def _untraceable(error: Exception) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    places = [Place(frame.filename, frame.lineno or 0, frame.name) for frame in frames if users_line(frame.filename)]
    what = str(error).splitlines()[0]
    message = f"Python looks at a value that is being differentiated: {what}"
    return Finding("BREAK", "trace", places[-1] if places else None, message, advice("BREAK", "trace"), 1.0)
