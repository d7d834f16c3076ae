"""Any function of the whole stored trajectory."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.laws import Evolve, State, Step
from pliant.core.observable import Function, Observable, as_function


def _largest(states: State) -> Float[Array, ""]:
    return jnp.max(jnp.sum(states.position**2, axis=tuple(range(1, states.position.ndim))))


class PathFunctional(Observable):
    """A function of the stored trajectory $f(x_0, x_k, x_{2k}, ...)$.

    **Arguments**: `function(states)` of a state whose leaves have a leading axis of
    `horizon // every + 1` stored times; it returns a scalar or an array of fixed shape. `every`: steps between stored
    states.

    Cost: memory in proportion to the number of stored states, per replica. Prefer a fold of your own (subclass
    `pliant.Observable`) where one exists.

    Source: a path functional in the sense of Feynman and Kac; Kac, Trans. Am. Math. Soc. 65, 1 (1949).
    """

    function: Function
    every: int = eqx.field(static=True)
    horizon: int | None = eqx.field(static=True)

    def __init__(self, function: Callable = _largest, every: int = 1, horizon: int | None = None):
        self.function = as_function(function)
        self.every = every
        self.horizon = horizon

    def __check_init__(self) -> None:
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"Argument `every` must be a whole number of steps >= 1, but it was {self.every!r}.")

        if self.function.takes_law:
            raise ValueError(
                "Argument `function` of PathFunctional must take the states alone, but it takes two arguments. For a "
                "dependence on the law subclass pliant.Observable, whose `update` is given it."
            )

    def at_horizon(self, horizon: int) -> "PathFunctional":
        return PathFunctional(self.function, self.every, horizon)

    def for_one_state(self) -> "PathFunctional":
        return PathFunctional(self.function, 1, 1)

    def start(self, law: Evolve, state: State) -> Any:
        stored = (1 if self.horizon is None else self.horizon) // self.every + 1
        buffer = jax.tree.map(lambda x: jnp.zeros((stored, *x.shape), x.dtype).at[0].set(x), state)
        return buffer

    def update(self, carry: Any, law: Evolve, state: State, t: Step) -> Any:
        stored = jax.tree.leaves(carry)[0].shape[0]
        slot = jnp.where(t % self.every == 0, t // self.every, stored)
        return jax.tree.map(lambda buffer, x: buffer.at[slot].set(x, mode="drop"), carry, state)

    def result(self, carry: Any) -> Float[Array, "*shape"]:
        return self.function(None, carry)
