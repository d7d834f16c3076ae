"""Numbers in a program that are monotone functions of one uniform: where a comparison with them switches, and how likely.

`uniform < p`, `log(u) < ratio`, `mu + sigma * normal > barrier` are all draws of a bit whose probability is a smooth function
of the parameters. A value is followed from the uniform it came from through operations that can be undone.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import erf
from jaxtyping import Array, Float

from pliant.core.programs import Equation

# From which noise a value descends: the uniform's identity, then which part of it: see `conflict`.
Origin = tuple[Any, ...]
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
COMPARISONS = {"lt", "le", "gt", "ge"}


class Source:
    """One `jax.random.uniform` of a program. `shared`: whether a number of it is used by more than one comparison."""

    def __init__(self, site: int, iteration: Any):
        self.site, self.iteration = site, iteration
        self.shared = False
        self.compared: dict[int, Origin] = {}

    def compare(self, origin: Origin, site: int) -> None:
        """Note that the comparison at `site` uses this part of it."""
        others = frozenset(part for place, part in self.compared.items() if place != site)
        self.shared = self.shared or conflict(origin, others)
        self.compared[site] = origin


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation on the way: its name, its other operand, and whether the value stood on the left."""

    name: str
    operand: Any = None
    left: bool = True


@dataclasses.dataclass(frozen=True)
class Chain:
    """How a value came from its uniform: `element` numbers of the uniform, and the steps since; arrays of its shape."""

    source: Source
    origin: Origin
    element: Array
    steps: tuple[Step, ...] = ()

    @property
    def arrays(self) -> list[Array]:
        """Every array that has the value's shape."""
        return [self.element, *(step.operand for step in self.steps if step.operand is not None)]

    def over(self, arrays: Sequence[Array], origin: Origin | None = None) -> "Chain":
        """The chain of a rearranged value, from its rearranged arrays."""
        element, *rest = arrays
        operands = iter(rest)
        steps = (s if s.operand is None else dataclasses.replace(s, operand=next(operands)) for s in self.steps)
        return Chain(self.source, origin or self.origin, element, tuple(steps))

    def then(self, step: Step) -> "Chain":
        """The chain one operation further."""
        return dataclasses.replace(self, steps=(*self.steps, step))

    def uniform_at(self, threshold: Float[Array, "..."]) -> tuple[Float[Array, "..."], Array]:
        """The uniform at which the value equals `threshold`, in [0, 1], and whether the value rises with it."""
        rises = jnp.bool_(True)
        for step in reversed(self.steps):
            threshold, rising = _UNDO[step.name](threshold, step)
            rises = rises == rising
        inside = (threshold > 0) & (threshold < 1)
        return jnp.where(inside, threshold, jnp.where(threshold >= 1, 1.0, 0.0)), rises


@dataclasses.dataclass(frozen=True)
class Value:
    """A number of a program with what is known of it.

    **Fields**: `value`; `random`: the noise that it descends from; `active`: whether it has a derivative by the parameters;
    `chain`: how it came from one uniform, where it did so monotonically.
    """

    value: Any
    random: frozenset[Origin] = frozenset()
    active: bool = False
    chain: Chain | None = None


def lift(operand: Any) -> Value:
    """A literal or a constant, as a value."""
    return operand if isinstance(operand, Value) else Value(operand)


def conflict(origin: Origin, others: frozenset[Origin]) -> bool:
    """Whether a value may depend on the part of the noise that `origin` names.

    An origin is a path into an array of noise: its identity, then intervals along axes or the loop that walks over it.
    Paths part where their intervals do not meet.
    """
    return any(_meet(origin, other) for other in others)


def _meet(one: Origin, other: Origin) -> bool:
    for a, b in zip(one, other, strict=False):
        if a != b:
            intervals = isinstance(a, tuple) and isinstance(b, tuple)
            return intervals and all(
                low < top and bottom < high for (low, high), (bottom, top) in zip(a, b, strict=True)
            )
    return True


def decides(value: Value, other: Value) -> bool:
    """Whether `value` is a function of one uniform on which `other` does not depend."""
    return value.chain is not None and not conflict(value.chain.origin, other.random)


def is_shared(value: Value) -> bool:
    return value.chain is not None and value.chain.source.shared


def share(values: Sequence[Value]) -> None:
    """These values go where they are not followed: their noise is used by more than a comparison."""
    for value in values:
        if value.chain is not None:
            value.chain.source.shared = True


def follow(equation: Equation, operands: Sequence[Value]) -> Chain | None:
    """The chain of an equation's result, where it has one; None where the operation cannot be undone."""
    tagged = [operand for operand in operands if operand.chain is not None]
    if len(tagged) != 1 or not jnp.issubdtype(equation.results[0].dtype, jnp.floating):
        return None
    chain = tagged[0].chain
    assert chain is not None
    if math.prod(equation.results[0].shape) > chain.element.size:
        # One number in several places.
        chain.source.shared = True
    if equation.name in STRUCTURAL and len(operands) == 1:
        arrays = [equation.evaluate([array])[0] for array in chain.arrays]
        return chain.over(arrays, _part(equation, chain.origin))
    if equation.name == "convert_element_type":
        return chain
    if equation.name not in _UNDO:
        return None
    left = operands[0] is tagged[0]
    if len(operands) == 1:
        return chain.then(Step(equation.name))
    other = operands[1 if left else 0]
    if conflict(chain.origin, other.random) or (equation.name == "div" and not left):
        return None
    return _joined(equation, chain, other, left)


def _joined(equation: Equation, chain: Chain, other: Value, left: bool) -> Chain:
    shape = equation.results[0].shape
    spread = chain.over([jnp.broadcast_to(array, shape) for array in chain.arrays])
    return spread.then(Step(equation.name, jnp.broadcast_to(other.value, shape), left))


def _part(equation: Equation, origin: Origin) -> Origin:
    if equation.name != "slice":
        return origin
    bounds = zip(equation.parameters["start_indices"], equation.parameters["limit_indices"], strict=True)
    return (*origin, tuple((int(low), int(high)) for low, high in bounds))


def _far(like: Any) -> Any:
    """Further than any threshold, and small enough to be multiplied."""
    return jnp.asarray(-(float(jnp.finfo(jnp.result_type(like)).max) ** 0.25), jnp.result_type(like))


def _safe_log(t: Any) -> Any:
    return jnp.where(t > 0, jnp.log(jnp.where(t > 0, t, 1.0)), _far(t))


def _add(t: Any, step: Step) -> tuple[Any, Any]:
    return t - step.operand, True


def _subtract(t: Any, step: Step) -> tuple[Any, Any]:
    return (t + step.operand, True) if step.left else (step.operand - t, False)


def _multiply(t: Any, step: Step) -> tuple[Any, Any]:
    return t / step.operand, step.operand > 0


def _divide(t: Any, step: Step) -> tuple[Any, Any]:
    return t * step.operand, step.operand > 0


def _unary(inverse: Callable) -> Callable:
    return lambda t, step: (inverse(t), True)


_UNDO: dict[str, Callable[[Any, Step], tuple[Any, Any]]] = {
    "add": _add,
    "sub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "neg": lambda t, step: (-t, False),
    "log": _unary(jnp.exp),
    "exp": _unary(_safe_log),
    "log1p": _unary(jnp.expm1),
    "expm1": _unary(lambda t: _safe_log(1 + t)),
    "erf_inv": _unary(erf),
    "sqrt": _unary(lambda t: jnp.maximum(t, 0) ** 2),
    "logistic": _unary(lambda t: _safe_log(t) - _safe_log(1 - t)),
    "tanh": _unary(lambda t: 0.5 * (_safe_log(1 + t) - _safe_log(1 - t))),
}
