"""Numbers in a program that are monotone functions of one uniform: where a comparison with them switches, and how likely.

`uniform < p`, `log(u) < ratio`, `mu + sigma * normal > barrier` are all draws of a bit whose probability is a smooth function
of the parameters. A value is followed from the uniform it came from through operations that can be undone; whatever else
it depends on is held fixed.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.chance.inverses import Event, Step, is_flat

# From which noise a value descends: the uniform's identity, then which part of it: see `conflict`.
Origin = tuple[Any, ...]
# Last in the origin of what an array depends on beside the numbers that its elements are followed from: those before them
# along the array, those after, the same ones again, any.
BEFORE, AFTER, REPEATED, ANY = "all before", "all after", "repeated", "any"
_MARKS = {BEFORE, AFTER, REPEATED, ANY}
# What gives no negative number, and the steps from a uniform to an exponential number.
_POSITIVE = {"exp", "exp2", "sqrt", "logistic"}
_EXPONENTIAL = {("log", "neg"), ("neg", "log1p", "neg")}


class Source:
    """One `jax.random.uniform` of a program. `shared`: whether a number of it is used by more than one comparison.

    `chosen`: whether an index was chosen by it, for which there is no threshold that it could be moved to.
    """

    def __init__(self, site: int, iteration: Any):
        self.site, self.iteration = site, iteration
        self.shared, self.chosen = False, False
        self.compared: dict[int, Origin] = {}

    def compare(self, origin: Origin, site: int) -> None:
        """Note that the comparison at `site` uses this part of it."""
        others = frozenset(part for place, part in self.compared.items() if place != site)
        self.shared = self.shared or conflict(origin, others)
        self.compared[site] = origin


@dataclasses.dataclass(frozen=True)
class Chain:
    """How a value came from its uniform: in pass `iteration` of the loops around, from `element`, by `steps`; of its shape."""

    source: Source
    origin: Origin
    iteration: Array
    element: Array
    steps: tuple[Step, ...] = ()

    @property
    def arrays(self) -> list[Array]:
        """Every array that has the value's shape."""
        return [self.iteration, self.element, *(operand for step in self.steps for operand in step.operands)]

    @property
    def flat(self) -> bool:
        """Whether there are thresholds that many values of the uniform meet at once."""
        return is_flat(self.steps)

    @property
    def positive(self) -> bool:
        """Whether it is known not to be negative."""
        names = tuple(step.name for step in self.steps)
        # The first two make the uniform, on (0, 1) for whoever takes its logarithm.
        return bool(names) and (names[-1] in _POSITIVE or names[2:] in _EXPONENTIAL)

    def over(self, arrays: Sequence[Array], origin: Origin | None = None) -> "Chain":
        """The chain of a rearranged value, from its rearranged arrays."""
        iteration, element, *rest = arrays
        others = iter(rest)
        steps = (dataclasses.replace(s, operands=tuple(next(others) for _ in s.operands)) for s in self.steps)
        return Chain(self.source, origin or self.origin, iteration, element, tuple(steps))

    def map(self, function: Callable[[Array], Array], origin: Origin | None = None) -> "Chain":
        """The chain of a value that was rearranged by `function`."""
        return self.over([function(array) for array in self.arrays], origin)

    def then(self, name: str, *operands: Any, left: bool = True) -> "Chain":
        """The chain one operation further; other operands are spread over the result."""
        shape = jnp.broadcast_shapes(self.element.shape, *map(jnp.shape, operands))
        wide = [jnp.broadcast_to(operand, shape) for operand in operands]
        step = Step(name, tuple(wide), left)
        spread = self.map(lambda array: jnp.broadcast_to(array, shape))
        return dataclasses.replace(spread, steps=(*spread.steps, step))

    def reaches(self, threshold: Float[Array, "..."], inclusive: Any = True) -> tuple[Array, Array, Array]:
        """The uniform at which the value reaches `threshold`, in [0, 1]; the chance that it does; whether it does above."""
        event = Event(threshold, inclusive).before_all(self.steps)
        inside = (event.threshold > 0) & (event.threshold < 1)
        uniform = jnp.where(inside, event.threshold, jnp.where(event.threshold >= 1, 1.0, 0.0))
        rises = jnp.broadcast_to(event.rises, uniform.shape)
        return uniform, jnp.where(rises, 1 - uniform, uniform), rises


class Followed(Protocol):
    """What is known of a number that was followed from its noise: see `Chain`."""

    @property
    def source(self) -> Source: ...
    @property
    def origin(self) -> Origin: ...
    @property
    def flat(self) -> bool: ...


@dataclasses.dataclass(frozen=True)
class Value:
    """A number of a program with what is known of it.

    **Fields**: `value`; `random`: the noise that it descends from; `active`: whether it has a derivative by the parameters;
    `chain`: how it came from one uniform, where it did so monotonically; `lumped`: whether it may be one number with a
    probability, as a waiting time is zero.
    """

    value: Any
    random: frozenset[Origin] = frozenset()
    active: bool = False
    chain: Followed | None = None
    lumped: bool = False


def lift(operand: Any) -> Value:
    """A literal or a constant, as a value."""
    return operand if isinstance(operand, Value) else Value(operand)


def descent(values: Iterable[Value]) -> frozenset[Origin]:
    """The noise that any of these values descends from."""
    return frozenset().union(*(value.random for value in values))


def conflict(origin: Origin, others: frozenset[Origin]) -> bool:
    """Whether a value may depend on the part of the noise that `origin` names.

    An origin is a path into an array of noise: its identity, then what was done to the array on the way: intervals that
    were cut out, loops that walk over it, changes of shape. Paths of one noise part where their intervals do not meet.
    """
    return any(_meet(origin, other) for other in others)


def _meet(one: Origin, other: Origin) -> bool:
    if one[:2] != other[:2]:
        return False
    for a, b in zip(one[2:], other[2:], strict=False):
        if a != b:
            cut = isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b)
            return not cut or all(low < top and bottom < high for (low, high), (bottom, top) in zip(a, b, strict=True))
    return True


def decides(value: Value, other: Value) -> bool:
    """Whether `value` is a function of one uniform on which `other` does not depend."""
    if value.chain is None or (value.chain.flat and other.random):
        return False
    return not conflict(value.chain.origin, other.random)


def is_shared(value: Value) -> bool:
    return value.chain is not None and value.chain.source.shared


def share(values: Sequence[Value]) -> None:
    """These values go where they are not followed: their noise is used by more than a comparison."""
    for value in values:
        if value.chain is not None:
            value.chain.source.shared = True


def marks(value: Value) -> set[str]:
    """On what else of the noise that its elements are followed from an array depends."""
    assert value.chain is not None
    root = value.chain.origin[:2]
    return {origin[-1] for origin in value.random if origin[:2] == root and origin[-1] in _MARKS}


def marked(values: Sequence[Value]) -> frozenset[Origin]:
    """The origins that say so."""
    return frozenset(origin for value in values for origin in value.random if origin[-1] in _MARKS)
