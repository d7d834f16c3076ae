"""Functions of a replica whose expectation is zero: what control variates are made of.

`Shared` variates are numbers, of use to every component of a gradient; `own` variates have the gradient's shape.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pliant.core.errors import NotApplicable
from pliant.core.estimator import Problem
from pliant.core.laws import Evolve, State, Step
from pliant.core.noise import Noise, Normal, declared
from pliant.core.rollout import Rollout
from pliant.estimators.girsanov import Girsanov

# Of more random numbers a step than these only the mean over all of them enters.
_NUMBERS = 8


def has_score(problem: Problem) -> bool:
    """Whether the path has a density in these parameters, and the observable sees nothing beside it."""
    try:
        Girsanov().check(problem)
    except NotApplicable:
        return False
    return True


def score(problem: Problem, rollout: Rollout) -> Float[Array, " variates"]:
    """The score of the path (of an average: the mean of the scores up to each time): E[d log p] = 0."""
    return ravel_pytree(Girsanov().replicate(problem, rollout).score)[0]  # pyright: ignore[reportAttributeAccessIssue]


def has_normals(problem: Problem) -> bool:
    """Whether a step takes normal noise."""
    return any(isinstance(noise, Normal) for noise in declared(problem.law().noise))


def noise(problem: Problem, rollout: Rollout) -> Float[Array, " variates"]:
    r"""$T^{-1/2} \sum_t w_t$ and $(2T)^{-1/2} \sum_t (w_t^2 - 1)$ of every normal number of a step."""

    def moments(noise: PyTree) -> Array:
        w = _normals(problem.law(), noise)
        if w.size > _NUMBERS:
            return jnp.stack([jnp.sum(w), jnp.sum(w**2 - 1) / jnp.sqrt(2.0)]) / jnp.sqrt(w.size)
        return jnp.concatenate([w, (w**2 - 1) / jnp.sqrt(2.0)])

    def start(law: Evolve, state: State) -> Array:
        return jnp.zeros(2 if count > _NUMBERS else 2 * count)

    def update(carry: Array, law: Evolve, state: State, noise: PyTree, after: State, t: Step) -> Array:
        return carry + moments(noise).astype(carry.dtype)

    count = sum(one.size for one in declared(problem.law().noise) if isinstance(one, Normal))
    return rollout.fold(problem.law(), start, update) / jnp.sqrt(rollout.horizon)


def _normals(law: Evolve, noise: PyTree) -> Array:
    values = jax.tree.leaves(noise)
    return jnp.concatenate(
        [jnp.ravel(value) for one, value in zip(declared(law.noise), values, strict=True) if isinstance(one, Normal)]
    )


def linear(problem: Problem, rollout: Rollout) -> PyTree:
    r"""The part of the pathwise gradient that is linear in the normal noise: $\partial_\epsilon \nabla O(\epsilon w)|_0$."""

    observable = problem.observable

    # The observable sees the law itself: what it averages over on its own is not scaled.
    def start(law: Any, state: State) -> PyTree:
        return observable.start(law.inner, state)

    def update(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        return observable.update(carry, law.inner, after, t + 1)

    def gradient(scale: Array) -> PyTree:
        def observe(parameters: PyTree) -> Array:
            return observable.result(
                rollout.fold(_Scaled(problem.law(parameters), scale), start, update, checkpoint=True)
            )

        return jax.jacrev(observe)(problem.parameters)

    return jax.jvp(gradient, (jnp.zeros(()),), (jnp.ones(()),))[1]


class _Scaled(Evolve):
    """The inner law with its normal noise made smaller or larger."""

    inner: Any
    scale: Float[Array, ""]

    @property
    def noise(self) -> PyTree:
        return self.inner.noise

    def init(self, key: Any) -> State:
        return self.inner.init(key)

    def prepared(self) -> "_Scaled":
        return _Scaled(self.inner.prepared(), self.scale)

    def step(self, state: State, noise: PyTree, t: Step) -> State:
        smaller = jax.tree.map(self._scaled, self.inner.noise, noise, is_leaf=lambda node: isinstance(node, Noise))
        return self.inner.step(state, smaller, t)

    def _scaled(self, declaration: Noise, value: Array) -> Array:
        return self.scale.astype(value.dtype) * value if isinstance(declaration, Normal) else value


def given(observable: Any, expectation: Callable, problem: Problem, rollout: Rollout) -> Float[Array, " variates"]:
    """A user's observable less its known expectation under the law."""
    return jnp.ravel(rollout(problem.law(), observable) - expectation(problem.law()))
