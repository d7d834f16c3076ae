"""Mixing seen by two copies of a law that run until they meet."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from pliant.core import gaussian_step
from pliant.core.coupling import meets, reflected
from pliant.core.errors import NotApplicable
from pliant.core.laws import Evolve, State, Step
from pliant.core.noise import Uniform
from pliant.core.rollout import Rollout
from pliant.core.verdict import HALF_WIDTH

# How near, in units of a step's noise, copies must be for a reflection: driven by one noise, they first come as near as
# to meet with a chance of nine in ten.
REACH = {"reflection": float("inf"), "synchronous": 0.25}


@dataclasses.dataclass(frozen=True)
class Meeting:
    """What the meeting times of coupled copies say of mixing from a law's own start: bounds from above.

    **Fields**: `steps`: from when on the distance to the stationary law is within the tolerance; `interval`: the same
    with the bound 1.96 standard errors lower and higher; `bound`, `standard_error`: shape (horizon + 1,): the bound on the
    total variation distance after t steps; `times`: shape (replicas,): when each pair met.
    """

    steps: int
    interval: tuple[int, int]
    bound: Float[np.ndarray, " t"]
    standard_error: Float[np.ndarray, " t"]
    times: Int[np.ndarray, " replicas"]


def refuse(law: Evolve) -> None:
    """Raise `NotApplicable` where two copies of the law could not meet in one step."""
    reason = gaussian_step.refusal(law) or gaussian_step.multiplicative(law)
    if reason is not None:
        raise NotApplicable(
            f"`mixing_time` cannot couple copies of {type(law).__name__}: {reason}, so that two states cannot meet in one "
            "step; use OverdampedLangevin by Euler-Maruyama, or watch `integrated_autocorrelation_time` of what you observe."
        )


def meeting_times(
    law: Evolve, coupling: str, horizon: int, lag: int, replicas: int, key: PRNGKeyArray
) -> Int[np.ndarray, " replicas"]:
    """When pairs of copies meet, in steps of the second; ValueError where some do not."""
    times = np.asarray(_times(law, REACH[coupling], horizon, lag, replicas, key))
    apart = int(np.sum(times > horizon))
    if apart:
        raise ValueError(
            f"Argument `horizon` must be long enough for all pairs of copies to meet, but {apart} of {replicas} had not met "
            f"after {horizon} steps: no bound follows. Lengthen it."
        )
    return times


def bounded(times: Int[np.ndarray, " replicas"], lag: int, horizon: int, tolerance: float) -> Meeting:
    r"""The bound $E \lceil (\tau - t) / L \rceil^+$ on the distance after t steps, and when it is within the tolerance."""
    left = np.ceil(np.maximum(times - np.arange(horizon + 1)[:, None], 0) / lag)
    mean = left.mean(axis=1)
    # Wilson's interval, about: what happened to no pair is not known to be impossible.
    error = np.hypot(left.std(axis=1, ddof=1) / np.sqrt(len(times)), 1 / len(times))
    first = [int(np.argmax(mean + sign * HALF_WIDTH * error <= tolerance)) for sign in (-1, 0, 1)]
    return Meeting(first[1], (first[0], first[2]), np.minimum(mean, 1.0), error, times)


@eqx.filter_jit
def _times(law: Any, reach: float, horizon: int, lag: int, replicas: int, key: PRNGKeyArray) -> Array:
    """The step at which each pair meets; one more than the horizon where it does not."""

    def one(replica: Array) -> Array:
        last = lambda carry, law, state, noise, after, t: after
        ahead = Rollout(key, replica, lag).fold(law, lambda law, state: state, last)
        # Another stream than that of the head start: the copies begin independent.
        return Rollout(key, replica, horizon).fold(_Copies(law, ahead, reach), start, update, stream=1) + 1

    def start(law: Evolve, state: State) -> Array:
        return jnp.zeros((), jnp.int32)

    def update(carry: Array, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> Array:
        return carry + ~after[2]

    return jax.vmap(one)(jnp.arange(replicas, dtype=jnp.uint32))


class _Copies(Evolve):
    """Two copies of a law, the first of which had a head start, and whether they have met."""

    law: Any
    ahead: State
    reach: float = eqx.field(static=True)

    @property
    def noise(self) -> PyTree:
        return self.law.noise, Uniform(())

    def init(self, key: PRNGKeyArray) -> State:
        return self.ahead, self.law.init(key), jnp.zeros((), bool)

    def prepared(self) -> "_Copies":
        return _Copies(self.law.prepared(), self.ahead, self.reach)

    def step(self, state: State, noise: PyTree, t: Step) -> State:
        (first, second, met), (normal, uniform) = state, noise
        apart = self._apart(first, second, t)
        near = jnp.sum(apart**2) <= self.reach**2
        other = jnp.where(near, reflected(normal, apart, uniform), normal)
        met = met | (near & meets(normal, apart, uniform))
        moved, alone = self.law.step(first, normal, t), self.law.step(second, other, t)
        # Equal but for round-off where they have met: from then on equal.
        return moved, jax.tree.map(lambda a, b: jnp.where(met, a, b), moved, alone), met

    def _apart(self, first: State, second: State, t: Step) -> Array:
        """The distance of the two means in units of the noise."""
        (mean, spread), (other, _) = (gaussian_step.parts(self.law, state, t) for state in (first, second))
        return (mean - other) / spread
