r"""Least-squares shadowing in full: the whole trajectory's tangent and dilation of time in one least-squares problem.

Minimise $\frac12 \sum_k |v_k|^2 + \frac{\alpha^2}{2} \sum_k \eta_k^2$ subject to
$v_{k+1} = A_k v_k + b_k + \eta_k \varphi_{k+1}$, with the step's Jacobian A, its derivative b along the direction in
parameter space and the displacement $\varphi = h f$ of a step. The multipliers of the constraints obey a symmetric positive
definite block-tridiagonal system with the blocks $A_k A_k^T + 1 + \varphi \varphi^T / \alpha^2$, and
$v_k = A_k^T \lambda_k - \lambda_{k-1}$, $\eta_k = \varphi_{k+1} \cdot \lambda_k / \alpha^2$.

Source: Wang, Hu and Blonigan, J. Comput. Phys. 267, 210 (2014), equations 17 to 24.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pliant.core.estimator import Problem
from pliant.core.laws import State
from pliant.core.rollout import Rollout
from pliant.estimators import _tridiagonal

# The price of dilating time, in displacements of a step: low, so that tangents stay across the flow.
_PRICE = 0.1


def shadow(
    problem: Problem, rollout: Rollout, direction: PyTree
) -> tuple[Float[Array, " o"], Float[Array, "steps1 n"], Float[Array, " steps"]]:
    """The derivative of the time average along `direction`, the tangents of all states, the dilations of all steps."""
    law = problem.law()
    states, unravel = _path(law, rollout)
    times = jnp.arange(rollout.horizon)

    def step(parameters: PyTree, x: Array, t: Array) -> Array:
        return ravel_pytree(problem.law(parameters).step(unravel(x), law.noise, t))[0]

    def forced(x: Array, t: Array) -> Array:
        return jax.jvp(lambda p: step(p, x, t), (problem.parameters,), (direction,))[1]

    def flow(x: Array, t: Array) -> Array:
        return (law.time(t) - law.time(t - 1)) * ravel_pytree(law.drift(unravel(x), t))[0]

    jacobians = jax.vmap(jax.jacfwd(lambda x, t: step(problem.parameters, x, t)))(states[:-1], times)
    tangents, dilations = _least_squares(
        jacobians, jax.vmap(forced)(states[:-1], times), jax.vmap(flow)(states[1:], times + 1)
    )
    return _average(problem, unravel, states, tangents, dilations, direction), tangents, dilations


def _path(law: Any, rollout: Rollout) -> tuple[Float[Array, "steps1 n"], Any]:
    """All states of the trajectory as rows, and what makes a state of a row."""

    def start(law: Any, state: State) -> Array:
        x, _ = ravel_pytree(state)
        return jnp.zeros((rollout.horizon + 1, x.size), x.dtype).at[0].set(x)

    def update(rows: Array, law: Any, state: State, noise: PyTree, after: State, t: Any) -> Array:
        return rows.at[t + 1].set(ravel_pytree(after)[0])

    return rollout.fold(law, start, update), ravel_pytree(law.init(rollout.key))[1]


def _least_squares(
    jacobians: Float[Array, "k n n"], forcing: Float[Array, "k n"], flows: Float[Array, "k n"]
) -> tuple[Float[Array, "k1 n"], Float[Array, " k"]]:
    """Tangents of all states and dilations of all steps."""
    price = _PRICE**2 * jnp.mean(jnp.sum(flows**2, axis=1))
    transposed = jnp.swapaxes(jacobians, 1, 2)
    along = flows[:, :, None] * flows[:, None, :] / price
    diagonal = jacobians @ transposed + jnp.eye(forcing.shape[1], dtype=forcing.dtype) + along
    upper = jnp.concatenate([-transposed[1:], jnp.zeros_like(transposed[:1])])
    multipliers = _tridiagonal.solve(diagonal, upper, -forcing)
    nothing = jnp.zeros_like(forcing[:1])
    pulled = jnp.einsum("kij,kj->ki", transposed, multipliers)
    tangents = jnp.concatenate([pulled, nothing]) - jnp.concatenate([nothing, multipliers])
    return tangents, jnp.einsum("ki,ki->k", flows, multipliers) / price


def _average(
    problem: Problem, unravel: Any, states: Array, tangents: Array, dilations: Array, direction: PyTree
) -> Float[Array, " o"]:
    """The derivative of the weighted average along tangents, with the dilation of time between two states."""

    def term(parameters: PyTree, x: Array) -> Array:
        return jnp.ravel(problem.observable.term(problem.law(parameters), unravel(x)))

    def moved(x: Array, v: Array) -> tuple[Array, Array]:
        return jax.jvp(term, (problem.parameters, x), (direction, v))

    values, changes = jax.vmap(moved)(states, tangents)
    weights = jnp.broadcast_to(problem.observable.weight(jnp.arange(1, len(states))), dilations.shape).astype(
        values.dtype
    )
    mean = weights @ values[1:] / weights.sum()
    between = 0.5 * (values[1:] + values[:-1]) - mean
    return weights @ (changes[1:] + dilations[:, None] * between)
