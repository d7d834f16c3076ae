"""Lyapunov exponents: how fast neighbouring trajectories part."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core import validate
from pliant.core.estimate import mean_and_error
from pliant.core.laws import Evolve, State
from pliant.core.rollout import Rollout

# Growth over short stretches is mostly that of a bounded function, which long ones average out: few long batches.
_BATCHES = 16


def lyapunov_exponent(
    law: Evolve,
    *,
    horizon: int,
    key: PRNGKeyArray,
    replicas: int = 1,
    burn_in: int = 0,
    every: int = 10,
    exponents: int | None = None,
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    r"""The Lyapunov exponents of a law per unit of its time, largest first, and their standard errors.

    $\lambda_i = \lim \frac1t \langle \log |R_{ii}| \rangle$: tangents of the step, at fixed noise, are orthonormalised
    every `every` steps, $W = Q R$. Along a stochastic law these are the exponents of two copies driven by the same noise.

    **Arguments**: `law`: any `Evolve` law; the exponents are those of its discrete step. `horizon` steps of each of
    `replicas` trajectories from `key`, of which the first `burn_in` are left out; `exponents` k: how many, all by default.

    The error comes from the means of 16 batches of one trajectory (cautious: bounded fluctuations of local growth count
    in full), or from replicas where there are 25 and more. An exponent that is zero by symmetry, such as that along a
    flow, converges as 1/t rather than as the square root.

    **Returns** two arrays of shape (k,). Raises ValueError for counts that are not positive or do not fit. Cost: k
    tangents of the step, a QR of n x k every `every` steps. Tangents may grow by e^36 between two in double precision.

    Source: Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15, 9 (1980); Shimada and Nagashima, Prog. Theor. Phys.
    61, 1605 (1979); Dieci and Van Vleck, Appl. Numer. Math. 17, 275 (1995), for the QR form.
    """
    validate.evolving(law)
    for name, value in (("horizon", horizon), ("replicas", replicas), ("every", every)):
        validate.positive_whole(name, value)
    steps, skip = horizon // every, -(-burn_in // every)
    if steps - skip < 1 or burn_in < 0:
        raise ValueError(
            f"Argument `burn_in` must leave at least `every` = {every} of {horizon} steps, but it was {burn_in}."
        )
    size = _size(law, key)
    count = size if exponents is None else validate.positive_whole("exponents", exponents)
    if count > size:
        raise ValueError(f"Argument `exponents` must be at most {size}, the size of the state, but it was {exponents}.")
    logs = np.asarray(_growth(law, validate.prng_key(key), steps * every, every, replicas, count))[:, skip:]
    return _summary(logs / float(law.time(every) - law.time(0)))


def _summary(rates: Float[np.ndarray, "replicas steps k"]) -> tuple[np.ndarray, np.ndarray]:
    replicas, steps, count = rates.shape
    if replicas >= 25 or steps < 4:
        return mean_and_error(rates.mean(axis=1))
    batches = min(_BATCHES, steps)
    cut = rates[:, : steps // batches * batches].reshape(replicas, batches, -1, count).mean(axis=2)
    chains = [mean_and_error(chain, correlated=True)[1] for chain in cut]
    return rates.mean(axis=(0, 1)), np.sqrt(np.mean(np.square(chains), axis=0) / replicas)


def _size(law: Evolve, key: PRNGKeyArray) -> int:
    state = eqx.filter_eval_shape(lambda law, key: law.init(key), law, key)
    return sum(leaf.size for leaf in jax.tree.leaves(state))


@eqx.filter_jit
def _growth(law: Evolve, key: PRNGKeyArray, horizon: int, every: int, replicas: int, count: int) -> Array:
    """Logarithms of the growth of tangents, shape (replicas, orthonormalisations, k)."""

    def start(law: Evolve, state: State) -> PyTree:
        x, _ = ravel_pytree(state)
        random = jax.random.normal(jax.random.key(0), (x.size, count), x.dtype)
        return jnp.linalg.qr(random)[0].T, jnp.zeros((horizon // every, count), x.dtype)

    def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        tangents, logs = carry
        x, unravel = ravel_pytree(state)
        _, push = jax.linearize(lambda x: ravel_pytree(law.step(unravel(x), noise, t))[0], x)
        moved = jax.vmap(push)(tangents)
        return jax.lax.cond(
            (t + 1) % every == 0, _orthonormalised, lambda w, logs, i: (w, logs), moved, logs, t // every
        )

    def one(replica: Array) -> Array:
        return Rollout(key, replica, horizon).fold(law, start, update)[1]

    return jax.vmap(one)(jnp.arange(replicas, dtype=jnp.uint32))


def _orthonormalised(tangents: Array, logs: Array, index: Array) -> tuple[Array, Array]:
    q, r = jnp.linalg.qr(tangents.T)
    growth = jnp.log(jnp.maximum(jnp.abs(jnp.diag(r)), jnp.finfo(r.dtype).tiny))
    return q.T, logs.at[index].set(growth)
