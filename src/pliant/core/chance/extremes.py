"""The largest or the smallest of many numbers, each followed from its own noise: a path that has crossed a barrier."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from pliant.core.chance.chains import Chain, Origin, Source, Value
from pliant.core.chance.inverses import Event, Step, is_flat, undone
from pliant.core.programs import Equation


@dataclasses.dataclass(frozen=True)
class Extreme:
    """The largest (or smallest) of the numbers `of`, which have a `Chain`, over `axes`, and steps since."""

    of: Value
    axes: tuple[int, ...]
    largest: bool
    steps: tuple[Step, ...] = ()

    @property
    def chain(self) -> Chain:
        """That of its numbers."""
        assert isinstance(self.of.chain, Chain)
        return self.of.chain

    @property
    def source(self) -> Source:
        """The noise of its numbers."""
        return self.chain.source

    @property
    def origin(self) -> Origin:
        """The part of it."""
        return self.chain.origin

    @property
    def flat(self) -> bool:
        """Whether there are thresholds that many values of the noise meet at once."""
        return self.chain.flat or is_flat(self.steps)

    def undone(self, threshold: Any, inclusive: Any) -> Event:
        """The event that it reaches `threshold`, in terms of its numbers."""
        event = Event(threshold, inclusive).before_all(self.steps)
        shape = self.chain.element.shape
        wide = lambda x: jnp.broadcast_to(jnp.expand_dims(x, self.axes), shape)
        back = lambda x: wide(jnp.broadcast_to(x, threshold.shape))
        return Event(back(event.threshold), back(event.inclusive), event.rises)

    def gathered(self, reached: Array) -> Array:
        """Whether it reaches what each of its numbers reaches or not."""
        return jnp.any(reached, self.axes) if self.largest else jnp.all(reached, self.axes)


def extreme(equation: Equation, values: list[Value]) -> Extreme | None:
    """What is known of the result where it is an extreme, or follows from one."""
    first = next((v.chain for v in values if isinstance(v.chain, Extreme)), None)
    if first is not None:
        return _further(equation, values, first)
    if equation.name not in ("reduce_max", "reduce_min") or not isinstance(values[0].chain, Chain):
        return None
    return Extreme(values[0], tuple(equation.parameters["axes"]), equation.name == "reduce_max")


def _further(equation: Equation, values: list[Value], first: Extreme) -> Extreme | None:
    """One operation on, by numbers without noise."""
    if equation.name == "convert_element_type" and equation.results[0].dtype == equation.operands[0].dtype:
        return first
    place = next(i for i, v in enumerate(values) if v.chain is first)
    others = [v for i, v in enumerate(values) if i != place]
    same = equation.results[0].shape == equation.operands[place].shape
    if not same or not undone(equation.name, place) or any(v.random for v in others) or len(values) > 2:
        return None
    if equation.name == "pow":
        return None
    wide = tuple(jnp.broadcast_to(v.value, equation.results[0].shape) for v in others)
    return dataclasses.replace(first, steps=(*first.steps, Step(equation.name, wide, place == 0)))
