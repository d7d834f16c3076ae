r"""Non-intrusive least-squares shadowing: a tangent trajectory that stays bounded, from a few homogeneous modes.

Along a trajectory every tangent is split at every step into its part $v$ across the flow and $\xi \varphi$ along it, where
$\varphi = h f(x)$ is the displacement of a step. The part along the flow is taken away and kept as a dilation of time by
$-\xi$ steps. The shadowing direction is $v = v^* + W a_i$ on segment i, with a particular solution $v^*$, the m modes W,
orthonormal at the start of each segment, and coefficients that minimise $\sum_t |v_t|^2$ under continuity,

$$ a_{i+1} = R_i a_i + b_i, \qquad W = Q_i R_i, \quad b_i = Q_i^T v^* \text{ at the end of segment i}. $$

Everything but the modes is linear in the direction in parameter space: forward mode over it is the tangent variant,
reverse mode the adjoint one.

Source: Ni and Wang, J. Comput. Phys. 347, 56 (2017), algorithm in section 3.5; Ni and Talnikar, J. Comput. Phys. 395, 690
(2019), for the adjoint.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from pliant.core.estimator import Problem
from pliant.core.laws import State
from pliant.core.rollout import Rollout
from pliant.estimators import _tridiagonal


class Bundle(eqx.Module):
    """Tangents at one time, across the flow: `modes`, shape (m, n), and the `forced` one, shape (n,)."""

    modes: Float[Array, "m n"]
    forced: Float[Array, " n"]


class Segments(eqx.Module):
    r"""What k segments leave behind.

    **Fields**: `growth` $R_i$ and `jump` $b_i$ at their ends; `gram` $\sum W W^T$ and `overlap` $\sum W v^*$ over their
    steps; `gain` of the observable per mode, without the mean's share; `dilation` of time per mode; `observed`: weighted
    sums of the observable, `weight` of them.
    """

    growth: Float[Array, "k m m"]
    jump: Float[Array, "k m"]
    gram: Float[Array, "k m m"]
    overlap: Float[Array, "k m"]
    gain: Float[Array, "k m o"]
    dilation: Float[Array, "k m"]
    observed: Float[Array, "k o"]
    weight: Float[Array, " k"]


class Fold(eqx.Module):
    """The carry: tangents, the records of segments, the index of the present one; `gain`, `dilation` of the forced tangent.

    `speeds`: the sum of the squared displacements of all steps, and that of the last one.
    """

    bundle: Bundle
    segments: Segments
    index: Int[Array, ""]
    gain: Float[Array, " o"]
    dilation: Float[Array, ""]
    speeds: Float[Array, "2"]


class Shadow(eqx.Module):
    """The shadowing direction of one trajectory, and what else it tells.

    **Fields**: `gradient` of the time average; `coefficients` of the modes; `segments`; `speeds` as in `Fold`.
    """

    gradient: Float[Array, " o"]
    coefficients: Float[Array, "k m"]
    segments: Segments
    speeds: Float[Array, "2"]

    def follow(self, bundle: Bundle, along: Bundle, segment: Array, t: Any) -> tuple[Array, Array]:
        """The direction at a state of a segment, and the delay until the next, from the tangents there."""
        row = self.coefficients[segment]
        return bundle.forced + row @ bundle.modes, along.forced + row @ along.modes


def shadow(problem: Problem, rollout: Rollout, direction: PyTree, modes: int, *, checkpoint: bool) -> Shadow:
    """The derivative of the time average along `direction` in parameter space, from m >= 1 `modes`.

    A block of the rollout is a segment: it ends with orthonormalisation.
    """

    def start(law: Any, state: State) -> Fold:
        width = problem.observable.term(law, state).size
        return _nothing(ravel_pytree(state)[0], width, -(-rollout.horizon // rollout.block), modes)

    def update(fold: Fold, law: Any, state: State, noise: PyTree, after: State, t: Any) -> Fold:
        moved, along, speed = across(law, push(problem, fold.bundle, direction, state, noise, t), after, t)
        fold = _record(problem, fold, direction, moved, along, state, after, t)
        return eqx.tree_at(lambda f: f.speeds, fold, jnp.stack([fold.speeds[0] + speed, speed]))

    fold = rollout.fold(problem.law(), start, update, after_block=_next_segment, checkpoint=checkpoint)
    segments, rows = fold.segments, _coefficients(fold.segments)
    gain = fold.gain + jnp.einsum("kmo,km->o", segments.gain, rows)
    dilation = fold.dilation + jnp.einsum("km,km->", segments.dilation, rows)
    return Shadow(gain + dilation * average(segments), rows, segments, fold.speeds)


def average(segments: Segments) -> Float[Array, " o"]:
    """The time average of the observable."""
    return segments.observed.sum(axis=0) / segments.weight.sum()


def begin(x: Float[Array, " n"], modes: int) -> Bundle:
    """Random orthonormal modes and no forced tangent: the first segments turn them into place."""
    random = jax.random.normal(jax.random.key(0), (x.size, modes), x.dtype)
    return Bundle(jnp.linalg.qr(random)[0].T, jnp.zeros_like(x))


def _nothing(x: Array, width: int, count: int, modes: int) -> Fold:
    def zeros(*shape: int) -> Array:
        return jnp.zeros(shape, x.dtype)

    segments = Segments(
        zeros(count, modes, modes), zeros(count, modes), zeros(count, modes, modes), zeros(count, modes),
        zeros(count, modes, width), zeros(count, modes), zeros(count, width), zeros(count),
    )  # fmt: skip
    return Fold(begin(x, modes), segments, jnp.int32(0), zeros(width), zeros(), zeros(2))


def push(problem: Problem, bundle: Bundle, direction: PyTree, state: State, noise: PyTree, t: Any) -> Bundle:
    """Tangents a step later: the modes freely, the forced one with the parameters moving along `direction`."""
    x, unravel = ravel_pytree(state)

    def step(parameters: PyTree, x: Array) -> Array:
        return ravel_pytree(problem.law(parameters).step(unravel(x), noise, t))[0]

    _, tangent = jax.linearize(step, problem.parameters, x)
    still = jax.tree.map(jnp.zeros_like, direction)
    return Bundle(jax.vmap(lambda v: tangent(still, v))(bundle.modes), tangent(direction, bundle.forced))


def across(law: Any, bundle: Bundle, state: State, t: Any) -> tuple[Bundle, Bundle, Float[Array, ""]]:
    """The tangents' parts across the flow, their parts along it in steps of time, and the step's squared displacement."""
    unit = law.time(t + 1) - law.time(t)
    flow = unit * ravel_pytree(law.drift(state, t + 1))[0]
    squared = flow @ flow
    along = jax.tree.map(lambda v: v @ flow / jnp.maximum(squared, jnp.finfo(flow.dtype).tiny), bundle)
    moved = jax.tree.map(lambda v, s: v - s[..., None] * flow, bundle, along)
    return moved, along, squared


def orthonormalised(bundle: Bundle) -> tuple[Bundle, Float[Array, "m m"], Float[Array, " m"]]:
    """Orthonormal modes, the forced tangent without its part in their span; the triangle R and that part b."""
    q, r = jnp.linalg.qr(bundle.modes.T)
    part = q.T @ bundle.forced
    return Bundle(q.T, bundle.forced - q @ part), r, part


def _record(
    problem: Problem, fold: Fold, direction: PyTree, moved: Bundle, along: Bundle, state: State, after: State,
    t: Any,
) -> Fold:  # fmt: skip
    """Add what one step contributes to its segment and to the window."""
    observable, i, s, old = problem.observable, fold.index, fold.segments, fold.bundle
    value, sensitivity = _linearised_term(problem, after)
    # Time dilates between two states: the observable there is the mean of both.
    between = 0.5 * (value + jnp.ravel(observable.term(problem.law(), state)))
    weight = observable.weight(t + 1)
    still = jax.tree.map(jnp.zeros_like, direction)
    gains = jax.vmap(lambda v: sensitivity(still, v))(moved.modes) + along.modes[:, None] * -between
    segments = Segments(
        s.growth,
        s.jump,
        s.gram.at[i].add(old.modes @ old.modes.T),
        s.overlap.at[i].add(old.modes @ old.forced),
        s.gain.at[i].add(weight * gains),
        s.dilation.at[i].add(weight * along.modes),
        s.observed.at[i].add(weight * value),
        s.weight.at[i].add(weight),
    )
    gain = fold.gain + weight * (sensitivity(direction, moved.forced) - along.forced * between)
    return Fold(moved, segments, i, gain, fold.dilation + weight * along.forced, fold.speeds)


def _linearised_term(problem: Problem, state: State) -> tuple[Array, Callable]:
    """The observable of a state, flat, and its derivative along a direction of parameters and a tangent."""
    x, unravel = ravel_pytree(state)

    def term(parameters: PyTree, x: Array) -> Array:
        return jnp.ravel(problem.observable.term(problem.law(parameters), unravel(x)))

    return jax.linearize(term, problem.parameters, x)


def _next_segment(fold: Fold) -> Fold:
    bundle, r, part = orthonormalised(fold.bundle)
    growth, jump = fold.segments.growth.at[fold.index].set(r), fold.segments.jump.at[fold.index].set(part)
    segments = eqx.tree_at(lambda s: (s.growth, s.jump), fold.segments, (growth, jump))
    return eqx.tree_at(lambda f: (f.bundle, f.segments, f.index), fold, (bundle, segments, fold.index + 1))


def _coefficients(segments: Segments) -> Float[Array, "k m"]:
    r"""The $a_i$ that minimise $\sum_i \frac12 a_i^T C_i a_i + d_i^T a_i$ under continuity, by the multipliers' equations."""
    solve = jax.vmap(lambda c, right: jax.scipy.linalg.solve(c, right, assume_a="pos"))
    growth, gram = segments.growth[:-1], segments.gram
    # C^-1 R^T, C^-1 d and C^-1.
    spread, rest = solve(gram[:-1], jnp.swapaxes(growth, 1, 2)), solve(gram, segments.overlap[..., None])[..., 0]
    inverse = solve(gram, jnp.broadcast_to(jnp.eye(gram.shape[1], dtype=gram.dtype), gram.shape))
    if len(gram) == 1:
        return -rest
    through = jnp.einsum("kij,kj->ki", growth, rest[:-1])
    diagonal = inverse[1:] + growth @ spread
    upper = jnp.concatenate([-spread[1:], jnp.zeros_like(spread[:1])])
    multipliers = _tridiagonal.solve(diagonal, upper, through - rest[1:] - segments.jump[:-1])
    # Multiplier i belongs to the end of segment i - 1; the ends of the trajectory are free.
    padded = jnp.pad(multipliers, ((1, 1), (0, 0)))
    pull = jnp.einsum("kij,kj->ki", spread, padded[1:-1])
    pull = jnp.concatenate([pull, jnp.zeros_like(pull[:1])])
    return pull - rest - jnp.einsum("kij,kj->ki", inverse, padded[:-1])


def logarithms(segments: Segments) -> Float[Array, "k m"]:
    """By how much each mode has grown over each segment that is whole; shape (k - 1, m), one row where k = 1."""
    diagonal = jnp.abs(jnp.diagonal(segments.growth, axis1=1, axis2=2))
    return jnp.log(jnp.maximum(diagonal, jnp.finfo(diagonal.dtype).tiny))[: max(len(diagonal) - 1, 1)]
