"""Moment Lyapunov exponents: whether the mean and the variance of pathwise gradients exist in the long run."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core import validate
from pliant.core.laws import Evolve, HasDrift, State
from pliant.core.rollout import Rollout


def moment_lyapunov_exponent(
    law: Evolve,
    p: float = 2.0,
    *,
    method: str = "monte_carlo",
    horizon: int = 1000,
    replicas: int = 1000,
    key: PRNGKeyArray | None = None,
    points: int = 1001,
    box: tuple[float, float] = (-4.0, 4.0),
) -> tuple[float, float]:
    r"""$\Lambda(p) = \lim \frac1t \log \mathbb E |\partial X_t / \partial X_0|^p$ per unit of time, and its error.

    With $\Lambda(1) < 0 < \Lambda(2)$ the mean of a pathwise gradient converges while its variance explodes, in the
    absence of any chaos: the trajectories that pass over a barrier carry it. Report $\Lambda(2)$ beside the Lyapunov
    exponent, which is $\Lambda'(0)$.

    **Arguments**: `law`; `p`: the moment. `method`:

    - "grid": on a line, with drift b and diffusion $\sigma$ constant in space: the top eigenvalue of
      $b \partial_x + \frac12 \sigma^2 \partial_x^2 + p\, b'(x)$ by finite volumes with `points` cells on `box`, beyond
      whose ends nothing is to happen. Its error is the difference to half as many cells. It is that of the continuous
      process.
    - "monte_carlo": any `Evolve` law, as it steps: the growth of the p-th moment of a tangent's length between half the
      `horizon` and the whole, over `replicas` from `key`; error by the jackknife. For p beyond a few, or long horizons,
      a few replicas carry the moment, and the value is biased low.

    Raises ValueError for a law that "grid" cannot serve. Cost: a sparse eigenvalue; or one tangent of the step.

    Source: Arnold, SIAM J. Appl. Math. 44, 793 (1984); Arnold, Random Dynamical Systems (1998), section 3.5; Chang and
    Cooper, J. Comput. Phys. 6, 1 (1970), for the finite volumes.
    """
    validate.evolving(law)
    if method == "grid":
        fine, coarse = (_top_eigenvalue(law, float(p), cells, box) for cells in (points, points // 2))
        return fine, abs(fine - coarse)
    if method != "monte_carlo":
        raise ValueError(f'Argument `method` must be "grid" or "monte_carlo", but it was {method!r}.')
    for name, value in (("horizon", horizon), ("replicas", replicas)):
        validate.positive_whole(name, value)
    half = max(horizon // 2, 1)
    logs = np.asarray(_log_lengths(law, validate.prng_key(key), horizon, half, replicas), np.float64)
    return _slope(p * logs, float(law.time(horizon) - law.time(half)))


def _slope(logs: Float[np.ndarray, "replicas 2"], duration: float) -> tuple[float, float]:
    """The growth of the logarithm of the mean of the exponential, with its jackknife error."""
    weights = np.exp(logs - logs.max(axis=0))
    total, count = weights.sum(axis=0), len(logs)
    peak = logs.max(axis=0)

    def rate(sums: np.ndarray) -> np.ndarray:
        values = np.log(sums) + peak
        return (values[..., 1] - values[..., 0]) / max(duration, 1e-300)

    others = rate(np.maximum(total - weights, 1e-300))
    return float(rate(total)), float(np.sqrt((count - 1) * np.var(others)))


@eqx.filter_jit
def _log_lengths(law: Evolve, key: PRNGKeyArray, horizon: int, half: int, replicas: int) -> Array:
    """The logarithm of a tangent's length at half the horizon and at its end, shape (replicas, 2)."""

    def start(law: Evolve, state: State) -> PyTree:
        x, _ = ravel_pytree(state)
        tangent = jnp.ones_like(x) / jnp.sqrt(x.size)
        return tangent, jnp.zeros((), x.dtype), jnp.zeros(2, x.dtype)

    def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        tangent, log, marks = carry
        x, unravel = ravel_pytree(state)
        step = lambda x: ravel_pytree(law.step(unravel(x), noise, t))[0]
        moved = jax.jvp(step, (x,), (tangent,))[1]
        length = jnp.maximum(jnp.linalg.norm(moved), jnp.finfo(x.dtype).tiny)
        log = log + jnp.log(length)
        marks = jnp.where(jnp.stack([t + 1 <= half, True]), log, marks)
        return moved / length, log, marks

    def one(replica: Array) -> Array:
        return Rollout(key, replica, horizon).fold(law, start, update)[2]

    return jax.vmap(one)(jnp.arange(replicas, dtype=jnp.uint32))


def _top_eigenvalue(law: Any, p: float, cells: int, box: tuple[float, float]) -> float:
    """Of the symmetric form of the tilted generator: between neighbours at the rates of Chang and Cooper."""
    from scipy.linalg import eigh_tridiagonal

    edges = np.linspace(*box, cells + 1)
    centres, width = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0]
    drift, slope, diffusion = _coefficients(law, centres)
    at_edges, _, _ = _coefficients(law, edges[1:-1])
    peclet = at_edges * width / diffusion
    up = diffusion / width**2 * _bernoulli(-peclet)
    down = diffusion / width**2 * _bernoulli(peclet)
    leaving = np.append(up, 0.0) + np.insert(down, 0, 0.0)
    return float(
        eigh_tridiagonal(p * slope - leaving, np.sqrt(up * down), select="i", select_range=(cells - 1,) * 2)[0][0]
    )


def _bernoulli(x: np.ndarray) -> np.ndarray:
    small = np.abs(x) < 1e-8
    return np.where(small, 1 - x / 2, x / np.expm1(np.where(small, 1.0, x)))


def _coefficients(law: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Drift, its derivative, and half the squared diffusion of a law on a line."""
    if not isinstance(law, HasDrift):
        raise ValueError(
            f'Argument `method` must be "monte_carlo" for {type(law).__name__}: "grid" needs a law with `HasDrift`.'
        )
    state = law.init(jax.random.key(0))
    flat, unravel = ravel_pytree(state)
    if flat.size != 1:
        raise ValueError(
            f'Argument `method` must be "monte_carlo" for a state of {flat.size} dimensions: "grid" serves a line.'
        )

    def drift(at: Array) -> Array:
        return ravel_pytree(law.drift(unravel(at[None]), 0))[0][0]

    def noise(at: Array) -> Array:
        return 0.5 * ravel_pytree(law.diffusion(unravel(at[None]), 0))[0][0] ** 2

    values = jax.vmap(lambda at: (drift(at), jax.grad(drift)(at), noise(at)))(jnp.asarray(x, flat.dtype))
    rates, slopes, noises = map(np.asarray, values)
    if not (np.ptp(noises) <= 1e-6 * np.max(noises) and noises[0] > 0):
        raise ValueError('Argument `method` must be "monte_carlo" here: "grid" needs noise of one strength everywhere.')
    return rates.astype(float), slopes.astype(float), float(noises[0])
