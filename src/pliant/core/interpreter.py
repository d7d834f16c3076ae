"""An interpreter of programs that draw: what is known of every number, and where a draw or a threshold is met."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from pliant.core.activity import inexact
from pliant.core.chains import COMPARISONS, Chain, Source, Step, Value, decides, follow, is_shared, lift, share
from pliant.core.draws import DRAW, GUARD, Family, uniforms
from pliant.core.errors import NotApplicable
from pliant.core.places import GENERATORS, interesting, is_uniform, jumps, unrecognised
from pliant.core.programs import Equation
from pliant.core.recognised import QUANTILES, RECOGNISED, steps
from pliant.core.walker import ANYTHING, Walker


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


class Interpreter(Walker):
    """Walks over a program; what it does at a draw is its subclass.

    **Arguments**: those of `Walker`; `strict`: whether a jump that cannot be followed is refused.
    """

    def __init__(self, sites: dict[tuple, int], max_steps: int | None = None, strict: bool = True):
        super().__init__(sites, max_steps)
        self.strict = strict
        self.sources: list[Source] = []

    @abc.abstractmethod
    def at_draw(self, drawn: Drawn) -> Any:
        """What the draw gives, flat; entries of the book may be made."""

    def at_threshold(self, threshold: Threshold) -> Any:
        """What the comparison gives."""
        return threshold.value

    def taped(self, draw: Callable[[], Any]) -> Any:
        """Numbers that are the same in every run: functions of keys that no draw has a say in."""
        return draw()

    def at_uniform(self, source: Source, uniform: Any, element: Any) -> Any:
        """What the uniform on (0, 1) gives."""
        return uniform

    def rule(self, equation: Equation, operands: Sequence[Any]) -> list[Value]:
        values = [lift(operand) for operand in operands]
        if equation.name == DRAW:
            return [self._draw(equation, values)]
        if equation.name == GUARD:
            return values
        if equation.name == RECOGNISED:
            return [self._recognised(equation, values[0])]
        if is_uniform(equation):
            return [self._uniform(equation, values)]
        if equation.structure is not None and interesting(equation, values):
            return self.inside(equation, values)
        if equation.name in COMPARISONS and any(v.active for v in values):
            return [self._compare(equation, values)]
        return self._plain(equation, values)

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
        if jumps(equation) and active and random and self.strict and not equation.special:
            raise NotApplicable(unrecognised(equation))
        if equation.name in GENERATORS:
            random |= {ANYTHING}
        results = equation.evaluate([v.value for v in values])
        return [Value(result, random, active and inexact(result), chain) for result in results]

    def _draw(self, equation: Equation, values: list[Value]) -> Value:
        key, *parameters = values
        held = [jax.lax.stop_gradient(p.value) for p in parameters]
        # Not the operation itself: the uniform behind the draw is the same in every run, and drawn once for all of them.
        numbers = self._numbers([key], lambda: uniforms(key.value, held[-1]))
        result = equation.parameters["family"].quantiles(numbers, *held)
        random = frozenset().union(*(v.random for v in values)) | {ANYTHING}
        share(parameters)
        if not any(p.active for p in parameters):
            return Value(result, random)
        family, site, depth = equation.parameters["family"], self.site(equation), result.ndim
        flat = [p.value.reshape(-1, *p.value.shape[depth:]) for p in parameters]
        drawn = Drawn(family, site, self.iteration, key.value.reshape(-1), result.reshape(-1), flat)
        return Value(self.at_draw(drawn).reshape(result.shape), random)

    def _uniform(self, equation: Equation, values: list[Value]) -> Value:
        key, low, high = values
        source = Source(self.site(equation), self.iteration)
        self.sources.append(source)
        drawn = self._numbers(values, lambda: equation.evaluate([key.value, low.value, high.value])[0])
        element = jnp.arange(drawn.size, dtype=jnp.int32).reshape(drawn.shape)
        lowest, width = (_like(bound, drawn) for bound in (low.value, high.value - low.value))
        moved = self.at_uniform(source, drawn, lowest + width * self._moved(source, element, drawn))
        origin = (source.site, id(source))
        chain = Chain(source, origin, element, (Step("mul", width), Step("add", lowest)))
        return Value(moved, key.random | {origin}, low.active or high.active, chain)

    def _recognised(self, equation: Equation, value: Value) -> Value:
        """Declared noise: independent of all that is drawn, whatever it was computed from."""
        source, law = Source(self.site(equation), self.iteration), equation.parameters["law"]
        self.sources.append(source)
        drawn = self.taped(lambda: value.value) if self.taping else value.value
        element = jnp.arange(drawn.size, dtype=jnp.int32).reshape(drawn.shape)
        moved = self.at_uniform(source, drawn, QUANTILES[law](self._moved(source, element, drawn)))
        origin = (source.site, id(source))
        return Value(moved, frozenset({origin}), chain=Chain(source, origin, element, steps(law, drawn)))

    def _moved(self, source: Source, element: Any, drawn: Any) -> Any:
        return jnp.zeros_like(drawn)

    def _numbers(self, given: Sequence[Value], draw: Callable[[], Any]) -> Any:
        same = self.taping and not any(value.random or value.active for value in given)
        return self.taped(draw) if same else draw()

    def _compare(self, equation: Equation, values: list[Value]) -> Value:
        """A comparison of two numbers, at least one of them with a derivative."""
        result = equation.evaluate([v.value for v in values])[0]
        random = frozenset().union(*(v.random for v in values))
        sides = [i for i in (0, 1) if decides(values[i], values[1 - i])]
        side = min(sides, key=lambda i: is_shared(values[i]), default=None)
        if side is None:
            if random and self.strict and not equation.special:
                raise NotApplicable(unrecognised(equation))
            share(values)
            return Value(result, random)
        share([values[1 - side]])
        return Value(self._switch(equation, values, side, result), random)

    def _switch(self, equation: Equation, values: list[Value], side: int, result: Any) -> Any:
        chain, threshold = values[side].chain, jnp.broadcast_to(values[1 - side].value, result.shape)
        assert chain is not None
        chain.source.compare(chain.origin, self.site(equation))
        chain.source.shared |= result.size > chain.element.size
        wide = chain.over([jnp.broadcast_to(array, result.shape) for array in chain.arrays])
        uniform, rises = wide.uniform_at(threshold)
        # `value < threshold` is true below the switch where the value rises with its uniform.
        below = jnp.broadcast_to(rises == ((equation.name in ("lt", "le")) == (side == 0)), result.shape)
        chance, element = jnp.where(below, uniform, 1 - uniform), wide.element.reshape(-1)
        met = Threshold(
            self.site(equation), self.iteration, result.reshape(-1), chance.reshape(-1), uniform.reshape(-1), element,
            chain.source,
        )  # fmt: skip
        return self.at_threshold(met).reshape(result.shape)


def _like(bound: Any, drawn: Any) -> Any:
    bound = jnp.asarray(bound, drawn.dtype)
    return jnp.broadcast_to(
        bound.reshape(bound.shape + (1,) * (drawn.ndim - bound.ndim)) if bound.ndim else bound, drawn.shape
    )
