"""What is looked at before the run: shapes, finiteness, the stability limit, and jumps of observable and step.

A few replicas walk a short way first. Faults that can be known then are raised as errors, with the leaf's name; what
speaks against trust without forbidding the run goes into the verdict.
"""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from pliant.core.estimator import Problem
from pliant.core.labels import labels
from pliant.core.laws import Evolve, State
from pliant.core.noise import Noise, draw_once
from pliant.core.observable import Observable
from pliant.core.rollout import Rollout
from pliant.core.trees import check_finite, state_dtype, strong

_WALKERS, _SNAPSHOTS, _STRIDE = 4, 8, 16


def check_shapes(law: Evolve, observable: Observable, key: PRNGKeyArray) -> None:
    """Raise ValueError where the step changes the state, or the observable is no array of fixed shape."""
    state = eqx.filter_eval_shape(lambda law, key: strong(law.init(key)), law, key)
    moved = eqx.filter_eval_shape(lambda law, state: strong(law.step(state, _zeros(law, state), 0)), law, state)
    _same_structure(state, moved, "the law's `step`", "state")
    carry = eqx.filter_eval_shape(lambda o, law, s: strong(o.start(law, s)), observable, law, state)
    after = eqx.filter_eval_shape(lambda o, c, law, s: strong(o.update(c, law, s, 1)), observable, carry, law, state)
    _same_structure(carry, after, "the observable's `update`", "carry")
    value = eqx.filter_eval_shape(lambda o, c: o.result(c), observable, carry)
    if not hasattr(value, "dtype") or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(
            "Argument `observable` must return one scalar or one array of floating point numbers of fixed shape, but "
            f"it returned {_describe(value)}. Stack several observables into one array."
        )


def _zeros(law: Evolve, state: State) -> PyTree:
    def zero(leaf: Noise) -> Array:
        return jnp.zeros(leaf.shape, state_dtype(state) if leaf.dtype is None else leaf.dtype)

    return jax.tree.map(zero, law.noise, is_leaf=lambda node: isinstance(node, Noise))


def _same_structure(before: PyTree, after: PyTree, who: str, what: str) -> None:
    old, new = jax.tree_util.tree_leaves_with_path(before), jax.tree_util.tree_leaves_with_path(after)
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise ValueError(
            f"{who} must return a {what} of the structure it was given, {jax.tree.structure(before)}, but it "
            f"returned {jax.tree.structure(after)}."
        )
    for (path, a), (_, b) in zip(old, new, strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ValueError(
                f"{who} must keep shape and dtype of the {what}, but leaf `{what}{jax.tree_util.keystr(path)}` went "
                f"from {a.dtype}{list(a.shape)} to {b.dtype}{list(b.shape)}. Make both sides agree, for example by "
                "giving x0 and the parameters the same dtype."
            )


def _describe(value: Any) -> str:
    if hasattr(value, "dtype"):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"


@eqx.filter_jit
def _walk(law: Evolve, key: PRNGKeyArray, steps: int, stride: int) -> PyTree:
    """States of a few replicas, stored every `stride` steps: leaves of shape (walkers, snapshots, ...)."""

    def one(replica: Array) -> PyTree:
        rollout = Rollout(key, replica, steps, max(2, stride - stride % 2))

        def start(law: Evolve, state: State) -> PyTree:
            return jax.tree.map(lambda x: jnp.zeros((_SNAPSHOTS + 1, *x.shape), x.dtype).at[0].set(x), state)

        def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
            slot = (t + stride) // stride
            return jax.tree.map(lambda c, x: c.at[slot].set(x, mode="drop"), carry, after)

        return rollout.fold(law, start, update)

    return jax.vmap(one)(jnp.arange(_WALKERS, dtype=jnp.uint32))


def walk(law: Evolve, key: PRNGKeyArray, horizon: int) -> PyTree:
    """A few states that the law visits: leaves of shape (walkers * snapshots, ...), non-finite ones left out."""
    stride = max(1, min(_STRIDE, horizon // _SNAPSHOTS))
    states = _walk(law, key, min(stride * _SNAPSHOTS, horizon), stride)
    flat = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), states)
    finite = [np.all(np.isfinite(x.reshape(len(x), -1)), axis=1) for x in jax.tree.leaves(flat) if x.dtype.kind == "f"]
    keep = np.all(finite, axis=0) if finite else np.ones(len(jax.tree.leaves(flat)[0]), bool)
    return jax.tree.map(lambda x: x[keep], flat)


def check_start(law: Evolve, key: PRNGKeyArray) -> None:
    """Raise ValueError where the initial state is not finite."""
    check_finite(eqx.filter_jit(_initial)(law, key), "state")


def _initial(law: Evolve, key: PRNGKeyArray) -> State:
    return law.init(key)


@eqx.filter_jit
def _limits(law: Evolve, states: PyTree) -> Array:
    return jax.lax.map(lambda state: jnp.asarray(law.step_limit(state), float), states)


def unstable(law: Evolve, states: PyTree) -> Iterator[str]:
    """A reason where dt is past the stability limit of the scheme at a visited state."""
    dt = getattr(law, "dt", None)
    if dt is None or type(law).step_limit is Evolve.step_limit:
        return
    limit = float(np.min(np.asarray(_limits(law, states))))
    if float(dt) > limit:
        yield (
            f"dt = {float(dt):.3g} is past the stability limit {law.step_limit_name} = {limit:.3g} at a state that the "
            f"trajectory visits; use dt <= {limit / 4:.2g}."
        )


@eqx.filter_jit
def _labels(problem: Problem, state: State) -> tuple[str, ...]:
    """Read while it is traced: later calls with other values trace nothing."""

    def once(parameters: PyTree) -> Array:
        law = problem.law(parameters)
        moved = strong(law.step(state, _zeros(law, state), 0))
        carry = strong(problem.observable.start(law, moved))
        return problem.observable.result(strong(problem.observable.update(carry, law, moved, 1)))

    return tuple(labels(once, problem.parameters))


def biased(problem: Problem, state: State) -> Iterator[str]:
    """A reason for every derivative that law or observable say is biased."""
    for label in _labels(problem, state):
        yield (
            f"the derivative is biased by intention: `{label}` stands in the program, and by how much it is off is not in "
            "the error bar; compare with Girsanov, Reweighting or FiniteDifference."
        )


def discontinuous(problem: Problem, states: PyTree) -> Iterator[str]:
    """Reasons where the observable or the law's step jumps between visited states: a pathwise gradient misses the jump."""
    law, observable = problem.law(), problem.observable
    jump = np.inf if observable.jumps else _jump_of_observable(law, observable, states)
    if jump > 0:
        yield (
            f"the observable is discontinuous: it jumps{_size(jump)} between neighbouring states, and a pathwise gradient "
            "misses the jump; use Girsanov, Reweighting or FiniteDifference, or smooth the edge."
        )
    jump = np.inf if law.jumps else _jump_of_step(problem, states)
    if jump > 0:
        yield (
            f"the law's step is discontinuous: at fixed noise it jumps{_size(jump)} between neighbouring states and "
            "parameters (an accept-reject, a collision), and a pathwise gradient misses the jump; use Girsanov or "
            "Reweighting where the law has their densities, or FiniteDifference."
        )


def _size(jump: float) -> str:
    return "" if np.isinf(jump) else f" by about {jump:.2g}"


@eqx.filter_jit
def _on_segment(law: Evolve, observable: Observable, a: State, b: State, s: Array) -> Array:
    """The observable of one-state trajectories along straight lines between pairs of states."""

    def one(a: State, b: State, s: Array) -> Array:
        mixed = _between(a, b, s)
        carry = strong(observable.start(law, mixed))
        return jnp.ravel(observable.result(strong(observable.update(carry, law, mixed, 1))))

    return jax.vmap(jax.vmap(one, (None, None, 0)))(a, b, s)


@eqx.filter_jit
def _step_on_segment(problem: Problem, noise: PyTree, a: State, b: State, s: Array) -> Array:
    """What one step at fixed noise makes of states on straight lines, while the parameters grow by a tenth."""

    def one(noise: PyTree, a: State, b: State, s: Array) -> Array:
        law = problem.law(jax.tree.map(lambda p: p * (0.95 + 0.1 * s).astype(p.dtype), problem.parameters))
        moved = law.step(_between(a, b, s), noise, 0)
        return jnp.concatenate([jnp.ravel(leaf).astype(float) for leaf in jax.tree.leaves(moved)])

    # One segment at a time: states may be large.
    return jax.lax.map(lambda row: jax.vmap(one, (None, None, None, 0))(*row), (noise, a, b, s))


def _between(a: State, b: State, s: Array) -> State:
    """The state at s between a (0) and b (1); leaves that are no floating point numbers stay those of a."""

    def mix(x: Array, y: Array) -> Array:
        return x + (y - x) * s.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(mix, a, b)


# Every round narrows a segment sixteen times: eight of them come down to the round-off of single precision.
_GRID, _ROUNDS = 16, 8
# A step may cost much more than an observable: fewer segments are searched.
_STEPS_SEARCHED = 16


def _jump_of_observable(law: Evolve, observable: Observable, states: PyTree) -> float:
    probe = observable.for_one_state()
    a, b = _pairs(states)
    return _largest_jump(lambda s: _on_segment(law, probe, a, b, s), len(jax.tree.leaves(states)[0]))


def _jump_of_step(problem: Problem, states: PyTree) -> float:
    count = min(len(jax.tree.leaves(states)[0]), _STEPS_SEARCHED)
    a, b = jax.tree.map(lambda x: x[:count], _pairs(states))
    keys = jax.random.split(jax.random.key(0), count)
    noise = jax.vmap(lambda key: draw_once(problem.law().noise, key, state_dtype(a)))(keys)
    return _largest_jump(lambda s: _step_on_segment(problem, noise, a, b, s), count)


def _pairs(states: PyTree) -> tuple[PyTree, PyTree]:
    """The visited states, shuffled in two ways: the ends of the segments."""
    ends = [np.random.default_rng(seed).permutation(len(jax.tree.leaves(states)[0])) for seed in (1, 0)]
    first, second = (jax.tree.map(lambda x, order=order: jnp.asarray(x[order]), states) for order in ends)
    return first, second


def _largest_jump(values_at: Callable[[Array], Array], count: int) -> float:
    """Bisect towards the steepest change on `count` segments; what is left of it at round-off is a jump.

    `values_at(s)` gives the values at positions s in [0, 1], shape (count, points), as (count, points, values).
    """
    if count < 2:
        return 0.0
    low, high, rows = np.zeros(count), np.ones(count), np.arange(count)
    change = scale = np.zeros(1)
    for _ in range(_ROUNDS):
        s = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _GRID + 1)
        values = np.asarray(values_at(jnp.asarray(s)), np.float64)
        changes = np.max(np.abs(np.diff(values, axis=1)), axis=2)
        steepest = np.argmax(changes, axis=1)
        low, high = s[rows, steepest], s[rows, steepest + 1]
        change, scale = changes[rows, steepest], np.max(np.abs(values))
    jump = float(np.max(change))
    return jump if jump > 1e-3 * scale and np.isfinite(jump) else 0.0
