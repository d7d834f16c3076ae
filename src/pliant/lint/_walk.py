"""A program evaluated in dual numbers, with a record of every site: how far it is from its edge along a direction."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pliant.core.activity import inexact
from pliant.core.programs import Branch, Call, Equation, Literal, Program, Scan, Variable, While
from pliant.lint._flow import Flow, Path
from pliant.lint._margins import BENDS, BLOCKS, EDGES
from pliant.lint._records import (
    Margins,
    Packed,
    Record,
    Records,
    Seen,
    digested,
    is_small,
    nearer,
    nearest,
    nothing,
    scaled,
)
from pliant.lint._tangents import passes

_MARGINS = {**BLOCKS, **BENDS, **EDGES}


class Dual(eqx.Module):
    """A value and its tangent, None where it does not move; `root`: where it is a positive power, what that is of."""

    value: Any
    tangent: Any = None
    root: "Dual | None" = None

    @property
    def full(self) -> Any:
        """The tangent, zeros where it does not move."""
        return jnp.zeros_like(self.value) if self.tangent is None else self.tangent


class Walk:
    """Evaluates one traced program at a point along a direction; records what it sees where it is `looking`.

    What is `known` of the variables that do not move is not evaluated again.
    """

    def __init__(self, program: Program, flow: Flow, looking: bool = True, known: Mapping[Variable, Any] | None = None):
        self._program, self._flow, self._known = program, flow, known or {}
        self._sites = flow.sites if looking else {}

    def __call__(self, point: Sequence[Any], direction: Sequence[Any]) -> tuple[list[Dual], Records]:
        """Outputs and records; `direction` holds None where an input does not move."""
        duals = [Dual(value, tangent) for value, tangent in zip(point, direction, strict=True)]
        outputs, records = self._run(self._program, duals, ())
        return outputs, digested(records)

    def _run(self, program: Program, inputs: Sequence[Dual], path: Path) -> tuple[list[Dual], Seen]:
        values = dict(zip(program.captured, map(Dual, program.constants), strict=True))
        values.update(zip(program.inputs, inputs, strict=True))
        values.update({variable: Dual(value) for variable, value in self._known.items()})
        read = lambda atom: _literal(atom) if isinstance(atom, Literal) else values[atom]
        records: dict[Path, Record | Margins] = {}
        for index, equation in enumerate(program.equations):
            if equation.is_known(self._known):
                continue
            operands = [read(atom) for atom in equation.inputs]
            results, seen = self._equation(equation, operands, (*path, index))
            values.update(zip(equation.outputs, results, strict=True))
            records.update(seen)
        return [read(atom) for atom in program.outputs], records

    def _equation(self, equation: Equation, operands: list[Dual], path: Path) -> tuple[list[Dual], Seen]:
        match equation.structure:
            case Call() if path in self._flow.passing:
                return operands, {}
            case Call(body, custom):
                results, records = self._run(body, operands, path)
                if custom and self._ruled(equation, path):
                    results, _ = self._operation(equation, operands, path)
                return results, records
            case Scan() as scan:
                return self._scan(scan, operands, path)
            case While() as loop:
                return self._while(loop, operands, path)
            case Branch(branches):
                return self._branch(branches, operands, path)
        return self._operation(equation, operands, path)

    def _ruled(self, equation: Equation, path: Path) -> bool:
        """Whether tangents follow a custom rule: those of reverse mode alone are compared with what the body does."""
        forward = equation.name == "custom_jvp_call" and path not in self._flow.backwards
        return forward or path in self._flow.rigid

    def _operation(self, equation: Equation, operands: list[Dual], path: Path) -> tuple[list[Dual], Seen]:
        values = [dual.value for dual in operands]
        moving = tuple(dual.tangent is not None for dual in operands)
        site = self._sites.get(path)
        if not any(moving) or path in self._flow.rigid:
            return [Dual(value) for value in equation.evaluate(values)], {}
        results = _push(equation, operands, moving)
        if _is_power(equation):
            results = [Dual(results[0].value, results[0].tangent, operands[0])]
        margin = _MARGINS.get(equation.name)
        if site is None or margin is None:
            return results, {}
        return results, {path: _record(margin, equation, operands, results)}

    def _scan(self, scan: Scan, operands: list[Dual], path: Path) -> tuple[list[Dual], Seen]:
        first, last = scan.constants, scan.constants + scan.carry
        constants, carry, arrays = operands[:first], operands[first:last], operands[last:]
        moves = self._flow.moves[path]

        def body(carry: list[Dual], step: tuple) -> tuple:
            index, arrays = step
            results, records = self._run(scan.body, [*constants, *carry, *arrays], path)
            after = _held(results[: scan.carry], moves)
            kept = {path: margins for path, margins in records.items() if is_small(margins, scan.length)}
            rest = {path: record for path, record in records.items() if path not in kept}
            sizes = _sizes(carry) if path in self._sites else ()
            stacked = [Dual(result.value, result.tangent) for result in results[scan.carry :]]
            return after, (stacked, scaled(digested(rest), index), Packed.of(kept), sizes)

        index = jnp.arange(scan.length)
        carry, (stacked, every, packed, sizes) = lax.scan(
            body, _held(carry, moves), (index, arrays), length=scan.length, reverse=scan.reverse
        )
        records = {path: nearest(record) for path, record in every.items()} | digested(packed.margins())
        if path in self._sites:
            tangents, values = (jnp.flip(size) if scan.reverse else size for size in sizes)
            records[path] = nothing()._replace(rate=_rate(tangents) - jnp.maximum(_rate(values), 0.0))
        return carry + stacked, records

    def _while(self, loop: While, operands: list[Dual], path: Path) -> tuple[list[Dual], Seen]:
        first, last = loop.condition_constants, loop.condition_constants + loop.body_constants
        of_condition, of_body, carry = operands[:first], operands[first:last], operands[last:]
        moves = self._flow.moves[path]
        carry = _held(carry, moves)

        def look(carry: list[Dual]) -> tuple[Dual, Records]:
            (going,), records = self._run(loop.condition, [*of_condition, *carry], (*path, 0))
            return going, digested(records)

        def step(state: tuple) -> tuple:
            carry, seen, count = state
            going, before = look(carry)
            results, during = self._run(loop.body, [*of_body, *carry], (*path, 1))
            seen = nearer(seen, scaled({**before, **digested(during)}, count))
            return _where(going.value, _held(results, moves), carry), seen, count + 1

        def records(carry: list[Dual]) -> Records:
            return {**look(carry)[1], **digested(self._run(loop.body, [*of_body, *carry], (*path, 1))[1])}

        none = {path: nothing() for path in jax.eval_shape(records, carry)}
        carry, seen, _ = lax.while_loop(lambda state: jnp.any(look(state[0])[0].value), step, (carry, none, 0))
        return carry, nearer(seen, look(carry)[1])

    def _branch(self, branches: Sequence[Program], operands: list[Dual], path: Path) -> tuple[list[Dual], Seen]:
        index, arguments = operands[0].value, operands[1:]
        runs = [
            lambda arguments, branch=branch, place=place: self._run(branch, arguments, (*path, place))
            for place, branch in enumerate(branches)
        ]
        shapes = [jax.eval_shape(run, arguments) for run in runs]
        moves = [any(dual.tangent is not None for dual in duals) for duals in zip(*(s[0] for s in shapes), strict=True)]
        none = {path: nothing() for _, records in shapes for path in records}

        def uniform(run: Any) -> Any:
            def branch(arguments: list[Dual]) -> tuple[list[Dual], Seen]:
                results, records = run(arguments)
                return _held(results, moves), {**none, **digested(records)}

            return branch

        if jnp.asarray(index).dtype == jnp.bool_:
            index = jnp.asarray(index, jnp.int32)
        return lax.switch(index, [uniform(run) for run in runs], arguments)


def _literal(atom: Literal) -> Dual:
    kind: Any = atom.aval
    return Dual(jnp.asarray(atom.val, kind.dtype))


def _push(equation: Equation, operands: list[Dual], moving: tuple[bool, ...]) -> list[Dual]:
    """Results with their tangents, by the operation's own derivative."""
    passed = (
        [inexact(variable.aval) for variable in equation.outputs] if equation.structure else passes(equation, moving)
    )
    values = [dual.value for dual in operands]

    def local(*moved: Any) -> list:
        ahead = iter(moved)
        results = equation.evaluate([next(ahead) if m else value for m, value in zip(moving, values, strict=True)])
        return [result for result, keep in zip(results, passed, strict=True) if keep]

    results = [Dual(value) for value in equation.evaluate(values)]
    if not any(passed):
        return results
    primals = [dual.value for dual in operands if dual.tangent is not None]
    tangents = [dual.tangent for dual in operands if dual.tangent is not None]
    pushed = iter(jax.jvp(local, tuple(primals), tuple(tangents))[1])
    return [Dual(d.value, next(pushed) if keep else None) for d, keep in zip(results, passed, strict=True)]


def _is_power(equation: Equation) -> bool:
    """Whether it raises what it takes to a power that vanishes where that does."""
    if equation.name == "integer_pow":
        return equation.parameters["y"] > 0
    exponent = equation.inputs[-1]
    return equation.name == "pow" and isinstance(exponent, Literal) and exponent.val > 0


def _record(margin: Any, equation: Equation, operands: list[Dual], results: list[Dual]) -> Margins:
    """Margins with their tangents."""
    if equation.name == "div":
        # A power vanishes where its root does, which is as far as it seems: Newton's method halves its way to multiple zeros.
        operands = [operands[0], operands[1].root or operands[1]]
    both = (*operands, *results)
    moved = [dual for dual in both if dual.tangent is not None]

    def margins(*moved: Any) -> Array:
        ahead = iter(moved)
        values = [dual.value if dual.tangent is None else next(ahead) for dual in both]
        found = margin(values[: len(operands)], values[len(operands) :], equation.parameters)
        return jnp.real(jnp.asarray(found, jnp.result_type(found, float))).ravel()

    return Margins(*jax.jvp(margins, tuple(dual.value for dual in moved), tuple(dual.tangent for dual in moved)))


def _held(duals: Sequence[Dual], moves: Sequence[bool]) -> list[Dual]:
    """The same values, with tangents exactly where `moves` says."""
    return [Dual(dual.value, dual.full if m else None) for dual, m in zip(duals, moves, strict=True)]


def _where(going: Any, results: list[Dual], carry: list[Dual]) -> list[Dual]:
    """What a step leaves: loops of a batch, which go on for as long as one of them does, have come to rest one by one."""

    def chosen(new: Any, old: Any) -> Any:
        return jnp.where(jnp.expand_dims(going, range(jnp.ndim(going), jnp.ndim(new))), new, old)

    return jax.tree.map(chosen, results, carry) if jnp.ndim(going) else results


def _sizes(carry: Sequence[Dual]) -> tuple[Array, Array]:
    """Sizes of a carry's tangents and of the values that move."""
    moved = [dual for dual in carry if dual.tangent is not None]
    return _norm([dual.tangent for dual in moved]), _norm([dual.value for dual in moved])


def _norm(arrays: Sequence[Array]) -> Array:
    return jnp.sqrt(sum((jnp.sum(jnp.abs(array) ** 2) for array in arrays), start=jnp.zeros(())))


def _rate(sizes: Float[Array, " steps"]) -> Float[Array, ""]:
    """Growth per step as a logarithm, over the second half of a loop."""
    tiny = jnp.finfo(sizes.dtype).tiny
    logs = jnp.log(jnp.clip(jnp.nan_to_num(sizes, nan=jnp.inf, posinf=jnp.finfo(sizes.dtype).max), min=tiny))
    middle = sizes.size // 2
    return (logs[-1] - logs[middle]) / max(sizes.size - 1 - middle, 1)
