"""The time of the first entry into a region."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pliant.core.laws import Evolve, State, Step
from pliant.core.observable import Function, Observable, as_function


def _positive(state: State) -> Bool[Array, ""]:
    return jnp.all(state.position > 0)


class FirstPassageTime(Observable):
    r"""The physical time $\tau$ at which the trajectory first enters a region, cut off at the horizon: $\min(\tau, T)$.

    **Arguments**: `region(state)` (or of state and law) says whether a state lies in the region. A trajectory that
    starts there has passage time zero. The passage is seen at whole steps: the discretised mean lies above that of the
    continuous process by O(sqrt(dt)).

    The time jumps as the path changes: pathwise gradients miss that, Girsanov does not. How many trajectories had not
    arrived at the horizon is told in the verdict's notes.

    Source: Kramers, Physica 7, 284 (1940); Gardiner, Handbook of Stochastic Methods (2004), section 5.2.
    """

    region: Function

    def __init__(self, region: Callable = _positive):
        self.region = as_function(region)

    def start(self, law: Evolve, state: State) -> Any:
        return self._inside(law, state), jnp.zeros((), jnp.result_type(float))

    def update(self, carry: Any, law: Evolve, state: State, t: Step) -> Any:
        arrived, time = carry
        time = jnp.where(arrived, time, law.time(t)).astype(time.dtype)
        return arrived | self._inside(law, state), time

    def result(self, carry: Any) -> Float[Array, ""]:
        return carry[1]

    def unfinished(self, carry: Any) -> Float[Array, ""]:
        return jnp.where(carry[0], 0.0, 1.0)

    @property
    def jumps(self) -> bool:
        return True

    def _inside(self, law: Evolve, state: State) -> Bool[Array, ""]:
        inside = self.region(law, state)
        if inside.shape != () or inside.dtype != jnp.bool_:
            raise ValueError(
                "Argument `region` must return one truth value for a state, but it returned an array of "
                f"{inside.dtype}{list(inside.shape)}. Reduce it with jnp.all or jnp.any."
            )
        return inside
