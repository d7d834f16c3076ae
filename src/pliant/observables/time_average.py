"""The average of a function of the state along the trajectory."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.laws import Evolve, State, Step
from pliant.core.observable import Additive, Function, as_function
from pliant.core.weighted import WeightedMean


def _square(state: State) -> Float[Array, ""]:
    return jnp.sum(state.position**2)


class TimeAverage(Additive):
    r"""The time average $\frac{1}{T - b} \sum_{t = b + 1}^{T} f(x_t)$ over a horizon of $T$ steps after $b$ of burn-in.

    **Arguments**: `function(state)` or `function(state, law)` gives a scalar or an array of fixed shape; a dependence on
    the law's parameters is differentiated too. `burn_in`: steps to leave out, less than the horizon.

    Where the law's states do not all weigh the same (`log_sample_weight`, as those of `ESH`), it is the weighted average
    $\sum w(x_t) f(x_t) / \sum w(x_t)$ of a trajectory, with a bias of one over its length; derivatives flow through both.

    Raises ValueError for a negative burn-in or one that is not below the horizon.

    Source: the ergodic average; Frenkel and Smit, Understanding Molecular Simulation (2002), section 4.1.
    """

    function: Function
    burn_in: int = eqx.field(static=True)
    horizon: int | None = eqx.field(static=True)

    def __init__(self, function: Callable = _square, burn_in: int = 0, horizon: int | None = None):
        self.function = as_function(function)
        self.burn_in = burn_in
        self.horizon = horizon

    def __check_init__(self) -> None:
        if self.burn_in < 0 or int(self.burn_in) != self.burn_in:
            raise ValueError(f"Argument `burn_in` must be a whole number of steps >= 0, but it was {self.burn_in}.")

    def at_horizon(self, horizon: int) -> "TimeAverage":
        if self.burn_in >= horizon:
            raise ValueError(
                f"Argument `burn_in` must be below the horizon of {horizon} steps, but it was {self.burn_in}. "
                "Lengthen the horizon or shorten the burn-in."
            )
        return dataclasses.replace(self, horizon=horizon)

    def for_one_state(self) -> "TimeAverage":
        return TimeAverage(self.function, horizon=1)

    @property
    def spread(self) -> int:
        return 1 if self.horizon is None else self.horizon - self.burn_in

    def term(self, law: Evolve, state: State) -> Float[Array, "*shape"]:
        return self.function(law, state)

    def weight(self, t: Step) -> Float[Array, ""]:
        horizon = self.burn_in + 1 if self.horizon is None else self.horizon
        return jnp.where(t > self.burn_in, 1.0, 0.0) / (horizon - self.burn_in)

    def start(self, law: Evolve, state: State) -> PyTree:
        log_weight = law.log_sample_weight(state)
        if log_weight is None:
            return super().start(law, state)
        return WeightedMean.empty(self.term(law, state), log_weight)

    def update(self, carry: PyTree, law: Evolve, state: State, t: Step) -> PyTree:
        log_weight = law.log_sample_weight(state)
        if log_weight is None:
            return super().update(carry, law, state, t)
        return carry.add(self.term(law, state), log_weight, self.weight(t))

    def result(self, carry: PyTree) -> Float[Array, "*shape"]:
        return carry.mean if isinstance(carry, WeightedMean) else carry
