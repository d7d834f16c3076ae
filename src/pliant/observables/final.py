"""A function of the last state."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.laws import Evolve, State, Step
from pliant.core.observable import Additive, Function, as_function


def _square(state: State) -> Float[Array, ""]:
    return jnp.sum(state.position**2)


class Final(Additive):
    """The value of `function(state)`, or of `function(state, law)`, at the horizon: $f(x_T)$.

    On a `Balance` law it is the value at the solution.

    Source: an instantaneous observable; in the words of stochastic analysis, the semigroup $P_T f(x_0)$.
    """

    function: Function
    horizon: int | None = eqx.field(static=True)

    def __init__(self, function: Callable = _square, horizon: int | None = None):
        self.function = as_function(function)
        self.horizon = horizon

    def at_horizon(self, horizon: int) -> "Final":
        return Final(self.function, horizon)

    def for_one_state(self) -> "Final":
        return Final(self.function, 1)

    @property
    def last_only(self) -> bool:
        return True

    def term(self, law: Evolve, state: State) -> Float[Array, "*shape"]:
        return self.function(law, state)

    def weight(self, t: Step) -> Float[Array, ""]:
        return jnp.where(t == self.horizon, 1.0, 0.0)

    def update(self, carry: Float[Array, "*shape"], law: Evolve, state: State, t: Step) -> Float[Array, "*shape"]:
        return self.term(law, state)
