"""What a traced JAX program looks like inside: the one file that knows.

`jax.extend.core` promises no compatibility. Everything that walks over programs reads them through the names below, which
are tested on every JAX that is supported (0.10 to 0.12).
"""

import dataclasses
import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from pliant.core.shards import cut, joined
from pliant.core.source_lines import LIBRARY, Place, users_line

Variable = core.Var
Literal = core.Literal
Atom = core.Var | core.Literal

_OWN = os.path.join("jax", "_src") + os.sep
# JAX's special functions: they are smooth where they are defined, and compare only to choose between expansions.
_SPECIAL = tuple(os.sep + os.path.join("jax", "_src", name) for name in ("scipy", "nn"))
_NAMES = {"pjit": "jit", "remat2": "remat", "checkpoint": "remat", "closed_call": "call", "core_call": "call"}
# The files of JAX between an operation and whoever asked for it.
_MACHINERY = tuple(
    os.path.join("jax", "_src", name)
    for name in ("source_info_util", "interpreters", "core", "pjit", "traceback_util", "custom_derivatives", "api")
)
# Results of so many elements are more than numbers; and what repeats them.
_ARRAY = 64
_REPEATS = ("broadcast_in_dim", "iota")
# Equations that hand their operands to one inner program as they are, and where they keep it.
_CALLS = {
    "jit": "jaxpr",
    "remat": "jaxpr",
    "call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_lin": "call_jaxpr",
}

_JAXPRS = core.Jaxpr, core.ClosedJaxpr
# Where equations with custom derivatives keep their rules: functions, and new ones at every trace.
_RULES = ("jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd", "out_trees")


@dataclasses.dataclass(frozen=True)
class Program:
    """A traced program: pure equations from `inputs` to `outputs`, its constants at hand."""

    # Constants stand before inputs; under which of two names differs between JAX 0.10 and 0.12.
    jaxpr: Any
    constants: tuple[Any, ...] = ()

    @property
    def inputs(self) -> Sequence[Variable]:
        """The variables that a call binds."""
        return self._bound[len(self.constants) :]

    @property
    def operands(self) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types of what a call takes."""
        return _shapes(self.inputs)

    @property
    def captured(self) -> Sequence[Variable]:
        """The variables that `constants` are bound to."""
        return self._bound[: len(self.constants)]

    @functools.cached_property
    def _bound(self) -> Sequence[Variable]:
        return [*self.jaxpr.constvars, *self.jaxpr.invars]

    @functools.cached_property
    def equations(self) -> tuple["Equation", ...]:
        """In the order of their evaluation."""
        return tuple(map(Equation, self.jaxpr.eqns))

    @property
    def outputs(self) -> Sequence[Atom]:
        """What a call returns: variables or literals."""
        return self.jaxpr.outvars

    @property
    def results(self) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types of what a call returns."""
        return _shapes(self.jaxpr.outvars)

    @property
    def opened(self) -> "Program":
        """What is inside, of a program that is one call of a compiled function; else the program itself."""
        call = self.equations[0] if len(self.equations) == 1 else None
        if call is None or call.name != "jit" or not isinstance(call.structure, Call):
            return self
        body, held = call.structure.body, dict(zip(self.captured, self.constants, strict=True))
        inside = dict(zip(call.reads, body.inputs, strict=False))
        # Every input goes in, once, and no literal.
        once = len(inside) == len(call.inputs) and inside.keys() - held.keys() == set(self.inputs)
        if not once or list(call.outputs) != list(self.outputs):
            return self
        bound = [variable for variable in call.reads if variable in held]
        invars = [*body.captured, *(inside[v] for v in bound), *(inside[v] for v in self.inputs)]
        constants = *body.constants, *(held[v] for v in bound)
        return Program(body.jaxpr.replace(constvars=[], invars=invars), constants)

    @property
    def bare(self) -> "Program":
        """The same equations, that hold no constant that anybody else does: shapes and types of its own, copies inside."""
        invars = [*self.captured, *self.inputs]
        jaxpr = _rewritten(self.jaxpr, _copied).replace(constvars=[], invars=invars)
        return Program(jaxpr, tuple(variable.aval for variable in self.captured))

    @property
    def numpys(self) -> list[np.ndarray]:
        """Constants that are no arrays of JAX's, those of programs inside too."""
        return [c for inner in self.inner for c in inner.constants if isinstance(c, np.ndarray)]

    @property
    def inner(self) -> Iterator["Program"]:
        """This program, and all inside it."""
        yield self
        for equation in self.equations:
            for program in equation.programs:
                yield from program.inner

    @property
    def names(self) -> set[str]:
        """Of all operations, also of those in programs inside."""
        return {equation.name for program in self.inner for equation in program.equations}

    def settled(self, moving: Sequence[bool]) -> list[Variable]:
        """What equations or the outputs take of results that inputs which are `moving` do not reach, arrays above all.

        Left out are numbers and what is made larger by repetition: they are had anew as soon as they are read.
        """
        moved = self.reached(variable for variable, moves in zip(self.inputs, moving, strict=True) if moves)
        readers = (equation.reads for equation in self.equations if not moved.isdisjoint(equation.outputs))
        read = set(itertools.chain(*readers, variables(self.outputs))) - moved
        return [
            variable
            for equation in self.equations
            if equation.lasts
            for variable in equation.outputs
            if variable in read
        ]

    def reached(self, sources: Iterable[Variable]) -> set[Variable]:
        """What depends on some of its variables, these included."""
        found = set(sources)
        for equation in self.equations:
            if not found.isdisjoint(equation.reads):
                found.update(equation.outputs)
        return found

    def needed(
        self, wanted: Sequence[bool] | None = None, stop: Callable[["Equation"], bool] = lambda equation: False
    ) -> set[Variable]:
        """What its outputs, or those that are `wanted`, depend on other than through equations where to `stop`; they too."""
        outputs = self.outputs if wanted is None else itertools.compress(self.outputs, wanted)
        found = set(variables(outputs))
        for equation in reversed(self.equations):
            if not found.isdisjoint(equation.outputs) and not stop(equation):
                found.update(equation.reads)
        return found

    def values(
        self, *operands: Any, rule: Callable | None = None, known: Mapping[Variable, Any] = MappingProxyType({})
    ) -> dict[Variable, Any]:
        """Those of all variables; what is `known` is not evaluated."""
        rule = rule or Equation.evaluate
        values = dict(zip([*self.captured, *self.inputs], [*self.constants, *operands], strict=True)) | dict(known)
        read = lambda atom: atom.val if isinstance(atom, Literal) else values[atom]
        for equation in self.equations:
            if not equation.is_known(known):
                results = rule(equation, [read(atom) for atom in equation.inputs])
                values.update(zip(equation.outputs, results, strict=True))
        return values

    def evaluate(
        self, *operands: Any, rule: Callable | None = None, known: Mapping[Variable, Any] = MappingProxyType({})
    ) -> list[Any]:
        """The outputs; `rule(equation, operands) -> results` takes the place of an equation's own evaluation."""
        values = self.values(*operands, rule=rule, known=known)
        return [atom.val if isinstance(atom, Literal) else values[atom] for atom in self.outputs]


@dataclasses.dataclass(frozen=True)
class Call:
    """An equation that is the evaluation of one program. `custom`: its derivative is the author's, not that of `body`."""

    body: Program
    custom: bool


@dataclasses.dataclass(frozen=True)
class Scan:
    """A loop. Operands are `constants` of the body, the `carry`, and arrays that are walked over; results carry and ys."""

    body: Program
    constants: int
    carry: int
    length: int
    reverse: bool


@dataclasses.dataclass(frozen=True)
class While:
    """A loop of unknown length. Operands are constants of the condition, constants of the body, and the carry."""

    condition: Program
    body: Program
    condition_constants: int
    body_constants: int


@dataclasses.dataclass(frozen=True)
class Branch:
    """A choice. Operands are the index of a branch and what every branch takes."""

    branches: tuple[Program, ...]


Structure = Call | Scan | While | Branch


class Equation:
    """One step of a program.

    **Fields**: `name` of its operation, the same under every JAX; `inputs`: variables or literals; `outputs`: variables;
    `parameters` of the operation.
    """

    def __init__(self, raw: Any):
        self.raw = raw
        self.inputs: Sequence[Atom] = raw.invars
        self.outputs: Sequence[Variable] = raw.outvars
        self.parameters: dict[str, Any] = raw.params
        self.name = _name(raw)

    @property
    def operands(self) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types of what the operation takes."""
        return _shapes(self.inputs)

    @property
    def results(self) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types of what the operation gives."""
        return _shapes(self.outputs)

    @functools.cached_property
    def reads(self) -> list[Variable]:
        """The variables among its inputs."""
        return variables(self.inputs)

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """What tells it from other operations, programs inside as such; no rules of derivatives, new at every trace."""
        kept = {name: _opened(value) for name, value in self.parameters.items() if name not in _RULES}
        return {"": self.raw.primitive, **kept}

    @functools.cached_property
    def written(self) -> tuple[str, str, str]:
        """The operation, its parameters and the types that it takes, in letters: the same wherever it stands."""
        return self.name, str(self.parameters), str(self.operands)

    def evaluate(self, operands: Sequence[Any]) -> list[Any]:
        """The results, by the operation's own rules: an outer transformation sees it as the program wrote it."""
        parameters = self.raw.primitive.get_bind_params(self.parameters)
        with self.raw.ctx.manager:
            results = self.raw.primitive.bind(*operands, **parameters)
        return list(results) if self.raw.primitive.multiple_results else [results]

    def is_known(self, known: Mapping[Variable, Any]) -> bool:
        """Whether all results that anybody reads are known."""
        return bool(known) and all(variable in known or isinstance(variable, core.DropVar) for variable in self.outputs)

    @property
    def lasts(self) -> bool:
        """Whether its results are worth keeping: more than numbers, or the fruit of a program, and no repetition of less."""
        large = any(result.size >= _ARRAY for result in self.results)
        return self.name not in _REPEATS and (large or bool(self.programs))

    @functools.cached_property
    def structure(self) -> Structure | None:
        """The programs inside, None where there are none that could be walked."""
        if self.name in _CALLS:
            return Call(_program(self.parameters[_CALLS[self.name]]), self.name.startswith("custom"))
        if self.name == "shard_map":
            return Call(_unsharded(self.raw), custom=False)
        read = {"scan": _scan, "while": _while, "cond": _branch}.get(self.name)
        return read and read(self.parameters)

    @functools.cached_property
    def programs(self) -> list[Program]:
        """Every program inside, also those of operations that are no `Structure`, such as a linear solve."""
        rows = (value if isinstance(value, tuple) else (value,) for value in self.parameters.values())
        return [_program(value) for value in itertools.chain.from_iterable(rows) if isinstance(value, _JAXPRS)]

    @property
    def scope(self) -> str:
        """The names of `jax.named_scope` that it was written under."""
        return str(self.raw.source_info.name_stack)

    @functools.cached_property
    def place(self) -> Place | None:
        """The innermost line that is no library's; None inside a library, whose caller is the equation around."""
        return next(self._places(), None)

    @property
    def by_library(self) -> bool:
        """Of a custom rule: whether a library wrote it, though it may call the user's functions."""
        files = self._files()
        callers = [file for file in files if not any(name in file for name in _MACHINERY)]
        return not any(map(users_line, files)) or not users_line(next(iter(callers), ""))

    @property
    def of_jax(self) -> str:
        """The name of the jitted function of JAX that it calls; empty where it does something else."""
        return _of_jax(self.raw)

    @property
    def special(self) -> bool:
        """Whether it is part of one of JAX's special functions or activations, not of what the user wrote."""
        inner = itertools.takewhile(lambda file: not users_line(file), self._files())
        return any(folder in file for file in inner for folder in _SPECIAL)

    @property
    def ours(self) -> bool:
        """Whether this library wrote it, though a user's line asked for it."""
        inner = itertools.takewhile(lambda file: not users_line(file), self._files())
        return any(LIBRARY in file for file in inner)

    def _files(self) -> list[str]:
        traceback = self.raw.source_info.traceback
        return [frame.file_name for frame in traceback.frames] if traceback else []

    def _places(self) -> Iterator[Place]:
        traceback = self.raw.source_info.traceback
        for frame in traceback.frames if traceback else ():
            if users_line(frame.file_name):
                yield Place(frame.file_name, frame.line_num, frame.function_name)


def variables(atoms: Iterable[Atom]) -> list[Variable]:
    """Those that are no literals."""
    return [atom for atom in atoms if isinstance(atom, Variable)]


def _shapes(atoms: Sequence[Any]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in atoms]


def trace(function: Callable, *arguments: Any) -> tuple[Program, Any]:
    """The program of `function(*arguments)`, flat inputs to flat outputs, and the tree of what it returns."""
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return _program(closed), jax.tree.structure(shape)


def operation(name: str, evaluate: Callable[..., Any], refuse: Callable[..., Any]) -> Callable[..., Any]:
    """An operation of this library's own, which a traced program shows as one equation of that name.

    `evaluate(*operands, **parameters) -> array` must treat leading axes as batches: `vmap` puts its axis first in every
    operand. `refuse(**parameters)` raises: it is called where an operand has a tangent that is alive.
    """
    primitive = core.Primitive(name)
    primitive.def_impl(lambda *operands, **parameters: evaluate(*map(jnp.asarray, operands), **parameters))

    def shape(*kinds: Any, **parameters: Any) -> Any:
        asked = [jax.ShapeDtypeStruct(kind.shape, kind.dtype) for kind in kinds]
        found = jax.eval_shape(lambda *operands: evaluate(*operands, **parameters), *asked)
        return ShapedArray(found.shape, found.dtype)

    def batched(operands: Sequence[Any], axes: Sequence[Any], **parameters: Any) -> tuple[Any, int]:
        pairs = list(zip(operands, axes, strict=True))
        size = next(operand.shape[axis] for operand, axis in pairs if axis is not None)
        return primitive.bind(*(_batch_first(operand, axis, size) for operand, axis in pairs), **parameters), 0

    def differentiate(operands: Sequence[Any], tangents: Sequence[Any], **parameters: Any) -> tuple[Any, Any]:
        if not all(isinstance(tangent, ad.Zero) for tangent in tangents):
            refuse(**parameters)
        result = primitive.bind(*operands, **parameters)
        return result, ad.Zero.from_primal_value(result)  # pyright: ignore[reportAttributeAccessIssue]

    primitive.def_abstract_eval(shape)
    mlir.register_lowering(primitive, mlir.lower_fun(evaluate, multiple_results=False))
    batching.primitive_batchers[primitive] = batched
    ad.primitive_jvps[primitive] = differentiate
    return primitive.bind


def _batch_first(operand: Any, axis: Any, size: int) -> Any:
    if axis is None:
        return jnp.broadcast_to(operand, (size, *operand.shape))
    return jnp.moveaxis(operand, axis, 0)


@functools.lru_cache(maxsize=64)
def _unsharded(raw: Any) -> Program:
    """The program of a `shard_map` over all of its operands: its shards become batches, its collectives sums."""
    read = raw.params
    axes = {name: read["mesh"].shape[name] for name in read["mesh"].axis_names if name in read["newly_manual_axes"]}
    inner = getattr(read["jaxpr"], "jaxpr", read["jaxpr"])
    inner = _rewritten(inner, _untyped) if read["check_vma"] else inner
    shard = core.jaxpr_as_fun(core.ClosedJaxpr(inner, ()))

    def together(*operands: Any) -> list[Any]:
        shards = [cut(operand, spec, axes) for operand, spec in zip(operands, read["in_specs"], strict=True)]
        run = shard
        for name, size in reversed(axes.items()):
            run = jax.vmap(run, axis_name=name, axis_size=size)
        return [joined(result, spec, axes) for result, spec in zip(run(*shards), read["out_specs"], strict=True)]

    return trace(together, *_shapes(raw.invars))[0]


def _rewritten(value: Any, rule: Callable, constant: Callable = lambda constant: constant) -> Any:
    """The same program, or some of them, with every equation by a `rule`; anything else is as it was."""
    if type(value) is tuple:
        return tuple(_rewritten(part, rule, constant) for part in value)
    if not isinstance(value, _JAXPRS):
        return value
    consts = getattr(value, "consts", ())
    held = {"consts": [*map(constant, consts)]} if consts else {}
    if isinstance(value, core.Jaxpr):
        return value.replace(eqns=[*map(rule, value.eqns)], **held)
    return value.replace(jaxpr=_rewritten(value.jaxpr, rule, constant), **held)


def _copied(raw: Any) -> Any:
    """The same equation, with copies of numpy's constants inside."""
    copy = lambda constant: constant.copy() if isinstance(constant, np.ndarray) else constant
    return raw.replace(params={name: _rewritten(value, _copied, copy) for name, value in raw.params.items()})


def _untyped(raw: Any) -> Any:
    """The same equation without what only tells types which values differ between devices."""
    if raw.primitive.name == "pvary":
        return raw.replace(primitive=core.primitives.copy_p, params={})
    if raw.primitive.name == "psum_invariant":
        return raw.replace(primitive=core.primitives.psum_p, params={**raw.params, "axis_index_groups": None})
    if raw.primitive.name == "custom_jvp_call":
        # The rule insists on the types: what remains is the derivative of what the function does.
        call = {"call_jaxpr": _rewritten(raw.params["call_jaxpr"], _untyped)}
        return raw.replace(primitive=core.primitives.closed_call_p, params=call)
    return raw.replace(params={name: _rewritten(value, _untyped) for name, value in raw.params.items()})


def _opened(value: Any) -> Any:
    """A parameter of an operation, its programs as such."""
    if type(value) is tuple:
        return tuple(map(_opened, value))
    return _program(value) if isinstance(value, _JAXPRS) else value


def _program(jaxpr: Any) -> Program:
    return Program(getattr(jaxpr, "jaxpr", jaxpr), tuple(getattr(jaxpr, "consts", ())))


def _name(raw: Any) -> str:
    name = raw.primitive.name
    if name == "call_hi_primitive":
        # SearchSorted -> search_sorted
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(raw.params["_prim"]).__name__).lower()
    # One operation under every JAX, however it is done.
    if _of_jax(raw) == "searchsorted" and len(raw.invars) == 2 and raw.invars[0].aval.ndim == 1:
        return "search_sorted"
    return str(_NAMES.get(name, name))


def _of_jax(raw: Any) -> str:
    inside = getattr(raw.params.get("jaxpr"), "jaxpr", raw.params.get("jaxpr"))
    file = getattr(getattr(inside, "debug_info", None), "func_filename", None) or ""
    return raw.params["name"] if _NAMES.get(raw.primitive.name, raw.primitive.name) == "jit" and _OWN in file else ""


def _scan(parameters: dict[str, Any]) -> Scan:
    if "num_carry" in parameters:
        constants, carry = parameters["num_consts"], parameters["num_carry"]
    else:
        constants, carry, _ = (len(list(part.vals)) for part in parameters["ft_in"].unpack())
    return Scan(_program(parameters["jaxpr"]), constants, carry, parameters["length"], parameters["reverse"])


def _while(parameters: dict[str, Any]) -> While:
    programs = _program(parameters["cond_jaxpr"]), _program(parameters["body_jaxpr"])
    return While(*programs, parameters["cond_nconsts"], parameters["body_nconsts"])


def _branch(parameters: dict[str, Any]) -> Branch:
    return Branch(tuple(map(_program, parameters["branches"])))
