"""What `gradient` and `expectation` give back: values with error bars, and the verdict."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core import trees
from pliant.core.statistics import integrated_autocorrelation_time
from pliant.core.verdict import Evidence, Verdict, judge


class Estimate(eqx.Module):
    """A mean with its standard error.

    **Fields**: `value`, `standard_error`: arrays of the observable's shape; `replicates`: per-replica values of shape
    (replicas, *obs), where they were asked for.
    """

    value: Float[Array, "*obs"]
    standard_error: Float[Array, "*obs"]
    replicates: Float[np.ndarray, "replicas *obs"] | None = None

    def __str__(self) -> str:
        return f"{np.asarray(self.value)} ± {np.asarray(self.standard_error)}"


class GradientEstimate(eqx.Module):
    """A gradient with its error bar and verdict; printing it shows a table.

    **Fields**: `value`: the tree that `wrt` selected, its parameters replaced by derivatives (shape
    `(*obs, *parameter)`) and everything else by None; `standard_error`: the same structure; `observable`: the
    observable itself; `snr`: the norm of the value over the norm of its standard error; `verdict`; `replicates`: the
    per-replica gradients with a leading axis, where they were asked for; `cost`: seconds and the like, by name.
    """

    value: PyTree
    standard_error: PyTree
    observable: Estimate
    snr: float
    verdict: Verdict
    estimator: str
    replicas: int
    replicates: PyTree | None = None
    cost: dict[str, float] = eqx.field(default_factory=dict)

    def __rich__(self) -> Any:
        from pliant.core.printing import table

        return table(self)

    def __str__(self) -> str:
        from pliant.core.printing import as_text

        return as_text(self)

    __repr__ = __str__


def mean_and_error(values: np.ndarray, correlated: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The mean over the first axis and its standard error, in double precision.

    `correlated` values are consecutive batches of one chain: what correlation is left between them widens the error.
    """
    samples = np.asarray(values, dtype=np.float64)
    count = samples.shape[0]
    # Overflowed replicas are the verdict's affair: no warning on top of it.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.mean(samples, axis=0)
        if count < 2:
            return mean, np.full_like(mean, np.nan)
        error = np.std(samples, axis=0, ddof=1) / np.sqrt(count)
    if correlated:
        columns = samples.reshape(count, -1).T
        tau = np.array([max(2 * integrated_autocorrelation_time(column)[0], 1.0) for column in columns])
        error = error * np.sqrt(tau.reshape(mean.shape))
    return mean, error


def summarise(
    contribution: Any,
    *,
    estimator: str,
    pick: Callable,
    findings: list[str],
    notes: list[str],
    cost: dict[str, float],
    keep: bool = False,
    correlated: bool = False,
    exact: bool = False,
) -> GradientEstimate:
    """Average gathered contributions into an estimate and judge it.

    `pick` takes the user's subtree; `correlated` says that replicas are batches of one chain; `exact` that the one
    replica there is has no randomness.
    """
    influence = pick(jax.tree.map(np.asarray, contribution.influence()))
    mean, error = _moments_of_tree(influence, correlated, exact)
    bias = contribution.bias()
    if bias is not None:
        error = jax.tree.map(np.hypot, error, pick(bias[1]))
    observed = np.asarray(contribution.observable)
    verdict = judge(
        Evidence(
            influence=_flat(influence),
            names=trees.names(mean),
            value=_flat(mean, batch=False),
            standard_error=_flat(error, batch=False),
            observable=observed,
            unfinished=None if contribution.unfinished is None else np.asarray(contribution.unfinished),
            halves={name: (np.asarray(a), np.asarray(b)) for name, (a, b) in contribution.mixing().items()},
            findings=findings,
            notes=notes,
            exact=exact,
            correlated=correlated,
        )
    )
    return GradientEstimate(
        value=_in_dtype(mean, influence),
        standard_error=_in_dtype(error, influence),
        observable=_widened(estimate_of(observed, correlated=correlated, exact=exact), bias),
        snr=_ratio(_flat(mean, batch=False), _flat(error, batch=False)),
        verdict=verdict,
        estimator=estimator,
        replicas=len(observed),
        replicates=influence if keep else None,
        cost=cost,
    )


def estimate_of(values: np.ndarray, *, correlated: bool = False, exact: bool = False, keep: bool = False) -> Estimate:
    """The mean of per-replica observables with its error bar, in the values' own dtype."""
    mean, error = _moments(values, correlated, exact)
    kept = values if keep else None
    return Estimate(jnp.asarray(mean, values.dtype), jnp.asarray(error, values.dtype), kept)


def _widened(estimate: Estimate, bias: tuple[Any, PyTree] | None) -> Estimate:
    if bias is None:
        return estimate
    error = np.hypot(estimate.standard_error, bias[0])
    return dataclasses.replace(estimate, standard_error=jnp.asarray(error, estimate.value.dtype))


def _moments(values: np.ndarray, correlated: bool, exact: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and error; an exact value comes as one replica without spread."""
    mean, error = mean_and_error(values, correlated)
    return mean, np.zeros_like(error) if exact else error


def _moments_of_tree(influence: PyTree, correlated: bool, exact: bool) -> tuple[PyTree, PyTree]:
    leaves, structure = jax.tree.flatten(influence)
    pairs = [_moments(leaf, correlated, exact) for leaf in leaves]
    mean, error = ([pair[part] for pair in pairs] for part in (0, 1))
    return jax.tree.unflatten(structure, mean), jax.tree.unflatten(structure, error)


def _in_dtype(tree: PyTree, like: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf, old: jnp.asarray(leaf, old.dtype), tree, like)


def _ratio(value: np.ndarray, error: np.ndarray) -> float:
    size, spread = float(np.linalg.norm(value)), float(np.linalg.norm(error))
    return size / spread if spread > 0 else float("inf") if size > 0 else 0.0


def per_replica(gradients: Any) -> PyTree:
    """Per-replica gradients from what a figure of merit is given: the tree itself, or an estimate that kept them."""
    if not isinstance(gradients, GradientEstimate):
        return gradients
    if gradients.replicates is None:
        raise ValueError("Argument `gradients` must carry its replicates: call `gradient(..., keep_replicates=True)`.")
    return gradients.replicates


def as_columns(tree: PyTree) -> np.ndarray:
    """Per-replica values as a matrix: one row a replica, one column a component; a flat array is one column."""
    return _flat(tree)


def _flat(tree: PyTree, batch: bool = True) -> np.ndarray:
    leaves = jax.tree.leaves(tree)
    shape = (len(leaves[0]), -1) if batch else (-1,)
    return np.concatenate([np.asarray(leaf, np.float64).reshape(shape) for leaf in leaves], axis=-1)
