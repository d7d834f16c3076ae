"""What is looked at before the run: shapes, finiteness, the stability limit, and jumps of the observable.

A few replicas walk a short way first. Faults that can be known then are raised as errors, with the leaf's name; what
speaks against trust without forbidding the run goes into the verdict.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from pliant.core.laws import Evolve, State
from pliant.core.observable import Observable
from pliant.core.rollout import Rollout
from pliant.core.trees import check_finite, strong

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
    from pliant.core.noise import Noise
    from pliant.core.trees import state_dtype

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


def discontinuous(law: Evolve, observable: Observable, states: PyTree) -> Iterator[str]:
    """A reason where the observable jumps between visited states: a pathwise gradient misses the jump."""
    jump = np.inf if observable.jumps else _largest_jump(law, observable, states)
    if jump > 0:
        size = "" if np.isinf(jump) else f" by about {jump:.2g}"
        yield (
            f"the observable is discontinuous: it jumps{size} between neighbouring states, and a pathwise gradient "
            "misses the jump; use Girsanov, Reweighting or FiniteDifference, or smooth the edge."
        )


@eqx.filter_jit
def _on_segment(law: Evolve, observable: Observable, a: State, b: State, s: Array) -> Array:
    """The observable of one-state trajectories along straight lines between pairs of states."""

    def one(a: State, b: State, s: Array) -> Array:
        mixed = jax.tree.map(lambda x, y: x + (y - x) * s.astype(x.dtype) if x.dtype.kind == "f" else x, a, b)
        carry = strong(observable.start(law, mixed))
        return jnp.ravel(observable.result(strong(observable.update(carry, law, mixed, 1))))

    return jax.vmap(jax.vmap(one, (None, None, 0)))(a, b, s)


# Every round narrows a segment sixteen times: eight of them come down to the round-off of single precision.
_GRID, _ROUNDS = 16, 8


def _largest_jump(law: Evolve, observable: Observable, states: PyTree) -> float:
    """Bisect towards the steepest change on segments between visited states; what is left at round-off is a jump."""
    probe = observable.for_one_state()
    count = len(jax.tree.leaves(states)[0])
    if count < 2:
        return 0.0
    order = np.random.default_rng(0).permutation(count)
    b = jax.tree.map(lambda x: x[order], states)
    low, high, rows = np.zeros(count), np.ones(count), np.arange(count)
    change = scale = np.zeros(1)
    for _ in range(_ROUNDS):
        s = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _GRID + 1)
        values = np.asarray(_on_segment(law, probe, states, b, jnp.asarray(s)), np.float64)
        changes = np.max(np.abs(np.diff(values, axis=1)), axis=2)
        steepest = np.argmax(changes, axis=1)
        low, high = s[rows, steepest], s[rows, steepest + 1]
        change, scale = changes[rows, steepest], np.max(np.abs(values))
    jump = float(np.max(change))
    return jump if jump > 1e-3 * scale and np.isfinite(jump) else 0.0
