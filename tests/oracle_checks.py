"""How an estimate is held against an exact answer: in standard errors, and with errors small enough to mean something.

And how an error bar is: by how often its interval holds the answer.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import pliant
from pliant.core import engine, prepare
from pliant.core.contributions import Contribution
from pliant.core.estimate import GradientEstimate, mean_and_error
from pliant.core.estimator import Estimator
from pliant.core.verdict import HALF_WIDTH
from pliant.systems import _affine
from pliant.systems._system import squared_distance, weights

# One in 16,000 for a Gaussian: a failure at a fixed key means a fault.
LIMIT = 4.0
REPEATS = 1000


def flat(tree: Any) -> np.ndarray:
    """Every number of a tree."""
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(tree)])


def name(value: Any) -> str:
    """The name of a class or of an instance's class, for the ids of tests."""
    return getattr(value, "__name__", type(value).__name__)


def check(estimate: GradientEstimate, gradient: Any, *, value: Any = None, resolution: float = 0.1) -> None:
    """The gradient agrees with the exact one, and its error is at most `resolution` of the gradient's size.

    A broken estimator is off by a part of the gradient: without the second demand it could hide behind its noise.
    """
    truth, found, error = flat(gradient), flat(estimate.value), flat(estimate.standard_error)
    assert np.all(error <= resolution * np.linalg.norm(truth)), f"errors {error} do not resolve {truth}"
    within(found, error, truth)
    if value is not None:
        within(flat(estimate.observable.value), flat(estimate.observable.standard_error), flat(value))


def within(found: np.ndarray, error: np.ndarray, truth: np.ndarray) -> None:
    """Every component lies within the limit of the truth; round-off is forgiven where there is no noise."""
    z = (found - truth) / (error + 1e-12 * np.abs(truth))
    assert np.all(np.abs(z) < LIMIT), f"{found} ± {error} against {truth}: z = {z}"


def run(
    law: Any, observable: Any, estimator: Estimator, wrt: Callable, horizon: int, replicas: int
) -> GradientEstimate:
    """`gradient` at the key of all oracles."""
    return pliant.gradient(
        law,
        observable,
        estimator,
        horizon=horizon,
        replicas=replicas,
        key=jax.random.key(2026),
        wrt=wrt,
        progress=False,
    )


def gathered(
    law: Any,
    observable: Any,
    estimator: Estimator,
    wrt: Callable,
    horizon: int,
    replicas: int,
    chunk: int | None = None,
) -> Contribution:
    """What `gradient` gathers before it averages."""
    problem = prepare.problem(law, observable.at_horizon(horizon), wrt)
    estimator = estimator.at_horizon(problem, horizon)
    settings = prepare.settings(problem, estimator, horizon, replicas, jax.random.key(11), 1e9, "fused", None)
    settings = dataclasses.replace(settings, chunk=chunk or settings.chunk)
    return engine.gather(problem, estimator, settings, progress=False)[0]


def covers(
    capsys: Any, row: str, found: Contribution, truth: Any, size: int, wrt: Callable = lambda tree: tree
) -> None:
    """Nominal 95 % intervals hold the truth in 93-97 % of the repeats, which are groups of one run's replicas.

    Replicas are independent: groups of them are what separate calls with as many keys would give. The truth has the
    structure that `wrt` gives.
    """
    held, off, errors = [], [], []
    for first in range(0, len(found.observable), size):  # pyright: ignore[reportAttributeAccessIssue]
        group = jax.tree.map(lambda leaf, first=first: leaf[first : first + size], found)
        leaves = [np.reshape(leaf, (size, -1)) for leaf in jax.tree.leaves(wrt(group.influence()))]
        mean, error = mean_and_error(np.concatenate(leaves, axis=1))
        held.append(np.abs(mean - flat(truth)) <= HALF_WIDTH * error)
        off.append(mean - flat(truth))
        errors.append(error)
    assert len(held) >= REPEATS
    share, bias = np.mean(held, axis=0), np.mean(off, axis=0) / np.mean(errors, axis=0)
    with capsys.disabled():
        shown = " ".join(f"{100 * one:.1f}" for one in share)
        print(f"\n{row}, {size}: {shown} %, bias/error {np.round(bias, 2)}", end="")
    assert np.all(np.abs(bias) < 0.2), bias
    assert np.all((share >= 0.93) & (share <= 0.97)), share


def affine_truth(law: Any, observable: Any, horizon: int, parameter: str) -> tuple[float, float]:
    """The expectation of x^2 on a harmonic potential, and its exact derivative by any number of the law."""
    weight = weights(observable, squared_distance, horizon)
    assert weight is not None

    def average(**changed: Any) -> Any:
        means, covariances = _affine.of_law(law, **changed).moments(horizon)
        return weight @ (means[:, 0] ** 2 + covariances[:, 0, 0])

    at = float(law.potential.k if parameter == "k" else getattr(law, parameter))
    return average(), float(_affine.complex_step(lambda value: average(**{parameter: value}), at))


def covariance_truth(law: Any, observable: Any, horizon: int) -> float:
    r"""What `Reweighting` estimates of $d\langle x^2 \rangle / dk$ on a harmonic potential, also before it is stationary.

    The score of the law's own density is $-c x^2$, with a constant, and the law of $x_t$ Gaussian with mean m and
    variance V, so that $\langle x^4 \rangle = m^4 + 6 m^2 V + 3 V^2$.
    """
    weight = weights(observable, squared_distance, horizon)
    means, covariances = _affine.of_law(law).moments(horizon)
    m, v = means[:, 0], covariances[:, 0, 0]
    fourth, second = weight @ (m**4 + 6 * m**2 * v + 3 * v**2), weight @ (m**2 + v)
    return float(_score(law, 1.0) - _score(law, 0.0)) * (fourth - second**2)


def _score(law: Any, position: float) -> jax.Array:
    """The derivative by k of the log density at a position, with nothing moving."""
    state = jax.tree.map(jnp.zeros_like, law.init(jax.random.key(0)))
    state = eqx.tree_at(lambda state: state.position, state, jnp.full_like(state.position, position))
    at = lambda k: eqx.tree_at(lambda law: law.potential.k, law, k).log_density(state)
    return jax.grad(at)(law.potential.k)
