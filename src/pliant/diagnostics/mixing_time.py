"""How long a chain takes to forget where it started."""

from typing import Any, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from pliant.core import scout, validate
from pliant.core.laws import Evolve, HasPathDensity, require
from pliant.diagnostics._meeting import REACH, Meeting, bounded, meeting_times, refuse
from pliant.diagnostics._mixing import Mixing, stationary_law, steps_to_mix

# An interval of this many pairs reaches down to the tolerance where none is left apart.
_RESOLVED = 4


@overload
def mixing_time(
    law: Evolve, *, coupling: str, horizon: int, key: PRNGKeyArray, lag: int | None = None, replicas: int = 1000,
    tolerance: float = 0.25,
) -> Meeting: ...  # fmt: skip
@overload
def mixing_time(
    law: Evolve | None = None, *, grid: ArrayLike | None = None, transition: ArrayLike | None = None, tolerance: float = 0.25
) -> Mixing: ...  # fmt: skip
def mixing_time(
    law: Evolve | None = None,
    *,
    grid: ArrayLike | None = None,
    transition: ArrayLike | None = None,
    tolerance: float = 0.25,
    coupling: str | None = None,
    horizon: int | None = None,
    lag: int | None = None,
    replicas: int = 1000,
    key: PRNGKeyArray | None = None,
) -> Mixing | Meeting:
    r"""The mixing time $\min \{t : \max_x \| P^t(x, \cdot) - \pi \|_{TV} \le \varepsilon \}$, over the worst start.

    **Arguments**: `tolerance` $\varepsilon$, and one of three forms:

    - `law` of one coordinate with a path density, and `grid`, shape (n,): positions, evenly spaced, that reach as far as
      the stationary density does; by default 400 points over twice the range that 16 short walks visit. The step's density
      on the grid is the transition matrix: half the spread of a step is spacing enough. Starts beyond the grid are not
      among the worst.
    - `transition`: a stochastic matrix, shape (n, n), its rows the laws of the next state.
    - `law` of any number of coordinates, `coupling`, `horizon` and `key`: a bound from above, from the law's own start
      instead of the worst one (start it far out). `replicas` pairs of copies run on a coupling: the first is `lag` L steps
      ahead (as many as `horizon` by default), and the second meets it after $\tau$ steps of its own, at most `horizon`.
      Then $\| P^t - \pi \|_{TV} \le \mathbb E \lceil (\tau - t) / L \rceil^+$, which is $P(\tau > t)$ where all have
      met within L steps. "reflection": the second copy meets the first as often as a single step can, and mirrors its
      noise else (on a spring no coupling of two states is better). "synchronous": one noise drives both until they are near;
      for dynamics that contract.

    A chain that starts from one state forgets it in this many steps: burn-in should be several times as long. The
    spectral bracket is $(t_{rel} - 1) \ln \frac{1}{2 \varepsilon} \le t \le t_{rel} \ln \frac{1}{\varepsilon \pi_{min}}$.

    **Returns** a `Mixing`: `steps`, `relaxation`, `lower`, `upper`; by coupling a `Meeting`: `steps`, `interval`, `bound`
    and its `standard_error` at every step up to the horizon (binomial), `times`.

    Raises ValueError for a matrix that is not stochastic, a law of more coordinates, a chain that does not mix (more
    than one stationary law, or a periodic one), or copies that have not met at the horizon; `NotApplicable` for a coupling
    of laws whose steps are not Gaussian with noise of one strength for every number of the state: they cannot meet. Cost:
    $O(n^3 \log t)$; by coupling, L + 2 `horizon` forces a pair. A law whose step depends on time has no stationary law.

    Source: Levin, Peres and Wilmer, Markov Chains and Mixing Times (2009), section 4.5, theorems 5.2, 12.3 and 12.4;
    Biswas, Jacob and Vanetti, NeurIPS (2019), theorem 2.5, for the lag; Jacob, O'Leary and Atchadé, J. R. Stat. Soc. B 82,
    543 (2020).
    """
    if not 0 < tolerance < 0.5:
        raise ValueError(f"Argument `tolerance` must lie between 0 and 1/2, but it was {tolerance}.")
    if coupling is not None or horizon is not None or key is not None:
        if grid is not None or transition is not None:
            raise ValueError("Arguments `grid` and `transition` are for chains without `coupling`: leave them out.")
        return _by_coupling(law, coupling, horizon, lag, replicas, key, tolerance)
    if (law is None) == (transition is None):
        raise ValueError("Give either `law` with `grid`, or `transition`, not both and not neither.")
    matrix = _on_grid(law, grid) if law is not None else _stochastic(np.asarray(transition, float))
    values = np.sort(np.abs(np.linalg.eigvals(matrix)))
    if len(values) > 1 and values[-2] > 1 - 1e-12:
        raise ValueError(
            "The chain does not mix: it has a second eigenvalue of modulus 1 (it is reducible or periodic)."
        )
    relaxation = 1 / (1 - values[-2]) if len(values) > 1 else 1.0
    stationary = stationary_law(matrix)
    smallest = np.min(stationary[stationary > 0])
    return Mixing(
        steps=steps_to_mix(matrix, stationary, tolerance),
        relaxation=float(relaxation),
        lower=float((relaxation - 1) * np.log(1 / (2 * tolerance))),
        upper=float(relaxation * np.log(1 / (tolerance * smallest))),
    )


def _by_coupling(law: Any, coupling: Any, horizon: Any, lag: Any, replicas: int, key: Any, tolerance: float) -> Meeting:
    validate.one_of("coupling", coupling, REACH)
    law, key = validate.evolving(law), validate.prng_key(key)
    horizon, replicas = validate.positive_whole("horizon", horizon), validate.positive_whole("replicas", replicas)
    lag = horizon if lag is None else validate.positive_whole("lag", lag)
    if replicas * tolerance < _RESOLVED:
        raise ValueError(
            f"Argument `replicas` must be at least {_RESOLVED} / `tolerance` = {_RESOLVED / tolerance:.0f}, to tell it from "
            f"zero, but it was {replicas}."
        )
    refuse(law)
    return bounded(meeting_times(law, coupling, horizon, lag, replicas, key), lag, horizon, tolerance)


def _stochastic(matrix: np.ndarray) -> Float[np.ndarray, "n n"]:
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not square or np.any(matrix < 0) or not np.allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-9):
        raise ValueError(
            "Argument `transition` must be a square matrix of probabilities whose rows sum to one, but it was one of shape "
            f"{matrix.shape}. Divide each row by its sum."
        )
    return matrix


def _on_grid(law: Evolve, grid: ArrayLike | None) -> Float[np.ndarray, "n n"]:
    """The step's density between the points of a grid, rows scaled to sum to one."""
    require(law, HasPathDensity, "mixing_time")
    state = law.init(jax.random.key(0))
    size = ravel_pytree(state)[0].size
    if size != 1:
        raise ValueError(
            f"Argument `law` must have a state of one number, but its state had {size}. For more, "
            'pass coupling="reflection" with `horizon` and `key`, a bound from above, or a `transition` matrix.'
        )
    points = _visited(law) if grid is None else np.asarray(grid, float)
    logs = np.asarray(_log_density(law, state, jnp.asarray(points)), float)
    if np.median(np.diff(points)) > 0.75 * _spread(logs, points):
        raise ValueError(
            f"Argument `grid` must resolve a step of the law, whose spread is {_spread(logs, points):.3g}, but its spacing "
            f"was {np.median(np.diff(points)):.3g}. Pass more points."
        )
    weights = np.exp(logs - np.max(logs, axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _visited(law: Evolve, points: int = 400, steps: int = 2000) -> Float[np.ndarray, " n"]:
    """Evenly spaced positions over twice the range of a few walks."""
    seen = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(scout.walk(law, jax.random.key(0), steps))])
    middle, reach = (np.max(seen) + np.min(seen)) / 2, np.ptp(seen)
    return np.linspace(middle - reach, middle + reach, points)


def _spread(logs: Float[np.ndarray, "n n"], points: Float[np.ndarray, " n"]) -> float:
    """The standard deviation of a step in the middle of the grid, from the curvature of its log density."""
    row = logs[len(points) // 2]
    top = int(np.clip(np.argmax(row), 1, len(row) - 2))
    curvature = -(row[top + 1] - 2 * row[top] + row[top - 1]) / (points[top + 1] - points[top]) ** 2
    return float(1 / np.sqrt(max(curvature, 1e-300)))


@eqx.filter_jit
def _log_density(law: Any, state: Array, grid: Float[Array, " n"]) -> Float[Array, "n n"]:
    _, unravel = ravel_pytree(state)
    noise = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), law.noise, is_leaf=lambda leaf: hasattr(leaf, "shape"))

    def log_density(start: Array, end: Array) -> Array:
        before, after = unravel(start[None]), unravel(end[None])
        memory, _ = law.path_start(before)
        return law.path_step(memory, before, noise, after, 0)[1]

    return jax.vmap(lambda start: jax.vmap(lambda end: log_density(start, end))(grid))(grid)
