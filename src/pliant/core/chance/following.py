"""Following a number through one operation: what is known of its result, everything else held."""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp

from pliant.core.chance.chains import AFTER, ANY, BEFORE, REPEATED, Chain, Origin, Value, conflict, is_shared, marks
from pliant.core.chance.inverses import FLAT, undone
from pliant.core.programs import Equation

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
    if not undone(equation.name, place):
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


def mark(equation: Equation) -> str | None:
    """On what else the elements of its result depend; None where on nothing more than those of its operand."""
    if equation.name in _RUNNING:
        return AFTER if equation.parameters["reverse"] else BEFORE
    if equation.name == "dot_general":
        return ANY
    grown = math.prod(equation.results[0].shape) > math.prod(equation.operands[0].shape)
    return REPEATED if equation.name == "broadcast_in_dim" and grown else None
