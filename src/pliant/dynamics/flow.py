"""Deterministic flows: any ordinary differential equation at a fixed step."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.laws import HasDrift, Step
from pliant.core.observable import as_function
from pliant.core.validate import positive
from pliant.dynamics._lorenz import LorenzField
from pliant.dynamics._runge_kutta import TABLEAUX, runge_kutta
from pliant.dynamics._shared import Position, as_position


def _start(x0: Any) -> Float[Array, "*shape"]:
    return as_position([1.0, 1.0, 25.0] if x0 is None else x0)


class Flow(HasDrift):
    r"""The flow $\dot x = f(x)$ or $\dot x = f(x, t)$ of a vector field, by a solver at the fixed step dt.

    **Arguments**: `vector_field`: a callable `f(x)` or `f(x, t)`, whose arrays are the parameters (by default Lorenz's,
    with `sigma`, `rho`, `beta`); `x0`: where trajectories start, any shape; `spread`: the standard deviation of a
    Gaussian displacement of each coordinate of the start, replica by replica: without it (0) all replicas are the same;
    `dt`: positive. `solver`:

    - "euler" (order 1), "midpoint", "heun" (2), "rk4" (4);
    - a solver of diffrax, such as `diffrax.Tsit5()`, at the same fixed step (`pip install diffrax`).

    It has no noise, hence neither a path density nor a known stationary one. In chaos the derivative of a trajectory
    grows as $e^{\lambda t}$: pathwise gradients of long averages explode, `Shadowing` does not. Cost: as many
    evaluations of f a step as the solver has stages.

    **Raises** ValueError for a dt that is not positive, a negative spread, an unknown solver.

    Source: Butcher, Numerical Methods for Ordinary Differential Equations (2016), section 23; Kidger, On Neural
    Differential Equations (2022), for diffrax.
    """

    vector_field: Callable = eqx.field(default_factory=LorenzField)
    x0: Float[Array, "*shape"] = eqx.field(converter=_start, default=None)  # pyright: ignore[reportAssignmentType]
    dt: Any = 0.01
    spread: Any = 0.0
    solver: Any = "rk4"

    def __check_init__(self) -> None:
        positive("dt", self.dt)
        if isinstance(self.spread, int | float) and not self.spread >= 0:
            raise ValueError(f"Argument `spread` must be >= 0, but it was {self.spread!r}.")
        if self.solver not in TABLEAUX if isinstance(self.solver, str) else not hasattr(self.solver, "step"):
            raise ValueError(
                f"Argument `solver` must be one of {', '.join(TABLEAUX)}, or a solver of diffrax such as diffrax.Tsit5(), "
                f"but it was {self.solver!r}."
            )

    @property
    def noise(self) -> tuple[()]:
        return ()

    def init(self, key: PRNGKeyArray) -> Position:
        return Position(self.x0 + self.spread * jax.random.normal(key, self.x0.shape, self.x0.dtype))

    def step(self, state: Position, noise: PyTree, t: Step) -> Position:
        if isinstance(self.solver, str):
            step = runge_kutta(TABLEAUX[self.solver], self._rate, state.position, self.time(t), self.dt)
            return Position(step)
        return Position(self._diffrax_step(state.position, self.time(t)))

    def drift(self, state: Position, t: Step) -> Position:
        return Position(self._rate(state.position, self.time(t)))

    def diffusion(self, state: Position, t: Step) -> Position:
        return Position(jnp.zeros_like(state.position))

    def _rate(self, position: Float[Array, "*shape"], time: Any) -> Float[Array, "*shape"]:
        return as_function(self.vector_field)(time, position)

    def _diffrax_step(self, position: Float[Array, "*shape"], time: Any) -> Float[Array, "*shape"]:
        # Imported by name: an optional dependency, there wherever a solver of it is at hand.
        diffrax = importlib.import_module("diffrax")
        terms, after = diffrax.ODETerm(lambda time, x, _: self._rate(x, time)), time + self.dt
        # A plain loop over stages serves both modes of differentiation; diffrax's own default serves reverse mode alone.
        loops = getattr(self.solver, "scan_kind", "lax") is None
        solver = dataclasses.replace(self.solver, scan_kind="lax") if loops else self.solver
        memory = solver.init(terms, time, after, position, None)
        return solver.step(terms, time, after, position, None, memory, False)[0]
