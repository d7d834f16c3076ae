"""A stationary average whose velocities are integrated out."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.errors import NotApplicable
from pliant.core.laws import Evolve, HasStationaryDensity, State, Step
from pliant.core.observable import Additive
from pliant.observables._quadrature import MOST_NODES, check_nodes, normal_rule
from pliant.observables.final import Final
from pliant.observables.time_average import TimeAverage


class VelocityAveraged(Additive):
    r"""The Rao-Blackwellised form of a stationary average: $E_v[f(x, v)]$ over Maxwell-Boltzmann velocities, then over x.

    **Arguments**: `observable`: a `TimeAverage` or `Final`, or a function of the state (and of the law) for a time average;
    `nodes` per velocity: with n velocities $nodes^n$ values of f are made, at most 4096.

    At equilibrium velocities are independent of positions, with variance kT / m: integrating them out keeps the average and
    never adds variance. Derivatives by kT and m are taken of the velocities' density at fixed nodes, so that f may jump in
    v; the lattice of nodes goes through the velocity at hand, so that jumps are met right on average. Valid for stationary
    averages alone: estimators of finite times are refused; `expectation` is right after burn-in.
    The velocities are those of the exact density, not those of the scheme, which are off by O(dt^2). A law without
    velocities (overdamped) has nothing to integrate out: f is taken as it is.

    Requires `HasStationaryDensity`, `kT` and `mass`.

    **Raises** ValueError for other observables, `NotApplicable` for laws that do not fit.

    Source: Casella and Robert, Biometrika 83, 81 (1996), for Rao-Blackwellisation; Tuckerman, Statistical Mechanics (2010),
    section 4.3, for the factor of the velocities.
    """

    observable: Additive
    nodes: int = eqx.field(static=True)

    def __init__(self, observable: Additive | Callable | None = None, nodes: int = 16):
        self.observable = _as_average(observable)
        self.nodes = nodes

    def __check_init__(self) -> None:
        check_nodes(self.nodes)

    def refusal(self, estimator: Any) -> str | None:
        if estimator.stationary:
            return None
        return (
            "velocities are Maxwell-Boltzmann at the stationary state alone; use Reweighting, or the observable inside."
        )

    def at_horizon(self, horizon: int) -> "VelocityAveraged":
        return dataclasses.replace(self, observable=self.observable.at_horizon(horizon))

    def for_one_state(self) -> "VelocityAveraged":
        return dataclasses.replace(self, observable=self.observable.for_one_state())

    @property
    def spread(self) -> int:
        return self.observable.spread

    def weight(self, t: Step) -> Float[Array, ""] | float:
        return self.observable.weight(t)

    def term(self, law: Any, state: State) -> Float[Array, "*shape"]:
        if not hasattr(state, "velocity"):
            return self.observable.term(law, state)
        _refuse(law, state.velocity.size, self.nodes)
        variance = _variance(law, state.velocity)
        velocities, masses = self._lattice(state.velocity, jax.lax.stop_gradient(jnp.sqrt(variance)))

        def at(velocity: Array) -> tuple[Array, Array]:
            log_density = -0.5 * jnp.sum(velocity**2 / variance + jnp.log(variance))
            value = self.observable.term(law, eqx.tree_at(lambda state: state.velocity, state, velocity))
            # One, with the derivative of the logarithm.
            return value, jnp.exp(log_density - jax.lax.stop_gradient(log_density))

        values, ratios = jax.vmap(at)(velocities)
        return jnp.tensordot((masses * ratios).astype(values.dtype), values, axes=1)

    def _lattice(self, velocity: Array, spread: Array) -> tuple[Float[Array, "n *shape"], Float[Array, " n"]]:
        """Velocities on a lattice through the one at hand, and weights that sum to one.

        Over the velocities that the trajectory visits the lattice takes every place: at a jump of f it is right on average.
        """
        grid, _ = normal_rule(self.nodes, velocity.size)
        spacing = grid[1, -1] - grid[0, -1]
        own = (velocity / spread).ravel()
        places = grid + own - spacing * jnp.round(own / spacing)
        weights = jax.nn.softmax(-0.5 * jnp.sum(places**2, axis=1))
        velocities = spread * places.reshape(-1, *velocity.shape)
        return velocities.astype(velocity.dtype), weights


def _as_average(observable: Any) -> Additive:
    if isinstance(observable, TimeAverage | Final):
        return observable
    if observable is None or (callable(observable) and not isinstance(observable, type)):
        return TimeAverage() if observable is None else TimeAverage(observable)
    raise ValueError(
        f"Argument `observable` must be a TimeAverage, a Final or a function of the state, but it was {observable!r}."
    )


def _variance(law: Any, velocity: Array) -> Array:
    """kT / m for every velocity; a mass of shape (n,) stands for n particles."""
    ratio = jnp.asarray(law.kT / law.mass)
    return jnp.broadcast_to(
        ratio.reshape(ratio.shape + (1,) * (velocity.ndim - ratio.ndim) * (ratio.ndim > 0)), velocity.shape
    )


def _refuse(law: Evolve, count: int, nodes: int) -> None:
    name, reason = type(law).__name__, law.refusal(HasStationaryDensity)
    if reason is not None:
        raise NotApplicable(f"`VelocityAveraged` needs `HasStationaryDensity`, but {reason}")
    if not (hasattr(law, "kT") and hasattr(law, "mass")):
        raise NotApplicable(f"`VelocityAveraged` needs the fields kT and mass, which {name} lacks; use TimeAverage.")
    if nodes**count > MOST_NODES:
        raise NotApplicable(
            f"`VelocityAveraged` integrates over the {count} velocities of {name}: {nodes}^{count} nodes are more than "
            f"{MOST_NODES}; use fewer nodes (at least 4), or TimeAverage."
        )
