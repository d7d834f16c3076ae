"""A walk over a traced program: through calls, branches and loops, to every operation in them.

What is written on the way is a book, with an entry for every time that a place is passed.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from pliant.core.activity import inexact, reach, settled
from pliant.core.chance.chains import AFTER, BEFORE, Chain, Source, Value, descent, lift, marked, share
from pliant.core.chance.places import draws, may_lump
from pliant.core.errors import NotApplicable
from pliant.core.programs import Branch, Call, Equation, Program, Scan, While

# From where a number descends that a loop or a branch gives.
ANYTHING = ("noise of a loop",)


class Walker(abc.ABC):
    """Walks over a program; what it does at an operation is its subclass.

    **Arguments**: `sites`: numbers of the places where something is written, the same in every run of one program;
    `max_steps`: the bound of while loops that draw.
    """

    def __init__(self, sites: dict[tuple, int], max_steps: int | None = None):
        self.sites, self.max_steps = sites, max_steps
        self.path: tuple = ()
        self.iteration: Any = jnp.int32(0)
        self.book: list[Any] = []
        self.taping = True
        self.tape: list[Any] = []

    @abc.abstractmethod
    def rule(self, equation: Equation, operands: Sequence[Any]) -> list[Value]:
        """The results of one operation; `inside` where what it holds is to be walked over."""

    def tape_of_loop(self) -> list[Any]:
        """Numbers of a loop's steps that are the same in every run, where they are at hand."""
        return []

    def keep_tape(self, numbers: list[Any]) -> None:
        """Note the numbers that a loop's steps have drawn and that are the same in every run."""
        del numbers

    def run(self, program: Program, operands: Sequence[Value]) -> list[Value]:
        """The outputs."""
        return [lift(result) for result in program.evaluate(*operands, rule=self.rule)]

    def entries(self) -> Any:
        """All that was written, as one; None where there was nothing to write."""
        return _joined(self.book)

    def site(self, equation: Equation, *part: str) -> int:
        """The number of this place, or of a part of it."""
        return self.sites.setdefault((*self.path, id(equation.raw), *part), len(self.sites))

    def inside(self, equation: Equation, values: list[Value]) -> list[Value]:
        """The results of an operation that holds programs."""
        structure = equation.structure
        outer = self.path
        self.path = (*outer, id(equation.raw))
        walk = {Call: self._call, Scan: self._scan, While: self._while, Branch: self._branch}[type(structure)]
        results = walk(structure, values)
        self.path = outer
        return results

    def _call(self, call: Call, values: list[Value]) -> list[Value]:
        return self.run(call.body, values)

    def _branch(self, branch: Branch, values: list[Value]) -> list[Value]:
        index, *operands = values
        share(operands)
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
        random = descent(values) | {ANYTHING}
        active = any(v.active for v in operands)
        return [Value(result, random, active and inexact(result), lumped=True) for result in results]

    def _apart(self, body: Program, operands: list[Value]) -> tuple[list[Any], Any]:
        """A program's outputs and its own entries of the book, one tree of flat arrays."""
        results, book = self._known_apart(body, operands)
        return [result.value for result in results], book

    def _known_apart(self, body: Program, operands: list[Value]) -> tuple[list[Value], Any]:
        """The same, with what is known of the outputs."""
        outer, self.book = self.book, []
        results = self.run(body, operands)
        share(results)
        book, self.book = _joined(self.book), outer
        return results, book

    def _scan(self, scan: Scan, values: list[Value]) -> list[Value]:
        first = scan.constants + scan.carry
        constants, carry, walked = values[: scan.constants], values[scan.constants : first], values[first:]
        share(constants)
        about, random = self._carried(scan.body, constants, carry, walked)
        rows = [[v.value, *_arrays(v)] for v in walked]
        outer, tape = self.iteration, self.tape_of_loop()
        known: list[Value] = []

        def body(state: list[Any], row: tuple) -> tuple:
            count, arrays, numbers = row
            self.iteration, kept, self.tape = outer * scan.length + count, self.tape, list(numbers)
            inner = [dataclasses.replace(v, value=x) for v, x in zip(about, state, strict=True)]
            slices = [_slice(v, row, scan) for v, row in zip(walked, arrays, strict=True)]
            known[:], book = self._known_apart(scan.body, [*constants, *inner, *slices])
            numbers, self.tape = self.tape, kept
            results = [v.value for v in known]
            return results[: scan.carry], (results[scan.carry :], [_arrays(v) for v in known], book, numbers)

        start = [v.value for v in carry]
        xs = (jnp.arange(scan.length, dtype=jnp.int32), rows, tape)
        last, (ys, arrays, book, numbers) = jax.lax.scan(body, start, xs, length=scan.length, reverse=scan.reverse)
        self.iteration = outer
        self.keep_tape(numbers)
        self._enter(book)
        held = {v.chain.source for v in constants if v.chain is not None}
        chains = _kept(scan, known, arrays, held)
        beside = AFTER if scan.reverse else BEFORE
        random |= {(*chain.origin, beside) for chain in chains if chain is not None} | marked(known)
        active = reach(scan.body, [v.active for v in (*constants, *about, *walked)])
        given = zip([*last, *ys], active, chains, strict=True)
        lumped = may_lump(scan.body) or any(v.lumped for v in values)
        return [Value(x, random, a and inexact(x), chain, lumped) for x, a, chain in given]

    def _carried(self, body: Program, constants: list, carry: list, walked: list) -> tuple[list[Value], frozenset]:
        """What is known of the carry of a loop at any of its steps, and from which noise the results descend."""
        random = descent([*constants, *carry]) | {ANYTHING}
        roots = [origin[:2] for v in walked for origin in {o[:2] for o in v.random}]
        # Two arrays that are walked over with the same noise in them: a later slice of one may be an earlier of the other.
        random |= {root for root in roots if roots.count(root) > 1}
        random |= marked(walked)
        active = settled(body, *([v.active for v in part] for part in (constants, carry, walked)))
        share(carry)
        everything = random | descent(walked)
        lumped = may_lump(body) or any(v.lumped for v in (*constants, *carry, *walked))
        about = [Value(None, random, a and inexact(v.value), lumped=lumped) for v, a in zip(carry, active, strict=True)]
        return about, everything

    def _while(self, loop: While, values: list[Value]) -> list[Value]:
        if draws(loop.condition):
            raise NotApplicable("A while loop draws in its condition: draw in its body and carry the result.")
        if self.max_steps is None:
            raise NotApplicable(
                "A while loop draws with parameters that have a derivative, and nothing says how long it may last: give "
                "`max_steps` to `expect`, or use an explicit draw such as `draw.binomial` for a rejection sampler of JAX."
            )
        split = loop.condition_constants, loop.condition_constants + loop.body_constants
        conditions, constants, carry = values[: split[0]], values[split[0] : split[1]], values[split[1] :]
        share(constants)
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
        return [dataclasses.replace(v, value=x, random=random) for x, v in zip(last, about, strict=True)]

    def _enter(self, book: Any) -> None:
        """Entries of a loop, flattened over its steps."""
        if book is not None:
            self.book.append(jax.tree.map(lambda leaf: leaf.reshape(-1), book))


def _checked(results: list[Any], wrong: Any, message: str) -> list[Any]:
    """The results, and an error at run time where something is wrong. Keys cannot carry one."""
    keys = [jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) for x in results]
    others = iter(eqx.error_if([x for x, key in zip(results, keys, strict=True) if not key], wrong, message))
    return [x if key else next(others) for x, key in zip(results, keys, strict=True)]


def _arrays(value: Value) -> list[Any]:
    """What a loop has to hand on for a number to be followed further."""
    return value.chain.arrays if isinstance(value.chain, Chain) else []


def _slice(value: Value, row: list[Any], scan: Scan) -> Value:
    """What a loop's body sees of an array that the loop walks over."""
    if not isinstance(value.chain, Chain):
        return dataclasses.replace(value, value=row[0], chain=None)
    chain = value.chain.over(row[1:], (*value.chain.origin, id(scan)))
    random = value.random - {value.chain.origin} | {chain.origin}
    return dataclasses.replace(value, value=row[0], random=random, chain=chain)


def _kept(scan: Scan, known: list[Value], arrays: list[list[Any]], held: set[Source]) -> list[Chain | None]:
    """The chains of a loop's results: a carry is followed from the noise of the last pass, a row from that of its own.

    Not from noise that was `held` and is the same in every pass.
    """
    final = 0 if scan.reverse else scan.length - 1

    def kept(number: int, value: Value) -> Chain | None:
        if not isinstance(value.chain, Chain) or value.chain.source in held or scan.length == 0:
            return None
        rows = [a[final] for a in arrays[number]] if number < scan.carry else arrays[number]
        return value.chain.over(rows, value.chain.origin[:2])

    return [kept(number, value) for number, value in enumerate(known)]


def _joined(book: list[Any]) -> Any:
    """The entries of a book as one, None where there are none."""
    entries = [entry for entry in book if entry is not None]
    if not entries:
        return None
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *entries)
