"""The likelihood ratio of paths: the score of the discrete path density."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from pliant.core import trees
from pliant.core.contributions import Contribution, Covariance
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import HasPathDensity, State
from pliant.core.observable import Additive
from pliant.core.rollout import Rollout
from pliant.estimators import _explicit


class Girsanov(Estimator):
    r"""The likelihood-ratio gradient $\mathbb E[\partial_\theta O] + \operatorname{Cov}(O, \partial_\theta \log p(\tau))$.

    The score is that of the exact discrete path density of the scheme, of the path that was sampled: the noise is
    rebuilt from a fixed path, never differentiated as if it were free. It is centred by leave-one-out over replicas,
    and causal for additive observables: what is seen at time t is weighed with the score up to t alone.

    Requires `HasPathDensity`. Cost: one forward run and one derivative of the step's log density, in memory independent
    of the horizon (plus one tangent per parameter where the density remembers the path, as that of BAOAB does). The
    observable may jump. The variance grows in proportion to the horizon, and as 1/dt for parameters of the noise's
    amplitude (temperature, friction): use a pathwise estimator there. Parameters that move the support of the path
    (dt, initial positions) are refused.

    Aliases: score function of the path, REINFORCE, likelihood-ratio method, Girsanov reweighting at first order.

    Source: Glynn, Commun. ACM 33, 75 (1990); Warren and Allen, Phys. Rev. Lett. 109, 250601 (2012); Girsanov, Theory
    Probab. Appl. 5, 285 (1960).
    """

    requires: ClassVar[tuple[type, ...]] = (HasPathDensity,)

    def check(self, problem: Problem) -> None:
        super().check(problem)
        _refuse_singular(problem)
        _refuse_uncovered(problem)

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        if isinstance(problem.observable, Additive):
            return _causal(problem, rollout)
        return _terminal(problem, rollout)


def _causal(problem: Problem, rollout: Rollout) -> Contribution:
    """Every state's term is weighed with the score up to its own time."""
    observable: Any = problem.observable
    fixed: Any = problem.law()

    def zeros(state: State) -> tuple[Array, PyTree]:
        value = observable.term(fixed, state)
        return jnp.zeros_like(value), _per_parameter(value, problem)

    def start(law: Any, state: State) -> PyTree:
        none, product = zeros(state)
        return _score_start(problem, state), none, _per_parameter(jnp.zeros(()), problem), product, product

    def update(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        tracker, average, mean_score, product, explicit = carry
        tracker = _score_step(problem, tracker, state, noise, after, t)
        weight, value = observable.weight(t + 1), observable.term(law, after)
        weighted = jax.tree.map(lambda s: weight * s, tracker[1])
        mean_score = jax.tree.map(jnp.add, mean_score, weighted)
        product = jax.tree.map(lambda p, s: p + jnp.tensordot(value, s, axes=0), product, weighted)
        own = _explicit.of_term(problem, after)
        explicit = jax.tree.map(lambda e, d: e + weight * d, explicit, own)
        return tracker, average + weight * value, mean_score, product, explicit

    _, average, mean_score, product, explicit = rollout.fold(fixed, start, update)
    return Covariance(average, mean_score, product, explicit)


def _terminal(problem: Problem, rollout: Rollout) -> Contribution:
    """The observable of the whole path is weighed with the score of the whole path."""
    observable = problem.observable
    fixed: Any = problem.law()

    def start(law: Any, state: State) -> PyTree:
        return _score_start(problem, state), observable.start(law, state)

    def update(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        tracker, folded = carry
        tracker = _score_step(problem, tracker, state, noise, after, t)
        return tracker, observable.update(folded, law, after, t + 1)

    (_, score), folded = rollout.fold(fixed, start, update)
    value = observable.result(folded)
    product = jax.tree.map(lambda s: jnp.tensordot(value, s, axes=0), score)
    explicit = _explicit.of_trajectory(problem, rollout)
    return Covariance(value, score, product, explicit, observable.unfinished(folded))


def _per_parameter(value: Array, problem: Problem) -> PyTree:
    return jax.tree.map(lambda p: jnp.zeros(value.shape + p.shape, p.dtype), problem.parameters)


# The score is tracked as ((memory, its derivative by every parameter), score); without memory both are empty.


def _score_start(problem: Problem, state: State) -> tuple[tuple[PyTree, Array], PyTree]:
    def density(parameters: PyTree) -> tuple[Array, tuple[Array, PyTree]]:
        law: Any = problem.law(parameters)
        memory, log_density = law.path_start(state)
        return jnp.asarray(log_density, trees.state_dtype(state)), memory

    score, memory = jax.grad(density, has_aux=True)(problem.parameters)
    flat, unravel = ravel_pytree(problem.parameters)
    tangents = jax.jacfwd(lambda p: ravel_pytree(density(unravel(p))[1])[0])(flat)
    return (memory, tangents.T), score


def _score_step(problem: Problem, tracker: PyTree, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
    (memory, tangents), score = tracker

    def density(memory: PyTree, parameters: PyTree) -> tuple[PyTree, Array]:
        law: Any = problem.law(parameters)
        return law.path_step(memory, state, noise, after, t)

    if not jax.tree.leaves(memory):
        gained = jax.grad(lambda p: density(memory, p)[1])(problem.parameters)
        return (memory, tangents), jax.tree.map(jnp.add, score, gained)
    memory, tangents, gained = _through_memory(density, memory, tangents, problem.parameters)
    return (memory, tangents), jax.tree.map(jnp.add, score, gained)


def _through_memory(density: Any, memory: PyTree, tangents: Array, parameters: PyTree) -> tuple[PyTree, Array, PyTree]:
    """One step of forward mode: the memory depends on the parameters through all the path so far."""
    flat, unravel = ravel_pytree(parameters)
    held, restore = ravel_pytree(memory)

    def flat_density(held: Array, flat: Array) -> tuple[Array, Array]:
        memory, gained = density(restore(held), unravel(flat))
        return ravel_pytree(memory)[0], gained

    def along(tangent: Array, direction: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        return jax.jvp(flat_density, (held, flat), (tangent, direction))

    (after, _), (moved, gained) = jax.vmap(along, out_axes=((None, None), (0, 0)))(
        tangents, jnp.eye(flat.size, dtype=flat.dtype)
    )
    return restore(after), moved, unravel(gained)


def _refuse_singular(problem: Problem) -> None:
    law: Any = problem.law()
    for name in law.path_singular:
        if jax.tree.leaves(getattr(problem.parameters, name, None)):
            raise NotApplicable(
                f"`Girsanov` cannot differentiate with respect to `{name}` of {type(law).__name__}: it moves the set of "
                "paths that are possible at all, so that path laws at two values are mutually singular; select other "
                "parameters with `wrt`, or use BPTT or ForwardSensitivity."
            )


def _refuse_uncovered(problem: Problem) -> None:
    law: Any = problem.law()
    if law.path_covers is None:
        return
    for field in sorted(_fields_seen(problem) - set(law.path_covers)):
        raise NotApplicable(
            f"`Girsanov` on this {type(law).__name__} has a path density of {law.path_covers[0]}s alone, but the observable "
            f"sees `{field}`: the phase-space law of the scheme is singular; observe positions, or use OBABO or ABOBA."
        )


def _fields_seen(problem: Problem) -> set[str]:
    """The fields of the state that the observable's fold depends on."""
    law: Any = problem.law()
    state = trees.strong(law.init(jax.random.key(0)))

    def observe(state: State) -> PyTree:
        carry = problem.observable.start(law, state)
        return carry, problem.observable.update(carry, law, state, 1)

    fields = [trees.first_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    return {field for field, used in zip(fields, trees.inputs_used(observe, state), strict=True) if used}
