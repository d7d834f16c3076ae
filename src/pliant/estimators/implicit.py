"""The implicit function theorem at a balance."""

from collections.abc import Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import optimistix
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Contribution, Direct
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Balance
from pliant.core.observable import Additive
from pliant.core.rollout import Rollout
from pliant.core.trees import stop_gradient
from pliant.core.validate import positive


class Implicit(Estimator):
    r"""The derivative of a solution by the implicit function theorem, $du/d\theta = -(\partial_u F)^{-1} \partial_\theta F$.

    It serves `Balance` laws: a root of `residual(u)`, or a minimum of `energy(u)` ($F = \nabla E$), found by optimistix,
    then one linear solve by lineax, in whichever of forward and reverse mode costs less. The solver is not
    differentiated.

    **Arguments**: `tolerance` of the solution; `max_steps` of the solver.

    Zero modes (a molecule may drift and turn) make the Jacobian singular. The solve is therefore one of least squares
    with minimal norm: the derivative along zero modes is set to zero, which is right for every observable that does not
    see them; where the right-hand side has a part that no solution can match, the verdict says so.

    Cost: a dense Jacobian of n unknowns, O(n^3). Valid at isolated solutions up to symmetry; at a fold (where solutions
    meet) the derivative is infinite.

    Source: Krantz and Parks, The Implicit Function Theorem (2013); Blondel et al., NeurIPS 2022 (arXiv:2105.15183).
    """

    tolerance: float = eqx.field(static=True, default=1e-8)
    max_steps: int = eqx.field(static=True, default=1000)
    target: ClassVar[str] = "the derivative of the solution's observable"

    def __check_init__(self) -> None:
        positive("tolerance", self.tolerance)

    def check(self, problem: Problem) -> None:
        law = problem.law()
        if not isinstance(law, Balance):
            raise NotApplicable(
                f"`Implicit` differentiates the solution of a Balance, but {type(law).__name__} evolves; use Reweighting for "
                "its stationary state, or BPTT for its trajectory."
            )
        if not isinstance(problem.observable, Additive):
            raise NotApplicable("`Implicit` needs an observable of one state; use `Final(function)` of the solution.")

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        raise NotImplementedError("a Balance has no trajectory")

    def solve(self, problem: Problem) -> tuple[Contribution, list[str]]:
        value, gradient, figures = _differentiate(problem, self.tolerance, self.max_steps)
        contribution = Direct(value[None], jax.tree.map(lambda leaf: leaf[None], gradient))
        return contribution, list(_complaints(self.tolerance, *map(float, figures), minimises=problem.law().minimises))


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
