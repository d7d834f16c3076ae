"""What is compiled of a program, kept for later looks at the same one with other numbers."""

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from pliant.core.activity import inexact
from pliant.core.likeness import alike
from pliant.core.programs import Call, Equation, Program, Scan, While, trace
from pliant.lint._flow import Flow
from pliant.lint._walk import Walk

# Programs that compute fewer numbers than this had better compile soon than run fast.
_LONG = 200_000
# Operations on fewer numbers than this take as long on a batch of them.
_FEW = 64
# What a loop of unknown length is taken for.
_ROUNDS = 10
# Emitters by MLIR take XLA longer than all else on programs that run but a few times; 0.12 knows no others.
_QUICK: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}
_KEPT = 16


class Compiled:
    """Functions of what is `given`: a program's constants, its arguments with None for those that move, and what is settled.

    **Fields**: `settled(constants, point)`: what does not depend on the arguments that move, such as random numbers;
    `looks(*given, rows, directions, count)`: values, slopes and records of the first rows; `slopes`, of the same: values
    and slopes alone; `values(*given, rows)`: values alone; `gradient(row, *given, weights)`: that of the weighted sum of
    outputs in reverse mode.
    """

    def __init__(self, program: Program, flow: Flow, point: Sequence[Any], moving: Sequence[bool]):
        _, unravel = ravel_pytree([value for value, moves in zip(point, moving, strict=True) if moves])
        still = program.settled(moving)

        def place(row: Any, others: Sequence[Any]) -> list[Any]:
            ahead = iter(unravel(row))
            return [next(ahead) if moves else other for moves, other in zip(moving, others, strict=True)]

        def settled(constants: Sequence[Any], point: Sequence[Any]) -> list[Any]:
            values = dataclasses.replace(program, constants=constants).values(*point, rule=_if_given)
            return [values[variable] for variable in still]

        def value(constants: Sequence[Any], point: Sequence[Any], known: Sequence[Any], row: Any) -> Any:
            here = dataclasses.replace(program, constants=constants)
            return _real(here.evaluate(*place(row, point), known=dict(zip(still, known, strict=True))))

        def at(c: Sequence[Any], p: Sequence[Any], k: Sequence[Any], row: Any, direction: Any, looking: bool) -> tuple:
            known = dict(zip(still, k, strict=True))
            walk = Walk(dataclasses.replace(program, constants=c), flow, looking, known)
            duals, records = walk(place(row, p), place(direction, [None] * len(p)))
            slopes = [d.full if inexact(d.value) else jnp.zeros(jnp.shape(d.value)) for d in duals]
            return _real([d.value for d in duals]), _real(slopes), records

        def batch(looking: bool, c: Any, p: Any, k: Any, rows: Any, directions: Any, count: Any) -> tuple:
            run = lambda row, direction: at(c, p, k, row, direction, looking)
            # As a rule one after another: most operations are on numbers enough to fill the machine.
            if together:
                return jax.vmap(run)(rows, directions)
            nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(run, rows[0], directions[0]))
            one = lambda index, *pair: lax.cond(index < count, lambda: run(*pair), lambda: nothing)
            return lax.map(lambda each: one(*each), (jnp.arange(len(rows)), rows, directions))

        numbers, operations = _work(program)
        together = numbers > _LONG and numbers < _FEW * operations and _plain(program)
        compile = functools.partial(_Lasting, options={} if numbers > _LONG else quick())
        self.settled = compile(settled) if still else lambda constants, point: []
        self.looks, self.slopes = (compile(functools.partial(batch, looking)) for looking in (True, False))
        self.values = compile(lambda c, p, k, rows: lax.map(lambda row: value(c, p, k, row), rows))
        self.gradient = compile(jax.grad(lambda row, c, p, k, weights: value(c, p, k, row) @ weights))


class _Lasting:
    """A compiled function. As of `jax.jit`, but it outlasts `jax.clear_caches`, and holds no trace of what it came from."""

    def __init__(self, function: Callable, options: dict[str, Any]):
        self._jitted = jax.jit(function, compiler_options=options)
        self._compiled: Callable | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self._compiled:
            with contextlib.suppress(TypeError, ValueError):  # arrays that lie elsewhere
                return self._compiled(*arguments)
        self._compiled = self._jitted.lower(*arguments).compile()
        return self._compiled(*arguments)


def _if_given(equation: Equation, operands: list[Any]) -> list[Any]:
    """The results of an equation whose operands are all at hand."""
    return [None] * len(equation.outputs) if any(v is None for v in operands) else equation.evaluate(operands)


@functools.cache
def quick() -> dict[str, Any]:
    """Options to compile soon by, of those that this XLA knows."""
    return {name: value for name, value in _QUICK.items() if _is_known(name, value)}


def _is_known(option: str, value: Any) -> bool:
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options={option: value})
    except jax.errors.JaxRuntimeError:  # no such option
        return False
    return True


_kept: collections.deque[tuple[tuple, Compiled]] = collections.deque(maxlen=_KEPT)


def compiled(program: Program, flow: Flow, point: Sequence[Any], moving: Sequence[bool]) -> Compiled:
    """A program's functions: those of an earlier one where that is the same but for its numbers."""
    # What is kept holds no values of constants: JAX keeps numpy's as they are for as long as anybody does.
    program = program.bare
    key = (program, *_derivatives(program, moving), flow.shape, tuple(moving))
    for kept, found in _kept:
        if alike(kept, key):
            return found
    found = Compiled(program, flow, point, moving)
    _kept.append((key, found))
    return found


def forget() -> None:
    """Let go of all of them."""
    _kept.clear()


def _derivatives(program: Program, moving: Sequence[bool]) -> list[Program | None]:
    """Programs that custom rules, if there are any, have gone into."""
    if not any(name.startswith("custom") for name in program.names):
        return []
    return [_traced(program, moving, derivative) for derivative in (_forward, _backward)]


def _traced(program: Program, moving: Sequence[bool], derivative: Callable) -> Program | None:
    arguments = program.operands
    moved = [argument for argument, moves in zip(arguments, moving, strict=True) if moves]

    def run(constants: Sequence[Any], arguments: list, moved: list) -> Any:
        here = dataclasses.replace(program, constants=constants)

        def function(*moved: Any) -> list:
            ahead = iter(moved)
            given = [next(ahead) if moves else other for moves, other in zip(moving, arguments, strict=True)]
            return [result for result in here.evaluate(*given) if inexact(result)]

        return derivative(function, moved)

    try:
        return trace(run, program.constants, arguments, moved)[0].bare
    except Exception:  # a derivative that there is none of
        return None


def _forward(function: Callable, moved: list) -> Any:
    return jax.jvp(function, tuple(moved), tuple(moved))[1]


def _backward(function: Callable, moved: list) -> Any:
    results, pull = jax.vjp(function, *moved)
    return pull(results)


def _work(program: Program) -> np.ndarray:
    """Roughly how many numbers a program computes, and by how many operations."""
    total = np.zeros(2)
    for equation in program.equations:
        structure = equation.structure
        repeats = structure.length if isinstance(structure, Scan) else _ROUNDS if isinstance(structure, While) else 1
        inside = sum(map(_work, equation.programs), start=np.zeros(2))
        total += repeats * inside + [sum(result.size for result in equation.results), 1]
    return total


def _plain(program: Program) -> bool:
    """Whether it runs in batches as it does alone: both sides of branches would be taken, and some callbacks bear none."""
    return all(
        isinstance(equation.structure, Call | Scan) and equation.name != "shard_map"
        for inner in program.inner
        for equation in inner.equations
        if equation.programs or "call" in equation.name
    )


def _real(arrays: Sequence[Any]) -> Any:
    """Real numbers in one row; whole numbers move by jumps alone."""
    flat = []
    for array in map(jnp.asarray, arrays):
        parts = [array.real, array.imag] if jnp.iscomplexobj(array) else [array]
        flat += [part.astype(float).ravel() for part in parts]
    return jnp.concatenate(flat)
