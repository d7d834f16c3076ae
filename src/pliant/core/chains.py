"""Numbers in a program that are monotone functions of one uniform: where a comparison with them switches, and how likely.

`uniform < p`, `log(u) < ratio`, `mu + sigma * normal > barrier` are all draws of a bit whose probability is a smooth function
of the parameters. A value is followed from the uniform it came from through operations that can be undone; whatever else
it depends on is held fixed.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.inverses import FLAT, Event, Step, undone
from pliant.core.programs import Equation

# From which noise a value descends: the uniform's identity, then which part of it: see `conflict`.
Origin = tuple[Any, ...]
# Last in the origin of what an array depends on beside the numbers that its elements are followed from: those before them
# along the array, those after, the same ones again, any.
BEFORE, AFTER, REPEATED, ANY = "all before", "all after", "repeated", "any"
_MARKS = {BEFORE, AFTER, REPEATED, ANY}
STRUCTURAL = {
    "broadcast_in_dim",
    "reshape",
    "squeeze",
    "slice",
    "transpose",
    "rev",
    "expand_dims",
    "copy",
    "reduce_precision",
}
_COPIES = {"copy", "reduce_precision"}
# Running sums and the like: an element as a function of the last number that went into it, and of those before.
_RUNNING = {"cumsum": ("add", 0.0), "cumprod": ("mul", 1.0)}
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
        return any(step.name in FLAT for step in self.steps)

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
        event = Event(threshold, inclusive)
        for step in reversed(self.steps):
            event = event.before(step)
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


def follow(equation: Equation, operands: Sequence[Value]) -> Chain | None:
    """The chain of an equation's result, where it has one; None where the operation cannot be undone."""
    tagged = [place for place, operand in enumerate(operands) if isinstance(operand.chain, Chain)]
    if not tagged or not jnp.issubdtype(equation.results[0].dtype, jnp.floating):
        return None
    # Of several noises that meet, one is followed and the others are held.
    place = min(tagged, key=lambda i: is_shared(operands[i]))
    chain = operands[place].chain
    assert isinstance(chain, Chain)
    if math.prod(equation.results[0].shape) > chain.element.size:
        # One number in several places.
        chain.source.shared = True
    if equation.name in STRUCTURAL and len(operands) == 1:
        if equation.name == "rev" and marks(operands[0]):
            return None
        return chain.map(lambda array: equation.evaluate([array])[0], _part(equation, chain.origin))
    if equation.name == "convert_element_type":
        return chain
    others = [operand for i, operand in enumerate(operands) if i != place]
    if any(conflict(chain.origin, other.random) for other in others):
        return None
    # What many values of the uniform give alike must not switch by other noise: that jump would belong to nobody.
    # What chooses is a draw of its own.
    given = others[1:] if equation.name == "select_n" else others
    noisy = any(other.random for other in given) or equation.name in _GATHERING
    if noisy and (chain.flat or equation.name in (*FLAT, "select_n", "clamp")):
        return None
    rule = _RULES.get(equation.name, _operation)
    return rule(equation, chain, operands, place)


def _part(equation: Equation, origin: Origin) -> Origin:
    if equation.name in _COPIES:
        return origin
    if equation.name != "slice" or equation.parameters["strides"]:
        return (*origin, (equation.name, str(equation.operands[0].shape), str(equation.parameters)))
    bounds = zip(equation.parameters["start_indices"], equation.parameters["limit_indices"], strict=True)
    return (*origin, tuple((int(low), int(high)) for low, high in bounds))


def _operation(equation: Equation, chain: Chain, operands: Sequence[Value], place: int) -> Chain | None:
    """An operation of one or two operands on every element."""
    if not undone(equation.name) or (equation.name in ("div", "pow") and place == 1):
        return None
    # Powers of what may be negative fall and rise.
    if equation.name == "pow" and not chain.positive:
        return None
    return chain.then(equation.name, *(x.value for i, x in enumerate(operands) if i != place), left=place == 0)


def _clamp(equation: Equation, chain: Chain, operands: Sequence[Value], place: int) -> Chain | None:
    low, _, high = (operand.value for operand in operands)
    return chain.then("max", low).then("min", high) if place == 1 else None


def _select(equation: Equation, chain: Chain, operands: Sequence[Value], place: int) -> Chain | None:
    """A choice between two, by what does not depend on the uniform."""
    if place == 0 or len(operands) != 3:
        return None
    which, other = operands[0].value, operands[3 - place].value
    return chain.then("select", jnp.asarray(which, int) == place - 1, other)


def _running(equation: Equation, chain: Chain, operands: Sequence[Value], place: int) -> Chain | None:
    """A running sum: what was summed before stands beside the element."""
    name, neutral = _RUNNING[equation.name]
    axis, backward = equation.parameters["axis"], equation.parameters["reverse"]
    if marks(operands[0]) - {AFTER if backward else BEFORE}:
        return None
    (so_far,) = equation.evaluate([operands[0].value])
    size = so_far.shape[axis]
    rolled = jnp.roll(so_far, -1 if backward else 1, axis)
    index = jnp.arange(size).reshape([-1 if i == axis else 1 for i in range(so_far.ndim)])
    chain.source.shared = True
    return chain.then(name, jnp.where(index == (size - 1 if backward else 0), neutral, rolled))


def _sum(equation: Equation, chain: Chain, operands: Sequence[Value], place: int) -> Chain | None:
    """A sum as a function of one of its terms, of whose noise the others know nothing."""
    axes, summed, marked = equation.parameters["axes"], operands[0].value, marks(operands[0])
    if len(marked) > 1 or marked & {REPEATED, ANY} or any(summed.shape[axis] == 0 for axis in axes):
        return None
    end = -1 if marked == {BEFORE} else 0
    at = tuple(end if axis in axes else slice(None) for axis in range(summed.ndim))
    one = chain.map(lambda array: array[at], (*chain.origin, "of a sum"))
    return one.then("add", jnp.sum(summed, axis=axes) - summed[at])


def _product(equation: Equation, chain: Chain, operands: Sequence[Value], place: int) -> Chain | None:
    """A matrix times a vector of noise: every row as a function of the number that weighs most in it."""
    contracted, batches = equation.parameters["dimension_numbers"]
    if any(batches) or chain.element.ndim != 1 or len(contracted[0]) != 1 or marks(operands[place]):
        return None
    matrix = jnp.moveaxis(operands[1 - place].value, contracted[1 - place][0], -1)
    heaviest = jnp.argmax(jnp.abs(matrix), axis=-1)
    weight = jnp.take_along_axis(matrix, heaviest[..., None], axis=-1)[..., 0]
    (product,) = equation.evaluate([operand.value for operand in operands])
    chain.source.shared = True
    one = chain.map(lambda array: array[heaviest]).then("mul", weight)
    return one.then("add", product - weight * operands[place].value[heaviest])


# Those that put other numbers of the same noise beside the one that is followed.
_GATHERING = {"reduce_sum", "dot_general", *_RUNNING}
_RULES: dict[str, Callable[[Equation, Chain, Sequence[Value], int], Chain | None]] = {
    "clamp": _clamp,
    "select_n": _select,
    "reduce_sum": _sum,
    "dot_general": _product,
    **dict.fromkeys(_RUNNING, _running),
}


def marks(value: Value) -> set[str]:
    """On what else of the noise that its elements are followed from an array depends."""
    assert value.chain is not None
    root = value.chain.origin[:2]
    return {origin[-1] for origin in value.random if origin[:2] == root and origin[-1] in _MARKS}


def marked(values: Sequence[Value]) -> frozenset[Origin]:
    """The origins that say so."""
    return frozenset(origin for value in values for origin in value.random if origin[-1] in _MARKS)


def mark(equation: Equation) -> str | None:
    """On what else the elements of its result depend; None where on nothing more than those of its operand."""
    if equation.name in _RUNNING:
        return AFTER if equation.parameters["reverse"] else BEFORE
    if equation.name == "dot_general":
        return ANY
    grown = math.prod(equation.results[0].shape) > math.prod(equation.operands[0].shape)
    return REPEATED if equation.name == "broadcast_in_dim" and grown else None
