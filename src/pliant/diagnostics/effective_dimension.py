"""In how many directions a gradient scatters, or an energy curves."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.estimate import GradientEstimate, as_columns, per_replica

# Up to this many directions the Hessian is applied to all of them; beyond, to random ones.
_EXACT = 256


def effective_dimension(
    gradients: PyTree | GradientEstimate | None = None,
    *,
    function: Callable | None = None,
    at: PyTree | None = None,
    key: PRNGKeyArray | None = None,
    probes: int = 256,
) -> tuple[float, float]:
    r"""The participation ratio $d = (\sum_i \lambda_i)^2 / \sum_i \lambda_i^2$ of eigenvalues, and its standard error.

    **Arguments**, one of two forms:

    - `gradients`: a tree of per-replica gradients with a leading axis of replicas, or a `GradientEstimate` made with
      `keep_replicates=True`. The eigenvalues are those of their covariance. It is estimated without forming it, as
      $\operatorname{tr} C_1 \operatorname{tr} C_2 / \operatorname{tr}(C_1 C_2)$ with the covariances of two halves of
      the replicas: numerator and denominator are unbiased, which the plain ratio is not (it cannot exceed the number of
      replicas). Error by the jackknife over 16 groups. At least 64 replicas.
    - `function`: a scalar function of a tree, `at` a point: the eigenvalues are those of its Hessian, exact with one
      Hessian-vector product a direction up to 256 directions. Beyond, from `probes` random signs z with `key`:
      $\operatorname{tr} H = \mathbb E[z^T H z]$, $\operatorname{tr} H^2 = \mathbb E \|H z\|^2$ (Hutchinson).

    1 where a single direction matters, n for n equal eigenvalues. Of a Hessian with eigenvalues of both signs the
    numerator may cancel: then this is no count of directions.

    Raises ValueError where neither or both forms are given, or for too few replicas.

    Source: Bell and Dean, Discuss. Faraday Soc. 50, 55 (1970); Hutchinson, Commun. Stat. Simul. Comput. 19, 433 (1990);
    for traces of covariances from independent halves, Chen, Zhang and Zhong, J. Am. Stat. Assoc. 105, 810 (2010).
    """
    if (gradients is None) == (function is None):
        raise ValueError("Give either `gradients`, or `function` with `at`, not both and not neither.")
    if function is None:
        return _of_covariance(as_columns(per_replica(gradients)))
    return _of_hessian(function, at, jax.random.key(0) if key is None else key, probes)


_GROUPS = 16


def _of_covariance(values: Float[np.ndarray, "replicas d"]) -> tuple[float, float]:
    if len(values) < 4 * _GROUPS:
        raise ValueError(f"Argument `gradients` must hold at least {4 * _GROUPS} replicas, but it held {len(values)}.")
    whole = _ratio_of_halves(values)
    group = np.arange(len(values)) % _GROUPS
    left_out = np.array([_ratio_of_halves(values[group != g]) for g in range(_GROUPS)])
    error = np.sqrt((_GROUPS - 1) / _GROUPS * np.sum((left_out - np.mean(left_out)) ** 2))
    return whole, float(error)


def _ratio_of_halves(values: Float[np.ndarray, "replicas d"]) -> float:
    """Both traces from independent halves, even and odd replicas."""
    first, second = (half - np.mean(half, axis=0) for half in (values[::2], values[1::2]))
    degrees = (len(first) - 1) * (len(second) - 1)
    together = np.sum((first @ second.T) ** 2) / degrees
    return float(np.sum(first**2) * np.sum(second**2) / degrees / together)


def _of_hessian(function: Callable, at: PyTree, key: PRNGKeyArray, probes: int) -> tuple[float, float]:
    flat, _ = ravel_pytree(at)
    exact = flat.size <= _EXACT
    directions = jnp.eye(flat.size) if exact else jax.random.rademacher(key, (probes, flat.size))
    first, second = _moments(function, at, directions.astype(flat.dtype))
    if exact:
        return float(np.sum(first) ** 2 / np.sum(second)), 0.0
    return _ratio_of_means(np.asarray(first, float), np.asarray(second, float))


@eqx.filter_jit
def _moments(function: Callable, at: PyTree, directions: Array) -> tuple[Array, Array]:
    """z H z and |H z|^2 for every direction, one after another: the Hessian of a large system is not kept."""
    flat, unravel = ravel_pytree(at)
    slope = jax.grad(lambda x: jnp.asarray(function(unravel(x))))

    def along(z: Array) -> tuple[Array, Array]:
        applied = jax.jvp(slope, (flat,), (z,))[1]
        return jnp.vdot(z, applied), jnp.vdot(applied, applied)

    return jax.lax.map(along, directions)


def _ratio_of_means(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(mean a)^2 / mean b, where (mean a)^2 is taken over pairs of probes; error by the delta method."""
    count = len(a)
    square = (np.sum(a) ** 2 - np.sum(a**2)) / (count * (count - 1))
    ratio = square / np.mean(b)
    influence = 2 * np.mean(a) * (a - np.mean(a)) / np.mean(b) - ratio * (b - np.mean(b)) / np.mean(b)
    return float(ratio), float(np.std(influence, ddof=1) / np.sqrt(count))
