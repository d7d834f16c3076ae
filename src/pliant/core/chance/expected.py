"""The expectation of a program that draws, as a function of parameters and a key with an unbiased JAX derivative."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from pliant.core.chance.discrete import Options, Simulation, replay, score
from pliant.core.chance.first_order import first_order

ESTIMATORS = ("replay", "measure_valued", "score")
# What is folded into the key of a run for the choices of its estimator.
_ESTIMATOR = 0xE57


@dataclasses.dataclass(frozen=True)
class Expected:
    """`S(theta, key)`: the mean of `runs` runs of `f`, whose derivative by theta is that of the expectation."""

    f: Callable
    estimator: str
    runs: int
    options: Options

    def __call__(self, theta: PyTree, key: PRNGKeyArray) -> PyTree:
        """The mean, a tree like what `f` returns with its integers as floating point numbers."""
        leaves, structure = jax.tree.flatten(theta)
        active = [_differentiable(leaf) for leaf in leaves]
        moving = [jnp.asarray(leaf) for leaf, flag in zip(leaves, active, strict=True) if flag]
        rest = [leaf for leaf, flag in zip(leaves, active, strict=True) if not flag]
        held = [leaf for leaf in rest if _array(leaf)]
        shape: list[Any] = []

        def flat(moving: list[Any], held: list[Any], key: PRNGKeyArray) -> list[Any]:
            arrays, numbers = iter(held), iter(moving)
            others = iter([next(arrays) if _array(leaf) else leaf for leaf in rest])
            tree = jax.tree.unflatten(structure, [next(numbers if flag else others) for flag in active])
            results, form = jax.tree.flatten(self.f(tree, key))
            shape[:] = [form]
            return [jnp.asarray(result) for result in results]

        outputs = self._differentiable(flat)(moving, held, key)
        return jax.tree.unflatten(shape[0], outputs)

    def _differentiable(self, flat: Callable) -> Callable:
        """Runs of `flat`, with the derivative of its expectation."""

        @jax.custom_jvp
        def mean(moving: list[Any], held: list[Any], key: PRNGKeyArray) -> list[Any]:
            return [_mean(x) for x in self._over_runs(lambda k, _: flat(moving, held, k), key)]

        @mean.defjvp
        def _derivative(primals: tuple, tangents: tuple) -> tuple:
            moving, held, key = primals
            surrogate = lambda moving: self._surrogate(flat, moving, held, key)
            return jax.jvp(surrogate, (jax.tree.map(first_order, moving),), (tangents[0],))

        return mean

    def _over_runs(self, one: Callable, key: PRNGKeyArray) -> Any:
        """`one(program's key, estimator's key)` of every run, stacked. A single run is `f` at the very key that was given."""
        other = jax.random.fold_in(key, _ESTIMATOR)
        if self.runs == 1:
            # Without a batch axis of length one, with which XLA writes slower loops.
            return jax.tree.map(lambda leaf: leaf[None], one(key, other))
        return jax.vmap(one)(jax.random.split(key, self.runs), jax.random.split(other, self.runs))

    def _surrogate(self, flat: Callable, moving: list[Any], held: list[Any], key: PRNGKeyArray) -> list[Any]:
        def one(program_key: Any, other: Any) -> Any:
            simulation = Simulation(lambda moving: flat(moving, held, program_key), moving, self.options)
            if self.estimator == "score":
                return score(simulation, moving)
            return replay(simulation, moving, other, weak=self.estimator == "measure_valued")

        results = self._over_runs(one, key)
        return _centred(*results) if self.estimator == "score" else [_mean(x) for x in results]


def _centred(outputs: list[Any], logs: Any) -> list[Any]:
    """The mean of outputs, with the score of each run times how far it lies from the mean of the others."""
    if logs is None:
        return [_mean(output) for output in outputs]
    return [_mean(output) + _product(output, logs) for output in outputs]


def _product(output: Array, logs: Array) -> Array:
    count = output.shape[0]
    others = (jnp.sum(output, axis=0) - output) / (count - 1) if count > 1 else jnp.zeros(())
    weights = jax.lax.stop_gradient(output - others).astype(logs.dtype)
    moving = logs - jax.lax.stop_gradient(logs)
    return (jnp.tensordot(moving, weights, axes=1) / count).astype(output.dtype)


def _mean(results: Array) -> Array:
    exact = jnp.issubdtype(results.dtype, jnp.inexact)
    return jnp.mean(results if exact else results.astype(float), axis=0)


def _array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def _differentiable(leaf: Any) -> bool:
    return isinstance(leaf, float) or (_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact))
