"""How a derivative through draws is held against a closed form: in standard errors at a fixed key."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from oracle_checks import LIMIT, flat

from pliant.draw import expect


def samples(f: Any, theta: Any, count: int = 4000, seed: int = 7, **options: Any) -> Any:
    """Independent derivatives of E f: leaves of shape (count, *output, *parameter)."""
    slopes = jax.jit(jax.vmap(jax.jacrev(expect(f, **options)), in_axes=(None, 0)))
    theta = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), theta)
    return slopes(theta, jax.random.split(jax.random.key(seed), count))


def scores(found: Any, exact: Any, resolution: float = 0.1) -> np.ndarray:
    """z of every component; the standard errors must resolve what is estimated."""
    rows = np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(found)], axis=1)
    truth, error = flat(exact), np.std(rows, axis=0) / np.sqrt(len(rows))
    assert np.all(error <= resolution * np.linalg.norm(truth)), f"errors {error} do not resolve {truth}"
    return (np.mean(rows, axis=0) - truth) / (error + 1e-9 * np.linalg.norm(truth))


def judge(f: Any, theta: Any, exact: Any, *, resolution: float = 0.1, **options: Any) -> Any:
    """Derivatives that agree with the exact one, for whoever wants their spread."""
    found = samples(f, theta, **options)
    z = scores(found, exact, resolution)
    assert np.all(np.abs(z) < LIMIT), f"z = {z}"
    return found


def spread(found: Any) -> float:
    """The standard deviation of a derivative with one component."""
    (leaf,) = jax.tree.leaves(found)
    return float(np.std(np.ravel(leaf)))
