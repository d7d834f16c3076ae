"""A program evaluated in dual numbers, with a record of every site: how far it is from its edge along a direction."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pliant.core.activity import inexact
from pliant.core.programs import Branch, Call, Equation, Literal, Program, Scan, While
from pliant.lint._flow import Flow, Path
from pliant.lint._margins import BENDS, BLOCKS, EDGES
from pliant.lint._tangents import passes

_MARGINS = {**BLOCKS, **BENDS, **EDGES}
# Of the nearest edges of a site, the first may be ones that the outputs do not see.
_NEAREST = 16
_GROUPS = 256
_GOLDEN = (math.sqrt(5) - 1) / 2


class Dual(eqx.Module):
    """A value and its tangent, None where it does not move."""

    value: Any
    tangent: Any = None

    @property
    def full(self) -> Any:
        """The tangent, zeros where it does not move."""
        return jnp.zeros_like(self.value) if self.tangent is None else self.tangent


class Record(NamedTuple):
    """What was seen at a site.

    **Fields**: `crossings`: the steps along the direction to the nearest edges, as the tangents have them, the nearest first,
    infinite where there are none; `margin`: the smallest distance from an edge; `sides`: a number that changes when an
    element changes sides; `rate`: of a loop, the growth of tangents per step beyond that of the values, as a logarithm.
    """

    crossings: Float[Array, " nearest"]
    margin: Float[Array, ""]
    sides: Float[Array, ""]
    rate: Float[Array, ""]


Records = dict[Path, Record]


class Walk:
    """Evaluates one traced program at a point along a direction."""

    def __init__(self, program: Program, flow: Flow):
        self._program, self._flow = program, flow

    def __call__(self, point: Sequence[Any], direction: Sequence[Any]) -> tuple[list[Dual], Records]:
        """Outputs and records; `direction` holds None where an input does not move."""
        duals = [Dual(value, tangent) for value, tangent in zip(point, direction, strict=True)]
        return self._run(self._program, duals, ())

    def _run(self, program: Program, inputs: Sequence[Dual], path: Path) -> tuple[list[Dual], Records]:
        values = dict(zip(program.captured, map(Dual, program.constants), strict=True))
        values.update(zip(program.inputs, inputs, strict=True))
        read = lambda atom: _literal(atom) if isinstance(atom, Literal) else values[atom]
        records: Records = {}
        for index, equation in enumerate(program.equations):
            operands = [read(atom) for atom in equation.inputs]
            results, seen = self._equation(equation, operands, (*path, index))
            values.update(zip(equation.outputs, results, strict=True))
            records.update(seen)
        return [read(atom) for atom in program.outputs], records

    def _equation(self, equation: Equation, operands: list[Dual], path: Path) -> tuple[list[Dual], Records]:
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

    def _operation(self, equation: Equation, operands: list[Dual], path: Path) -> tuple[list[Dual], Records]:
        values = [dual.value for dual in operands]
        moving = tuple(dual.tangent is not None for dual in operands)
        site = self._flow.sites.get(path)
        if not any(moving) or path in self._flow.rigid:
            return [Dual(value) for value in equation.evaluate(values)], {}
        results = _push(equation, operands, moving)
        margin = _MARGINS.get(equation.name)
        if site is None or margin is None:
            return results, {}
        return results, {path: _record(margin, equation, operands, results)}

    def _scan(self, scan: Scan, operands: list[Dual], path: Path) -> tuple[list[Dual], Records]:
        first, last = scan.constants, scan.constants + scan.carry
        constants, carry, arrays = operands[:first], operands[first:last], operands[last:]
        moves = self._flow.moves[path]

        def body(carry: list[Dual], step: tuple) -> tuple:
            index, arrays = step
            results, records = self._run(scan.body, [*constants, *carry, *arrays], path)
            after = _held(results[: scan.carry], moves)
            return after, (results[scan.carry :], _scaled(records, index), _sizes(after))

        index = jnp.arange(scan.length)
        carry, (stacked, records, sizes) = lax.scan(
            body, _held(carry, moves), (index, arrays), length=scan.length, reverse=scan.reverse
        )
        records = {path: _nearest(record) for path, record in records.items()}
        if path in self._flow.sites:
            tangents, values = (jnp.flip(size) if scan.reverse else size for size in sizes)
            records[path] = _nothing()._replace(rate=_rate(tangents) - jnp.maximum(_rate(values), 0.0))
        return carry + stacked, records

    def _while(self, loop: While, operands: list[Dual], path: Path) -> tuple[list[Dual], Records]:
        first, last = loop.condition_constants, loop.condition_constants + loop.body_constants
        of_condition, of_body, carry = operands[:first], operands[first:last], operands[last:]
        moves = self._flow.moves[path]
        carry = _held(carry, moves)

        def look(carry: list[Dual]) -> tuple[Dual, Records]:
            (going,), records = self._run(loop.condition, [*of_condition, *carry], (*path, 0))
            return going, records

        def step(state: tuple) -> tuple:
            carry, seen, count = state
            going, before = look(carry)
            results, during = self._run(loop.body, [*of_body, *carry], (*path, 1))
            seen = _nearer(seen, _scaled({**before, **during}, count))
            return _where(going.value, _held(results, moves), carry), seen, count + 1

        def records(carry: list[Dual]) -> Records:
            return {**look(carry)[1], **self._run(loop.body, [*of_body, *carry], (*path, 1))[1]}

        none = {path: _nothing() for path in jax.eval_shape(records, carry)}
        carry, seen, _ = lax.while_loop(lambda state: jnp.any(look(state[0])[0].value), step, (carry, none, 0))
        return carry, _nearer(seen, look(carry)[1])

    def _branch(self, branches: Sequence[Program], operands: list[Dual], path: Path) -> tuple[list[Dual], Records]:
        index, arguments = operands[0].value, operands[1:]
        runs = [
            lambda arguments, branch=branch, place=place: self._run(branch, arguments, (*path, place))
            for place, branch in enumerate(branches)
        ]
        shapes = [jax.eval_shape(run, arguments) for run in runs]
        moves = [any(dual.tangent is not None for dual in duals) for duals in zip(*(s[0] for s in shapes), strict=True)]
        none = {path: _nothing() for _, records in shapes for path in records}

        def uniform(run: Any) -> Any:
            def branch(arguments: list[Dual]) -> tuple[list[Dual], Records]:
                results, records = run(arguments)
                return _held(results, moves), {**none, **records}

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


def _record(margin: Any, equation: Equation, operands: list[Dual], results: list[Dual]) -> Record:
    """Margins with their tangents, and the nearest edge along them."""
    both = (*operands, *results)
    moved = [dual for dual in both if dual.tangent is not None]

    def margins(*moved: Any) -> Array:
        ahead = iter(moved)
        values = [dual.value if dual.tangent is None else next(ahead) for dual in both]
        found = margin(values[: len(operands)], values[len(operands) :], equation.parameters)
        return jnp.real(jnp.asarray(found, jnp.result_type(found, float))).ravel()

    m, slope = jax.jvp(margins, tuple(dual.value for dual in moved), tuple(dual.tangent for dual in moved))
    if m.size == 0:
        return _nothing()
    steps = jnp.where((slope == 0) | jnp.isnan(slope), jnp.inf, -m / jnp.where(slope == 0, 1.0, slope))
    weights = jnp.mod(_GOLDEN * (1 + jnp.arange(m.size)), 1.0)
    nothing = _nothing()
    return nothing._replace(
        crossings=_first(steps).astype(nothing.crossings.dtype),
        margin=jnp.min(jnp.abs(m)).astype(nothing.margin.dtype),
        sides=jnp.sum(jnp.where(m > 0, weights, 0.0)).astype(nothing.sides.dtype),
    )


def _nothing() -> Record:
    zero = jnp.zeros(())
    return Record(jnp.full(_NEAREST, jnp.inf), zero + jnp.inf, zero, zero - jnp.inf)


def _first(steps: Float[Array, " any"]) -> Float[Array, " nearest"]:
    """The nearest step and some others, padded; of many, the nearest of each of some groups: sorting a million is dear."""
    if steps.size <= _NEAREST:
        # Within a loop this happens at every turn: no sorting.
        steps = jnp.roll(steps, -jnp.argmin(jnp.abs(steps))) if steps.size > 1 else steps
        return jnp.concatenate([steps, jnp.full(_NEAREST - steps.size, jnp.inf, steps.dtype)])
    groups = min(steps.size, _GROUPS)
    steps = jnp.concatenate([steps, jnp.full(-steps.size % groups, jnp.inf, steps.dtype)]).reshape(-1, groups)
    steps = jnp.take_along_axis(steps, jnp.argmin(jnp.abs(steps), axis=0, keepdims=True), axis=0)[0]
    _, order = lax.top_k(-jnp.abs(steps), _NEAREST)
    return steps[order]


def _scaled(records: Records, index: Array) -> Records:
    """Sides told apart by the step of a loop in which they were seen."""
    weight = 1.0 + jnp.mod(_GOLDEN * (1 + index), 1.0)
    return {path: record._replace(sides=record.sides * weight) for path, record in records.items()}


def _nearest(stacked: Record) -> Record:
    """The record of all steps of a loop."""
    return Record(
        _first(stacked.crossings.ravel()), jnp.min(stacked.margin), jnp.sum(stacked.sides), jnp.max(stacked.rate)
    )


def _nearer(one: Records, other: Records) -> Records:
    both = {path: jax.tree.map(lambda a, b: jnp.stack([a, b]), one[path], other[path]) for path in one if path in other}
    return {**one, **other, **{path: _nearest(record) for path, record in both.items()}}


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
