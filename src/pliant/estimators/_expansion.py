r"""How the growth of unstable volumes changes along a shadowing direction: the density that shadowing leaves out.

Shadowing carries the invariant measure along with its trajectories. A trajectory of the unperturbed flow has the weight
$1 / J^u$, the inverse of the factor by which it stretches unstable volumes; its shadow keeps this weight, where the
perturbed flow would give it $1 / J^u$ of its own. The score of the difference is

$$ S = -\frac{d}{d\theta} \log J^u \text{ along the shadow}, $$

and $\operatorname{Cov}(O, S)$ completes the derivative of the average (the unstable contribution). The derivative of
$J^u$ needs that of the unstable directions themselves, which obeys a recursion that contracts: the modes' tangents are
pushed by second derivatives of the step, and lose at the end of a segment what is a mere change of basis.

Source: Ruelle, Commun. Math. Phys. 187, 227 (1997); Ni, SIAM J. Appl. Dyn. Syst. 22, 2792 (2023); Bowen, Equilibrium
States and the Ergodic Theory of Anosov Diffeomorphisms (1975), for the weights.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from pliant.core.estimator import Problem
from pliant.core.laws import State
from pliant.core.rollout import Rollout
from pliant.estimators import _nilss
from pliant.estimators._nilss import Bundle


class Turning(eqx.Module):
    """The carry: tangents, the derivative `turn` of the modes, the segment's index, the derivative of its log volume."""

    bundle: Bundle
    turn: Float[Array, "m n"]
    index: Int[Array, ""]
    rates: Float[Array, " k"]


def rates(
    problem: Problem,
    rollout: Rollout,
    direction: PyTree,
    follow: Callable,
    unstable: Bool[Array, " m"],
    *,
    checkpoint: bool,
) -> Float[Array, " k"]:
    """The derivative of the logarithm of the growth of unstable volumes, segment by segment, along the shadow.

    `unstable` says which of the modes, in the order of their growth, span the volume. The tangents of the first pass are
    made once more: `follow(bundle, along, segment, t)` makes of them the shadowing direction at the state `x_t` and the
    delay, in steps, until the next.
    """

    def start(law: Any, state: State) -> Turning:
        bundle = _nilss.begin(ravel_pytree(state)[0], len(unstable))
        nothing = jnp.zeros(-(-rollout.horizon // rollout.block), bundle.forced.dtype)
        return Turning(bundle, jnp.zeros_like(bundle.modes), jnp.int32(0), nothing)

    def update(carry: Turning, law: Any, state: State, noise: PyTree, after: State, t: Any) -> Turning:
        bundle = carry.bundle
        moved, along, _ = _nilss.across(law, _nilss.push(problem, bundle, direction, state, noise, t), after, t)
        shift, delay = follow(bundle, along, carry.index, t)
        stretch = _stretch(problem, direction, shift, delay, state, noise, t)
        one, zero = jnp.ones((), shift.dtype), jnp.zeros((), shift.dtype)
        turn = jax.jvp(stretch, (zero, bundle.modes), (one, carry.turn))[1]
        return Turning(moved, turn, carry.index, carry.rates)

    def next_segment(carry: Turning) -> Turning:
        bundle, r, _ = _nilss.orthonormalised(carry.bundle)
        turned = jax.scipy.linalg.solve_triangular(_regular(r), carry.turn, trans=1)
        inside = turned @ bundle.modes.T
        # Row j of `inside` is the change of mode j in the basis of all: with those before it, a change of basis.
        turn = turned - jnp.tril(inside) @ bundle.modes
        rate = jnp.sum(jnp.where(unstable, jnp.diag(inside), 0.0))
        return Turning(bundle, turn, carry.index + 1, carry.rates.at[carry.index].set(rate))

    return rollout.fold(problem.law(), start, update, after_block=next_segment, checkpoint=checkpoint).rates


def _stretch(
    problem: Problem, direction: PyTree, shift: Array, delay: Array, state: State, noise: PyTree, t: Any
) -> Callable:
    """The modes a step later, across the flow, as a function of the distance along the shadowing direction."""
    x, unravel = ravel_pytree(state)

    def stretch(distance: Array, modes: Array) -> Array:
        law = problem.law(jax.tree.map(lambda p, d: p + distance * d, problem.parameters, direction))
        unit = law.time(t + 1) - law.time(t)

        def flow(y: Array) -> Array:
            return unit * ravel_pytree(law.drift(unravel(y), t + 1))[0]

        def shadowed(x: Array) -> Array:
            y = ravel_pytree(law.step(unravel(x), noise, t))[0]
            return y - distance * delay * flow(y)

        y, tangent = jax.linearize(shadowed, x + distance * shift)
        moved, along = jax.vmap(tangent)(modes), flow(y)
        return moved - jnp.outer(moved @ along, along) / jnp.maximum(along @ along, jnp.finfo(x.dtype).tiny)

    return stretch


def _regular(r: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """The triangle with ones in place of zeros: a mode that has vanished must not take the others with it."""
    diagonal = jnp.diag(r)
    return r + jnp.diag(jnp.where(jnp.abs(diagonal) < jnp.finfo(r.dtype).tiny, 1.0, 0.0).astype(r.dtype))
