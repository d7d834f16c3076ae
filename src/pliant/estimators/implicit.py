"""Implicit differentiation: of the solution of a balance, and of the steady state of an evolution."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx

from pliant.core.contributions import Contribution
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Balance
from pliant.core.observable import Additive
from pliant.core.rollout import Rollout
from pliant.core.validate import one_of, positive, positive_whole
from pliant.estimators import _balance, _galerkin, _poisson_grid, _steady, _window

_METHODS = ("auto", "grid", "galerkin", "window")


class Implicit(Estimator):
    r"""The derivative of a solution or of a steady state, from the equation that it satisfies.

    **Balance** laws: $du/d\theta = -(\partial_u F)^{-1} \partial_\theta F$ at a root of `residual(u)`, or a minimum of
    `energy(u)` ($F = \nabla E$), found by optimistix, then one linear solve by lineax. The solver is not differentiated.

    **Evolve** laws: the stationary average of an additive observable (`TimeAverage`, `Final`), in or out of equilibrium,
    without knowing its density. With the generator L, Poisson's equation $-L \Phi = O - \langle O \rangle$ gives

    $$ \partial_\theta \langle O \rangle = \langle \partial_\theta O \rangle + \langle (\partial_\theta L)\, \Phi \rangle. $$

    `method`:

    - "grid": finite volumes in one or two dimensions (`HasDrift`, noise in every coordinate). Deterministic: it needs
      neither horizon, replicas nor key, and gives the derivative of the continuum's average, without the scheme's error in
      dt. The error bar is the discretisation error that is left after Richardson's extrapolation.
    - "galerkin": up to about ten dimensions, any law with noise whose step can be differentiated. The potential is sought in
      Hermite polynomials of standardised coordinates up to a total degree; averages are taken along the law's own
      trajectories, error bars by the jackknife over replicas. It gives the derivative for the discretised dynamics. The
      change from a basis of lower degree, beyond chance, widens the error bar: by two degrees from the fourth on, by one
      below. Low degrees cannot cross high barriers.
    - "window": any dimension, any law with `HasPathDensity`. The centred likelihood ratio of paths, whose score is summed
      over a window of lags alone, by default six relaxation times of the observable as a pilot run measures them. It
      gives the derivative for the discretised dynamics. What the window cuts off is extrapolated from how the terms decay
      within it, and widens the error bar. Variance in proportion to the window, and to 1/dt for temperature and friction.
    - "auto": "grid" where that can serve, else "window"; the notes of the verdict say why.

    **Arguments**: for balances `tolerance` of the solution, `max_steps` of the solver. For "grid" `cells` along every axis
    (2048 in one dimension, 128 in two; a multiple of four); `box`, ((low, high), ...) with reflecting walls, or around
    which the coordinates wrap where `periodic` (one truth value, or one a coordinate). Without a box one is found whose
    walls the density does not reach, starting from the states of a short run: a well that this run does not see behind a
    wall of density below 1e-12 is missed. For "window" the number of lags, `window`, in steps. For
    "galerkin" the `degree` (by default up to eight, in some 300 functions), and `coordinates(state)` to build the basis
    from (all numbers of the state but a stored force).

    Zero modes (a molecule may drift and turn) make the Jacobian of a balance singular. Its solve is therefore one of least
    squares with minimal norm: the derivative along zero modes is set to zero, which is right for every observable that does
    not see them; where the right-hand side has a part that no solution can match, the verdict says so.

    Cost: a balance of n unknowns O(n^3); a grid of N cells one sparse LU factorisation; a basis of m functions m^2 a step and
    m^3 a replica; a window one derivative of the step's log density a step. Valid at isolated solutions up to
    symmetry; at a fold (where solutions meet) the derivative is infinite.

    **Raises** `NotApplicable` for laws without a steady state that has a density: without noise (an attractor), driven in
    time, or unbounded; and for observables of paths.

    Source: Krantz and Parks, The Implicit Function Theorem (2013); Blondel et al., NeurIPS 2022 (arXiv:2105.15183);
    Pavliotis, Stochastic Processes and Applications (2014), section 9.3, for steady states.
    """

    method: str = eqx.field(static=True, default="auto")
    tolerance: float = eqx.field(static=True, default=1e-8)
    max_steps: int = eqx.field(static=True, default=1000)
    cells: int | None = eqx.field(static=True, default=None)
    box: Any = eqx.field(static=True, default=None)
    periodic: Any = eqx.field(static=True, default=False)
    window: int | None = eqx.field(static=True, default=None)
    degree: int | None = eqx.field(static=True, default=None)
    coordinates: Callable | None = eqx.field(static=True, default=None)
    # What a pilot run has measured; `at_horizon` sets it.
    measured: Any = None
    target: ClassVar[str] = "the derivative of the solution's observable"

    def __check_init__(self) -> None:
        positive("tolerance", self.tolerance)
        one_of("method", self.method, _METHODS)
        if self.cells is not None and positive_whole("cells", self.cells) % 4:
            raise ValueError(
                f"Argument `cells` must be a multiple of 4, whose halves are halved, but it was {self.cells}."
            )
        for name in ("window", "degree"):
            if getattr(self, name) is not None:
                positive_whole(name, getattr(self, name))
        if self.periodic is not False and self.box is None:
            raise ValueError("Argument `box` must be given where `periodic` is, but it was None: it holds the period.")

    def solves(self, problem: Problem) -> bool:
        return isinstance(problem.law(), Balance) or self._chosen(problem)[0] == "grid"

    def check(self, problem: Problem) -> None:
        if not isinstance(problem.observable, Additive):
            raise NotApplicable(
                "`Implicit` needs an observable of one state, but "
                f"{type(problem.observable).__name__} is a functional of whole paths; use `Final(function)` or TimeAverage."
            )
        if isinstance(problem.law(), Balance):
            return
        _steady.check(problem)
        chosen, reason = self._chosen(problem)
        if chosen == "window":
            _window.check(problem)
        elif chosen == "galerkin":
            _galerkin.check(problem, self.degree, self.coordinates)
        elif reason is not None:
            raise NotApplicable(
                f'`Implicit` cannot solve for this steady state on a grid: {reason}; use method="window" or "auto".'
            )

    def _chosen(self, problem: Problem) -> tuple[str, str | None]:
        """The method, and why the grid cannot serve."""
        if self.method in ("galerkin", "window"):
            return self.method, None
        reason = _poisson_grid.refusal(problem, self.box, self.method == "auto")
        return ("window" if self.method == "auto" and reason is not None else "grid"), reason

    def describe(self, problem: Problem) -> str:
        if isinstance(problem.law(), Balance):
            return self.target
        chosen, reason = self._chosen(problem)
        if chosen == "grid":
            return (
                "the derivative of the continuum's stationary average, from Poisson's equation on a grid: samples of the "
                "scheme differ by its error in dt"
            )
        because = "" if reason is None else f" (no grid: {reason})"
        how = "Poisson's equation in polynomials" if chosen == "galerkin" else f"a window of path scores{because}"
        return f"the derivative of the discretised dynamics' stationary average, from {how}"

    def at_horizon(self, problem: Problem, horizon: int) -> "Implicit":
        if self.method == "galerkin":
            measured = _galerkin.prepare(problem, horizon, self.degree, self.coordinates)
        else:
            measured = _window.prepare(problem, horizon, self.window)
        return dataclasses.replace(self, measured=measured)

    def for_one_chain(self, problem: Problem) -> "Implicit":
        if self.method == "galerkin":
            return self
        raise NotApplicable(
            "`Implicit` by a window centres path scores on those of other replicas, and one long chain has none; use "
            "replicas >= 2, or Reweighting, which cuts one chain into batches."
        )

    def memory(self, state: int, carry: int, horizon: int) -> float:
        basis = self.measured.functions if self.method == "galerkin" and self.measured is not None else 0
        return super().memory(state, carry, horizon) + 32.0 * basis**2

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        if self.method == "galerkin":
            return _galerkin.replicate(problem, rollout, self.measured)
        return _window.replicate(problem, rollout, *self.measured)

    def solve(self, problem: Problem) -> tuple[Contribution, list[str]]:
        if isinstance(problem.law(), Balance):
            return _balance.solve(problem, self.tolerance, self.max_steps)
        return _poisson_grid.solve(problem, self.cells, self.box, self.periodic)
