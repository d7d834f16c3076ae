"""A short run before the run: what the steady state looks like, and how long it remembers."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core.laws import Evolve, State
from pliant.core.rollout import Rollout
from pliant.core.statistics import autocorrelation, integrated_autocorrelation_time

_WALKERS, _SNAPSHOTS, _BLOCK = 16, 1024, 32
# Autocorrelation below which nothing is read from it, however quiet.
_FAINT = 0.05


def series(law: Evolve, function: Callable, horizon: int) -> tuple[Float[np.ndarray, "walkers times n"], int]:
    """`function(law, state)`, flattened, along the second half of a few walks, and how many steps apart they are."""
    first = horizon // 2
    stride = -(-(horizon - first) // _SNAPSHOTS)
    return np.asarray(_record(law, function, horizon, first, stride), float), stride


@eqx.filter_jit
def _record(law: Evolve, function: Callable, horizon: int, first: int, stride: int) -> Array:
    times = (horizon - first) // stride

    def one(replica: Array) -> Array:
        def start(law: Evolve, state: State) -> Array:
            return jnp.zeros((times, jnp.size(function(law, state))), jnp.result_type(function(law, state)))

        def update(carry: Array, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> Array:
            slot = jnp.where(t >= first, (t - first) // stride, times)
            return carry.at[slot].set(jnp.ravel(function(law, after)), mode="drop")

        return Rollout(jax.random.key(0x9170), replica, horizon, _BLOCK).fold(law, start, update)

    return jax.vmap(one)(jnp.arange(_WALKERS, dtype=jnp.uint32))


def relaxation_time(walks: Float[np.ndarray, "walkers times n"], stride: int) -> float:
    """The longest relaxation time over the components of a series, in steps."""
    moving = [component for component in np.moveaxis(walks, 2, 0) if np.ptp(component) > 0]
    return max((_relaxation(component) for component in moving if np.all(np.isfinite(component))), default=0.5) * stride


def _relaxation(chains: Float[np.ndarray, "walkers times"]) -> float:
    """The larger of the integrated autocorrelation time and the decay time of the autocorrelation's envelope.

    Out of equilibrium correlations oscillate, and their integral is shorter than their life. The noise in them is
    Bartlett's: Brockwell and Davis, Time Series (1991), theorem 7.2.1.
    """
    rho = np.abs(autocorrelation(chains - np.mean(chains))[: max(chains.shape[1] // 4, 2)])
    noise = np.sqrt((1 + 2 * np.sum(rho[1:] ** 2)) / chains.size)
    level = min(max(_FAINT, 3 * noise), 0.5)
    envelope = np.nonzero(rho > level)[0][-1] / np.log(1 / level)
    return max(integrated_autocorrelation_time(chains)[0], float(envelope))
