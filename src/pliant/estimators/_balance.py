"""The implicit function theorem at a balance: the solution by optimistix, its derivative by one linear solve."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import optimistix
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Contribution, Direct
from pliant.core.estimator import Problem
from pliant.core.laws import Balance
from pliant.core.trees import stop_gradient


def solve(problem: Problem, tolerance: float, max_steps: int) -> tuple[Contribution, list[str]]:
    """The derivative of the solution's observable, and what speaks against the solution."""
    value, gradient, figures = _differentiate(problem, tolerance, max_steps)
    contribution = Direct(value[None], jax.tree.map(lambda leaf: leaf[None], gradient))
    return contribution, list(_complaints(tolerance, *map(float, figures), minimises=problem.law().minimises))


@eqx.filter_jit
def _differentiate(problem: Problem, tolerance: float, max_steps: int) -> tuple[Array, PyTree, tuple[Array, ...]]:
    fixed: Any = stop_gradient(problem.law())
    solution, unravel = ravel_pytree(_solution(fixed, tolerance, max_steps))
    solution = jax.lax.stop_gradient(solution)

    def residual(parameters: PyTree, u: Float[Array, " n"]) -> Float[Array, " n"]:
        return ravel_pytree(_residual(problem.law(parameters), unravel(u)))[0]

    jacobian = jax.jacfwd(residual, argnums=1)(problem.parameters, solution)
    operator = lineax.MatrixLinearOperator(jax.lax.stop_gradient(jacobian))

    def observe(parameters: PyTree) -> tuple[Array, Array]:
        # One Newton step from the solution: its value is the solution, its derivative the implicit one.
        step = lineax.linear_solve(operator, residual(parameters, solution), lineax.SVD(), throw=False).value
        value = problem.observable.term(problem.law(parameters), unravel(solution - step))
        return value, value

    gradient, value = jax.jacrev(observe, has_aux=True)(problem.parameters)
    figures = _figures(residual, problem.parameters, solution, jacobian, operator)
    return value, gradient, figures


def _solution(law: Balance, tolerance: float, max_steps: int) -> PyTree:
    """The root or the minimum, refined by Newton steps of least squares to round-off."""
    options = {"max_steps": max_steps, "throw": False}
    if law.minimises:
        solver = optimistix.BFGS(rtol=tolerance, atol=tolerance)
        found = optimistix.minimise(lambda u, law: law.energy(u), solver, law.guess(), law, **options).value
    else:
        solver = optimistix.LevenbergMarquardt(rtol=tolerance, atol=tolerance)
        found = optimistix.least_squares(lambda u, law: law.residual(u), solver, law.guess(), law, **options).value
    return _polished(law, found)


def _polished(law: Balance, u: PyTree) -> PyTree:
    flat, unravel = ravel_pytree(u)

    def residual(flat: Array) -> Array:
        return ravel_pytree(_residual(law, unravel(flat)))[0]

    def newton(flat: Array, _: None) -> tuple[Array, None]:
        operator = lineax.MatrixLinearOperator(jax.jacfwd(residual)(flat))
        step = lineax.linear_solve(operator, residual(flat), lineax.SVD(), throw=False).value
        better = flat - step
        improved = jnp.linalg.norm(residual(better)) < jnp.linalg.norm(residual(flat))
        return jnp.where(improved, better, flat), None

    return unravel(jax.lax.scan(newton, flat, length=3)[0])


def _residual(law: Balance, u: PyTree) -> PyTree:
    return jax.grad(law.energy)(u) if law.minimises else law.residual(u)


def _figures(residual: Any, parameters: PyTree, u: Array, jacobian: Array, operator: Any) -> tuple[Array, ...]:
    """What speaks against a solution: see `_complaints`."""

    def solve(b: Array) -> Array:
        return lineax.linear_solve(operator, b, lineax.SVD(), throw=False).value

    forced = jax.tree.leaves(jax.jacfwd(lambda p: residual(p, u))(parameters))
    columns = jnp.concatenate([leaf.reshape(u.size, -1) for leaf in forced], axis=1)
    left = jnp.linalg.norm(jacobian @ jax.vmap(solve, 1, 1)(columns) - columns)
    symmetric = jnp.linalg.norm(jacobian - jacobian.T) <= 1e-6 * jnp.linalg.norm(jacobian)
    lowest = jnp.linalg.eigvalsh((jacobian + jacobian.T) / 2)[0] / jnp.maximum(jnp.linalg.norm(jacobian), 1e-300)
    remains = residual(parameters, u)
    bent = jax.jacfwd(residual, argnums=1)(parameters, u - solve(remains)) - jacobian
    return (
        jnp.linalg.norm(remains),
        jnp.where(symmetric, lowest, 0.0),
        left / jnp.maximum(jnp.linalg.norm(columns), 1e-300),
        jnp.linalg.norm(jax.vmap(solve, 1, 1)(bent)),
    )


def _complaints(
    tolerance: float, residual: float, lowest: float, unmatched: float, bent: float, minimises: bool
) -> Iterator[str]:
    allowed = np.sqrt(tolerance)
    if not residual <= allowed:
        yield (
            f"the solver stopped at a residual of {residual:.2g} > {allowed:.2g}: this is no solution; start from a better "
            "`guess`, or raise `max_steps`."
        )
    if minimises and lowest < -1e-6:
        yield (
            f"the solution is no minimum: the Hessian has an eigenvalue of {lowest:.2g} times its norm; start elsewhere."
        )
    if unmatched > 1e-4:
        yield (
            f"the Jacobian is singular and {unmatched:.1%} of the forcing lies in directions that no change of the "
            "solution can balance: near a fold the derivative is infinite."
        )
    if bent > 1e-3:
        yield (
            f"the Jacobian still turns by {bent:.2g} of itself within the solver's last step: solutions meet here (a fold), "
            "and the derivative is infinite."
        )
