"""An interpreter of programs that draw: it walks through loops and branches to every draw and every recognised threshold."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from pliant.core.activity import inexact, reach, settled
from pliant.core.chains import COMPARISONS, Chain, Source, Step, Value, conflict, follow, lift
from pliant.core.draws import DRAW, GUARD, Family, uniforms
from pliant.core.errors import NotApplicable
from pliant.core.programs import Branch, Call, Equation, Program, Scan, While

_STEPS = {"floor", "ceil", "round", "sign"}
# They switch on a set without measure.
_HARMLESS = {"eq", "ne", "is_finite"}
_GENERATORS = {"random_bits", "random_gamma", "threefry2x32", "rng_bit_generator", "rng_uniform"}
_ANYTHING = ("noise of a loop",)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A draw met on the way: `value` and `parameters` flat over `element`, with its place in the run."""

    family: Family
    site: int
    iteration: Any
    key: Any
    value: Any
    parameters: Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A comparison met on the way: it came out `value`, being true with probability `chance`."""

    site: int
    iteration: Any
    value: Any
    chance: Any
    uniform: Any
    element: Any
    source: Source


class Interpreter(abc.ABC):
    """Walks over a program; what it does at a draw is its subclass.

    **Arguments**: `sites`: numbers of the places where something is drawn, the same in every run of one program;
    `max_steps`: the bound of while loops that draw; `strict`: whether a jump that cannot be followed is refused.
    """

    def __init__(self, sites: dict[tuple, int], max_steps: int | None = None, strict: bool = True):
        self.sites, self.max_steps, self.strict = sites, max_steps, strict
        self.path: tuple = ()
        self.iteration: Any = jnp.int32(0)
        self.book: list[Any] = []
        self.taping = True
        self.sources: list[Source] = []
        self.tape: list[Any] = []

    @abc.abstractmethod
    def at_draw(self, drawn: Drawn) -> Any:
        """What the draw gives, flat; entries of the book may be made."""

    def at_threshold(self, threshold: Threshold) -> Any:
        """What the comparison gives."""
        return threshold.value

    def taped(self, draw: Callable[[], Any]) -> Any:
        """Numbers that are the same in every run: functions of keys that no draw has a say in."""
        return draw()

    def tape_of_loop(self) -> list[Any]:
        """Such numbers of a loop's steps, where they are at hand."""
        return []

    def keep_tape(self, numbers: list[Any]) -> None:
        """Note such numbers that a loop's steps have drawn."""
        del numbers

    def at_uniform(self, source: Source, uniform: Any, element: Any) -> Any:
        """What the uniform on (0, 1) gives."""
        return uniform

    def run(self, program: Program, operands: Sequence[Value]) -> list[Value]:
        """The outputs."""
        return [lift(result) for result in program.evaluate(*operands, rule=self._rule)]

    def entries(self) -> Any:
        """All that was written, as one; None where there was nothing to write."""
        return _joined(self.book)

    def _rule(self, equation: Equation, operands: Sequence[Any]) -> list[Value]:
        values = [lift(operand) for operand in operands]
        if equation.name == DRAW:
            return [self._draw(equation, values)]
        if equation.name == GUARD:
            return values
        if _is_uniform(equation):
            return [self._uniform(equation, values)]
        structure = equation.structure
        if structure is not None and _interesting(equation, values):
            return self._inside(equation, structure, values)
        if equation.name in COMPARISONS and any(v.active for v in values):
            return [self._compare(equation, values)]
        return self._plain(equation, values)

    def _site(self, equation: Equation) -> int:
        return self.sites.setdefault((*self.path, id(equation.raw)), len(self.sites))

    def _inside(self, equation: Equation, structure: Any, values: list[Value]) -> list[Value]:
        outer = self.path
        self.path = (*outer, id(equation.raw))
        walk = {Call: self._call, Scan: self._scan, While: self._while, Branch: self._branch}[type(structure)]
        results = walk(structure, values)
        self.path = outer
        return results

    def _plain(self, equation: Equation, values: list[Value]) -> list[Value]:
        """An operation as it is, with what is known of its results."""
        chain = follow(equation, values)
        random = frozenset().union(*(v.random for v in values))
        active = any(v.active for v in values) and equation.name != "stop_gradient"
        for value in values:
            if value.chain is not None and (chain is None or chain.source is not value.chain.source):
                value.chain.source.shared = True
            elif value.chain is not None and chain is not None:
                random = random - {value.chain.origin} | {chain.origin}
        if _jumps(equation) and active and random and self.strict and not equation.special:
            raise NotApplicable(_unrecognised(equation))
        if equation.name in _GENERATORS:
            random |= {_ANYTHING}
        results = equation.evaluate([v.value for v in values])
        return [Value(result, random, active and inexact(result), chain) for result in results]

    def _draw(self, equation: Equation, values: list[Value]) -> Value:
        key, *parameters = values
        held = [jax.lax.stop_gradient(p.value) for p in parameters]
        # Not the operation itself: the uniform behind the draw is the same in every run, and drawn once for all of them.
        numbers = self._numbers([key], lambda: uniforms(key.value, held[-1]))
        result = equation.parameters["family"].quantiles(numbers, *held)
        random = frozenset().union(*(v.random for v in values)) | {_ANYTHING}
        _share(parameters)
        if not any(p.active for p in parameters):
            return Value(result, random)
        family, site, depth = equation.parameters["family"], self._site(equation), result.ndim
        flat = [p.value.reshape(-1, *p.value.shape[depth:]) for p in parameters]
        drawn = Drawn(family, site, self.iteration, key.value.reshape(-1), result.reshape(-1), flat)
        return Value(self.at_draw(drawn).reshape(result.shape), random)

    def _uniform(self, equation: Equation, values: list[Value]) -> Value:
        key, low, high = values
        source = Source(self._site(equation), self.iteration)
        self.sources.append(source)
        drawn = self._numbers(values, lambda: equation.evaluate([key.value, low.value, high.value])[0])
        element = jnp.arange(drawn.size, dtype=jnp.int32).reshape(drawn.shape)
        lowest, width = (_like(bound, drawn) for bound in (low.value, high.value - low.value))
        moved = self.at_uniform(source, drawn, lowest + width * self._moved(source, element, drawn))
        origin = (source.site, id(source))
        chain = Chain(source, origin, element, (Step("mul", width), Step("add", lowest)))
        return Value(moved, key.random | {origin}, low.active or high.active, chain)

    def _moved(self, source: Source, element: Any, drawn: Any) -> Any:
        return jnp.zeros_like(drawn)

    def _numbers(self, given: Sequence[Value], draw: Callable[[], Any]) -> Any:
        same = self.taping and not any(value.random or value.active for value in given)
        return self.taped(draw) if same else draw()

    def _compare(self, equation: Equation, values: list[Value]) -> Value:
        """A comparison of two numbers, at least one of them with a derivative."""
        result = equation.evaluate([v.value for v in values])[0]
        random = frozenset().union(*(v.random for v in values))
        sides = [i for i in (0, 1) if _decides(values[i], values[1 - i])]
        side = min(sides, key=lambda i: _shared(values[i]), default=None)
        if side is None:
            if random and self.strict and not equation.special:
                raise NotApplicable(_unrecognised(equation))
            _share(values)
            return Value(result, random)
        _share([values[1 - side]])
        return Value(self._switch(equation, values, side, result), random)

    def _switch(self, equation: Equation, values: list[Value], side: int, result: Any) -> Any:
        chain, threshold = values[side].chain, jnp.broadcast_to(values[1 - side].value, result.shape)
        assert chain is not None
        chain.source.compare(chain.origin, self._site(equation))
        chain.source.shared |= result.size > chain.element.size
        wide = chain.over([jnp.broadcast_to(array, result.shape) for array in chain.arrays])
        uniform, rises = wide.uniform_at(threshold)
        # `value < threshold` is true below the switch where the value rises with its uniform.
        below = jnp.broadcast_to(rises == ((equation.name in ("lt", "le")) == (side == 0)), result.shape)
        chance, element = jnp.where(below, uniform, 1 - uniform), wide.element.reshape(-1)
        met = Threshold(
            self._site(equation), self.iteration, result.reshape(-1), chance.reshape(-1), uniform.reshape(-1), element,
            chain.source,
        )  # fmt: skip
        return self.at_threshold(met).reshape(result.shape)

    def _call(self, call: Call, values: list[Value]) -> list[Value]:
        return self.run(call.body, values)

    def _branch(self, branch: Branch, values: list[Value]) -> list[Value]:
        index, *operands = values
        _share(operands)
        operands = [dataclasses.replace(v, chain=None) for v in operands]
        # Another branch may be taken in another run, which then draws what this one has not.
        taping, self.taping = self.taping, False
        bodies = [lambda body=body: self._apart(body, operands) for body in branch.branches]
        blank = [
            jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), eqx.filter_eval_shape(b)[1]) for b in bodies
        ]

        def one(number: int) -> Callable:
            def taken() -> tuple:
                results, book = bodies[number]()
                return results, [*blank[:number], book, *blank[number + 1 :]]

            return taken

        results, books = jax.lax.switch(index.value, [one(number) for number in range(len(bodies))])
        self.book, self.taping = self.book + books, taping
        random = frozenset().union(*(v.random for v in values)) | {_ANYTHING}
        active = any(v.active for v in operands)
        return [Value(result, random, active and inexact(result)) for result in results]

    def _apart(self, body: Program, operands: list[Value]) -> tuple[list[Any], Any]:
        """A program's outputs and its own entries of the book, one tree of flat arrays."""
        outer, self.book = self.book, []
        results = self.run(body, operands)
        _share(results)
        book, self.book = _joined(self.book), outer
        return [result.value for result in results], book

    def _scan(self, scan: Scan, values: list[Value]) -> list[Value]:
        first = scan.constants + scan.carry
        constants, carry, walked = values[: scan.constants], values[scan.constants : first], values[first:]
        _share(constants)
        about, random = self._carried(scan.body, constants, carry, walked)
        rows = [[v.value, *(v.chain.arrays if v.chain else ())] for v in walked]
        outer, tape = self.iteration, self.tape_of_loop()

        def body(state: list[Any], row: tuple) -> tuple:
            count, arrays, numbers = row
            self.iteration, kept, self.tape = outer * scan.length + count, self.tape, list(numbers)
            inner = [dataclasses.replace(v, value=x) for v, x in zip(about, state, strict=True)]
            slices = [_slice(v, row, scan) for v, row in zip(walked, arrays, strict=True)]
            results, book = self._apart(scan.body, [*constants, *inner, *slices])
            numbers, self.tape = self.tape, kept
            return results[: scan.carry], (results[scan.carry :], book, numbers)

        start = [v.value for v in carry]
        xs = (jnp.arange(scan.length, dtype=jnp.int32), rows, tape)
        last, (ys, book, numbers) = jax.lax.scan(body, start, xs, length=scan.length, reverse=scan.reverse)
        self.iteration = outer
        self.keep_tape(numbers)
        self._enter(book)
        active = reach(scan.body, [v.active for v in (*constants, *about, *walked)])
        return [Value(x, random, a and inexact(x)) for x, a in zip([*last, *ys], active, strict=True)]

    def _carried(self, body: Program, constants: list, carry: list, walked: list) -> tuple[list[Value], frozenset]:
        """What is known of the carry of a loop at any of its steps, and from which noise the results descend."""
        random = frozenset().union(*(v.random for v in (*constants, *carry)), {_ANYTHING})
        roots = [origin[:2] for v in walked for origin in {o[:2] for o in v.random}]
        # Two arrays that are walked over with the same noise in them: a later slice of one may be an earlier of the other.
        random |= {root for root in roots if roots.count(root) > 1}
        active = settled(body, *([v.active for v in part] for part in (constants, carry, walked)))
        _share(carry)
        everything = random | frozenset().union(*(v.random for v in walked))
        return [Value(None, random, a and inexact(v.value)) for v, a in zip(carry, active, strict=True)], everything

    def _while(self, loop: While, values: list[Value]) -> list[Value]:
        if _draws(loop.condition):
            raise NotApplicable("A while loop draws in its condition: draw in its body and carry the result.")
        if self.max_steps is None:
            raise NotApplicable(
                "A while loop draws with parameters that have a derivative, and nothing says how long it may last: give "
                "`max_steps` to `expect`, or use an explicit draw such as `draw.poisson` for a rejection sampler of JAX."
            )
        split = loop.condition_constants, loop.condition_constants + loop.body_constants
        conditions, constants, carry = values[: split[0]], values[split[0] : split[1]], values[split[1] :]
        _share(constants)
        about, random = self._carried(loop.body, constants, carry, [])
        outer, limit = self.iteration, self.max_steps
        taping, self.taping = self.taping, False

        def goes_on(state: list[Any]) -> Any:
            return loop.condition.evaluate(*(v.value for v in conditions), *state)[0]

        def body(state: list[Any], count: Any) -> tuple:
            self.iteration = outer * limit + count
            inner = [dataclasses.replace(v, value=x) for v, x in zip(about, state, strict=True)]
            results, book = self._apart(loop.body, [*constants, *inner])
            going = goes_on(state)
            keep = lambda new, old: jnp.where(going, new, old)
            blank = jax.tree.map(jnp.zeros_like, book)
            return [keep(n, o) for n, o in zip(results, state, strict=True)], jax.tree.map(keep, book, blank)

        start = [v.value for v in carry]
        last, book = jax.lax.scan(body, start, jnp.arange(limit, dtype=jnp.int32))
        last = _checked(last, goes_on(last), f"A while loop has not ended after {limit} steps: raise `max_steps`.")
        self.iteration, self.taping = outer, taping
        self._enter(book)
        return [Value(x, random, v.active) for x, v in zip(last, about, strict=True)]

    def _enter(self, book: Any) -> None:
        """Entries of a loop, flattened over its steps."""
        if book is not None:
            self.book.append(jax.tree.map(lambda leaf: leaf.reshape(-1), book))


def _checked(results: list[Any], wrong: Any, message: str) -> list[Any]:
    """The results, and an error at run time where something is wrong. Keys cannot carry one."""
    keys = [jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) for x in results]
    others = iter(eqx.error_if([x for x, key in zip(results, keys, strict=True) if not key], wrong, message))
    return [x if key else next(others) for x, key in zip(results, keys, strict=True)]


def _decides(value: Value, other: Value) -> bool:
    """Whether `value` is a function of one uniform on which `other` does not depend."""
    return value.chain is not None and not conflict(value.chain.origin, other.random)


def _shared(value: Value) -> bool:
    return value.chain is not None and value.chain.source.shared


def _share(values: Sequence[Value]) -> None:
    """These values go where they are not followed: their noise is used by more than a comparison."""
    for value in values:
        if value.chain is not None:
            value.chain.source.shared = True


def _slice(value: Value, row: list[Any], scan: Scan) -> Value:
    """What a loop's body sees of an array that the loop walks over."""
    chain = value.chain and value.chain.over(row[1:], (*value.chain.origin, id(scan)))
    random = value.random
    if chain is not None:
        assert value.chain is not None
        random = random - {value.chain.origin} | {chain.origin}
    return Value(row[0], random, value.active, chain)


def _joined(book: list[Any]) -> Any:
    """The entries of a book as one, None where there are none."""
    entries = [entry for entry in book if entry is not None]
    if not entries:
        return None
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *entries)


def _is_uniform(equation: Equation) -> bool:
    return equation.name == "jit" and equation.parameters.get("name") == "_uniform" and len(equation.inputs) == 3


def _interesting(equation: Equation, values: list[Value]) -> bool:
    """Whether there is something inside that must be seen."""
    if isinstance(equation.structure, While):
        return any(v.active for v in values) and any(map(_draws, equation.programs))
    if any(map(_draws, equation.programs)):
        return True
    chained = equation.name == "jit" and any(v.chain is not None for v in values)
    moving = any(v.active for v in values) and any(v.random for v in values)
    jumping = moving and any(_holds(p, _jumps) for p in equation.programs)
    custom = isinstance(equation.structure, Call) and equation.structure.custom
    return chained or (jumping and not custom)


def _jumps(equation: Equation) -> bool:
    """Whether the result is a step function of the operands: every number that is not real, but for what is harmless."""
    if equation.name in _STEPS:
        return True
    counted = not all(map(inexact, equation.results)) and any(map(inexact, equation.operands))
    return counted and equation.name not in _HARMLESS and not equation.programs


def _draws(program: Program) -> bool:
    return _holds(program, lambda equation: equation.name in (DRAW, *_GENERATORS))


def _holds(program: Program, wanted: Callable[[Equation], bool]) -> bool:
    """Whether one such equation is anywhere inside."""
    return any(wanted(e) or any(_holds(inner, wanted) for inner in e.programs) for e in program.equations)


def _like(bound: Any, drawn: Any) -> Any:
    bound = jnp.asarray(bound, drawn.dtype)
    return jnp.broadcast_to(
        bound.reshape(bound.shape + (1,) * (drawn.ndim - bound.ndim)) if bound.ndim else bound, drawn.shape
    )


def _unrecognised(equation: Equation) -> str:
    where = f" ({equation.place}: `{equation.place.text}`)" if equation.place else ""
    return (
        f"`{equation.name}`{where} compares a random number that depends on the parameters, and jumps where the outcome "
        "switches; it is no monotone function of one uniform or normal number, so that the probability of its outcome is "
        "not known. Draw it explicitly (`pliant.draw.bernoulli`, `draw.categorical` ...), compare within the step that "
        "draws the noise, write a rounding as a sum of comparisons with its levels, or pass "
        '`jumps="ignore"` where both sides of the comparison give the same value.'
    )
