"""How an operation is undone: from what its result reaches to what its operand reaches.

An event is {result >= t}, or {result > t} where it is not `inclusive`. Undone, it is {operand >= t'} where the result
rises with the operand, and the opposite of {operand > t'} where it falls.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import erf
from jaxtyping import Array, Bool, Float

# They give one value to many operands: the chance of reaching a threshold jumps where the threshold meets that value.
FLAT = {"max", "min", "select"}
# What is divided or raised can be found from the result, not by what.
_FIRST_ALONE = {"div", "pow"}


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation on the way: its name, its other operands, and whether the value stood on the left."""

    name: str
    operands: tuple[Any, ...] = ()
    left: bool = True


@dataclasses.dataclass(frozen=True)
class Event:
    """A value that reaches `threshold`, or passes it where it is not `inclusive`; `rises`: this, not its opposite."""

    threshold: Float[Array, "..."]
    inclusive: Bool[Array, "..."] | bool = True
    rises: Bool[Array, "..."] | bool = True

    def before_all(self, steps: Sequence[Step]) -> "Event":
        """The event in terms of what the first of these steps was taken from."""
        return functools.reduce(Event.before, reversed(steps), self)

    def before(self, step: Step) -> "Event":
        """The event in terms of the operand of `step`."""
        if step.name in FLAT:
            return dataclasses.replace(self, threshold=_FLAT[step.name](self.threshold, self.inclusive, *step.operands))
        threshold, rising = _UNDO[step.name](self.threshold, step)
        same = jnp.asarray(rising)
        return Event(threshold, same == jnp.asarray(self.inclusive), same == jnp.asarray(self.rises))


def undone(name: str, place: int) -> bool:
    """Whether an operation of this name can be, for the operand at this place."""
    return name in FLAT or (name in _UNDO and not (place == 1 and name in _FIRST_ALONE))


def is_flat(steps: Iterable[Step]) -> bool:
    """Whether there are thresholds of what follows these steps that many values meet at once."""
    return any(step.name in FLAT for step in steps)


def far(like: Any) -> Any:
    """Further down than any threshold, and small enough to be multiplied."""
    return jnp.asarray(-(float(jnp.finfo(jnp.result_type(like)).max) ** 0.25), jnp.result_type(like))


def _max(t: Any, inclusive: Any, other: Any) -> Any:
    """Reached always where the other operand does."""
    return jnp.where(jnp.where(inclusive, t <= other, t < other), far(t), t)


def _min(t: Any, inclusive: Any, other: Any) -> Any:
    return jnp.where(jnp.where(inclusive, t <= other, t < other), t, -far(t))


def _select(t: Any, inclusive: Any, here: Any, other: Any) -> Any:
    """The value where it is `here`, else the other one."""
    always = jnp.where(inclusive, other >= t, other > t)
    return jnp.where(here, t, jnp.where(always, far(t), -far(t)))


def _safe_log(t: Any) -> Any:
    return jnp.where(t > 0, jnp.log(jnp.where(t > 0, t, 1.0)), far(t))


def _safe_exp(t: Any) -> Any:
    """Not further up than `far` is down: what is beyond has no derivative, and infinity times zero would be none."""
    return jnp.exp(jnp.minimum(t, jnp.log(-far(t))))


def _subtract(t: Any, step: Step) -> tuple[Any, Any]:
    (other,) = step.operands
    return (t + other, True) if step.left else (other - t, False)


def _multiply(t: Any, step: Step) -> tuple[Any, Any]:
    (other,) = step.operands
    some = other != 0
    # What is multiplied by zero is zero whatever it was.
    return jnp.where(some, t / jnp.where(some, other, 1.0), jnp.where(t > 0, -far(t), far(t))), other >= 0


def _power(t: Any, step: Step) -> tuple[Any, Any]:
    """Of a number that is not negative."""
    (power,) = step.operands
    root = jnp.where(t > 0, jnp.where(t > 0, t, 1.0) ** (1 / power), jnp.where(power > 0, 0.0, -far(t)))
    return root, power > 0


def _unary(inverse: Callable) -> Callable:
    return lambda t, step: (inverse(t), True)


_FLAT: dict[str, Callable] = {"max": _max, "min": _min, "select": _select}
_UNDO: dict[str, Callable[[Any, Step], tuple[Any, Any]]] = {
    "add": lambda t, step: (t - step.operands[0], True),
    "sub": _subtract,
    "mul": _multiply,
    "div": lambda t, step: (t * step.operands[0], step.operands[0] > 0),
    "pow": _power,
    "neg": lambda t, step: (-t, False),
    "log": _unary(_safe_exp),
    "exp": _unary(_safe_log),
    "exp2": _unary(lambda t: _safe_log(t) / jnp.log(jnp.asarray(2.0, t.dtype))),
    "log1p": _unary(lambda t: jnp.expm1(jnp.minimum(t, jnp.log(-far(t))))),
    "expm1": _unary(lambda t: _safe_log(1 + t)),
    "erf_inv": _unary(erf),
    "sqrt": _unary(lambda t: jnp.maximum(t, 0) ** 2),
    "cbrt": _unary(lambda t: t**3),
    "sinh": _unary(jnp.arcsinh),
    "asinh": _unary(lambda t: jnp.sinh(jnp.clip(t, -jnp.log(-far(t)), jnp.log(-far(t))))),
    "logistic": _unary(lambda t: _safe_log(t) - _safe_log(1 - t)),
    "tanh": _unary(lambda t: 0.5 * (_safe_log(1 + t) - _safe_log(1 - t))),
}
