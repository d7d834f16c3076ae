"""An interpreter of programs that draw: what is known of every number, and where a draw or a threshold is met."""

import abc
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pliant.core.activity import inexact
from pliant.core.chance.chains import Chain, Source, Value, decides, descent, lift, share
from pliant.core.chance.crossings import COMPARISONS, compared, digit, matched, side_that_decides
from pliant.core.chance.draws import DRAW, GUARD, Categorical, Family, uniforms
from pliant.core.chance.events import Digit, Drawn, Threshold
from pliant.core.chance.extremes import extreme
from pliant.core.chance.following import follow, mark
from pliant.core.chance.places import (
    EQUALITIES,
    GENERATORS,
    interesting,
    is_uniform,
    jumps,
    lumped,
    lumps,
    unrecognised,
)
from pliant.core.chance.recognised import QUANTILES, RECOGNISED, quantile_chain
from pliant.core.chance.samplers import choice, sampler
from pliant.core.chance.stairs import Edges, stairs
from pliant.core.chance.walker import ANYTHING, Walker
from pliant.core.errors import NotApplicable
from pliant.core.programs import Equation

# What is folded into the key of one of JAX's samplers for what else it could have drawn.
_ALTERNATIVES = 0xA17


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
        """Whether the threshold is reached."""
        return threshold.value

    def at_digit(self, digit: Digit) -> Any:
        """What the whole number is."""
        return digit.value

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
        active = any(v.active for v in values)
        law = sampler(equation)
        if law is not None and active:
            return [self._sampled(equation, values, law)]
        chances = choice(equation, values) if active else None
        if chances is not None:
            return [self._chosen(equation, values, chances)]
        step = stairs(equation, [v.value for v in values]) if active else None
        if step is not None and decides(values[step[0]], values[0] if step[0] else Value(None)):
            return [self._digit(equation, values, *step)]
        if equation.structure is not None and interesting(equation, values):
            return self.inside(equation, values)
        if equation.name in COMPARISONS and active:
            return [self._compare(equation, values)]
        if equation.name in EQUALITIES and active and any(v.lumped and v.random for v in values):
            return [self._equal(equation, values)]
        return self._plain(equation, values)

    def _plain(self, equation: Equation, values: list[Value]) -> list[Value]:
        """An operation as it is, with what is known of its results."""
        chain = follow(equation, values) or extreme(equation, values)
        random = descent(values)
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
        if chain is not None and (beside := mark(equation)) is not None:
            random |= {(*chain.origin, beside)}
        results = equation.evaluate([v.value for v in values])
        in_lumps = lumps(equation, values)
        return [Value(result, random, active and inexact(result), chain, in_lumps) for result in results]

    def _draw(self, equation: Equation, values: list[Value]) -> Value:
        key, *parameters = values
        held = [jax.lax.stop_gradient(p.value) for p in parameters]
        # Not the operation itself: the uniform behind the draw is the same in every run, and drawn once for all of them.
        numbers = self._numbers([key], lambda: uniforms(key.value, held[-1]))
        result = equation.parameters["family"].quantiles(numbers, *held)
        share(parameters)
        if not any(p.active for p in parameters):
            return Value(result, descent(values) | {ANYTHING})
        flat = [p.value.reshape(-1, *p.value.shape[result.ndim :]) for p in parameters]
        return self._met(equation, values, equation.parameters["family"], key.value.reshape(-1), result, flat)

    def _sampled(self, equation: Equation, values: list[Value], law: Family) -> Value:
        """What one of JAX's samplers has drawn."""
        key, parameter = values
        (result,) = equation.evaluate([key.value, jax.lax.stop_gradient(parameter.value)])
        share([parameter])
        keys = jax.random.split(jax.random.fold_in(key.value, _ALTERNATIVES), result.size)
        return self._met(equation, values, law, keys, result, [parameter.value.reshape(-1)])

    def _chosen(self, equation: Equation, values: list[Value], chances: Array) -> Value:
        """The index of the largest of what Gumbel's noise was added to."""
        (result,) = equation.evaluate([values[0].value])
        chain = values[0].chain
        assert chain is not None
        chain.source.chosen = True
        # The alternatives of an index are all there are: no key is needed.
        keys = jax.random.split(jax.random.key(0), result.size)
        return self._met(equation, values, Categorical(), keys, result, [chances.reshape(-1, chances.shape[-1])])

    def _met(
        self, equation: Equation, values: list[Value], law: Family, keys: Any, result: Array, parameters: list[Array]
    ) -> Value:
        """A draw, with a key for each of its numbers and parameters that are flat over them."""
        drawn = Drawn(law, self.site(equation), self.iteration, keys, result.reshape(-1), parameters)
        found = self.at_draw(drawn).astype(result.dtype).reshape(result.shape)
        return Value(found, descent(values) | {ANYTHING})

    def _uniform(self, equation: Equation, values: list[Value]) -> Value:
        key, low, high = values
        drawn = self._numbers(values, lambda: equation.evaluate([key.value, low.value, high.value])[0])
        chain = self._noise(equation, drawn)
        lowest, width = (_like(bound, drawn) for bound in (low.value, high.value - low.value))
        moved = self.at_uniform(chain.source, drawn, lowest + width * self._moved(drawn))
        active = low.active or high.active
        return Value(moved, key.random | {chain.origin}, active, chain.then("mul", width).then("add", lowest))

    def _recognised(self, equation: Equation, value: Value) -> Value:
        """Declared noise: independent of all that is drawn, whatever it was computed from."""
        law, drawn = equation.parameters["law"], self.taped(lambda: value.value) if self.taping else value.value
        chain = self._noise(equation, drawn)
        moved = self.at_uniform(chain.source, drawn, QUANTILES[law](self._moved(drawn)))
        return Value(moved, frozenset({chain.origin}), chain=quantile_chain(law, chain, drawn.dtype))

    def _noise(self, equation: Equation, drawn: Array) -> Chain:
        """The uniforms on (0, 1) behind an array of noise."""
        source = Source(self.site(equation), self.iteration)
        self.sources.append(source)
        element = jnp.arange(drawn.size, dtype=jnp.int32).reshape(drawn.shape)
        return Chain(source, (source.site, id(source)), jnp.broadcast_to(self.iteration, drawn.shape), element)

    def _moved(self, drawn: Any) -> Any:
        """The uniform on (0, 1) that a number of this array is moved to."""
        return jnp.zeros_like(drawn)

    def _numbers(self, given: Sequence[Value], draw: Callable[[], Any]) -> Any:
        same = self.taping and not any(value.random or value.active for value in given)
        return self.taped(draw) if same else draw()

    def _compare(self, equation: Equation, values: list[Value]) -> Value:
        """A comparison of two numbers, at least one of them with a derivative."""
        random = descent(values)
        side = side_that_decides(values)
        if side is None:
            if random and self.strict and not equation.special:
                raise NotApplicable(unrecognised(equation))
            share(values)
            return Value(equation.evaluate([v.value for v in values])[0], random)
        share([values[1 - side]])
        return Value(compared(equation, values, side, self._here(equation), self.at_threshold), random)

    def _equal(self, equation: Equation, values: list[Value]) -> Value:
        """Whether a number that may be one with a probability is: it reaches the other one and does not pass it."""
        random = descent(values)
        side = side_that_decides(values)
        same = equation.inputs[0] is equation.inputs[1]
        # This library's own are guards, of what has no probability.
        if side is None and not same and self.strict and not (equation.special or equation.ours):
            raise NotApplicable(lumped(equation))
        if side is None or same:
            return self._plain(equation, values)[0]
        equal = matched(
            values, side, self.site(equation), self.site(equation, "beyond"), self.iteration, self.at_threshold
        )
        return Value(equal if equation.name == "eq" else ~equal, random)

    def _digit(self, equation: Equation, values: list[Value], place: int, edges: Edges) -> Value:
        """A whole number that is a step function of a number with a derivative."""
        (result,) = equation.evaluate([v.value for v in values])
        random = descent(values)
        share([v for v in values if v is not values[place]])
        met = digit(result, values[place], edges, self._here(equation))
        # As a change: whole numbers of real ones may be larger than an integer.
        change = (self.at_digit(met) - met.value).reshape(result.shape)
        return Value(jax.lax.stop_gradient(result) + change.astype(result.dtype), random)

    def _here(self, equation: Equation) -> tuple[int, Any]:
        return self.site(equation), self.iteration


def _like(bound: Any, drawn: Any) -> Any:
    bound = jnp.asarray(bound, drawn.dtype)
    return jnp.broadcast_to(
        bound.reshape(bound.shape + (1,) * (drawn.ndim - bound.ndim)) if bound.ndim else bound, drawn.shape
    )
