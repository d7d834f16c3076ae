"""The conditional expectation of a final value one step before the end: the last Gaussian step is integrated out."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core.errors import NotApplicable
from pliant.core.laws import Evolve, HasPathDensity, State, Step
from pliant.core.noise import Normal, declared
from pliant.core.observable import Additive, Function, as_function
from pliant.core.trees import inputs_used, state_dtype, stop_gradient
from pliant.observables._quadrature import MOST_NODES, check_nodes, normal_rule
from pliant.observables.final import Final


class Conditioned(Additive):
    r"""$E[f(x_T) \mid x_{T-1}]$, the Rao-Blackwellised form of `Final(f)`: for every estimator, also where f jumps.

    **Arguments**: `observable`: a `Final`, or a function of the state (and of the law); `nodes` per normal number of a
    step: with n numbers $nodes^n$ states are made, at most 4096.

    It has the expectation of `Final(f)`, and a variance, of value and gradient, that is never larger. Where f jumps it is
    smooth all the same: its derivative is taken of the density of the last step, at fixed nodes y,

    $$ \partial_\theta E[f(x_T) \mid x_{T-1}] = \sum_i w_i f(y_i)\, \partial_\theta \log p_\theta(y_i \mid x_{T-1}), $$

    which holds the boundary term that pathwise derivatives miss. Only a jump of f that moves with the law's own parameters
    is missed still; the verdict looks for jumps of functions that take the law.

    The rule is the trapezoidal one in the noise, of spectral accuracy for smooth f. At a jump it is off by a node at a fixed
    $x_{T-1}$; over the spread of $x_{T-1}$ these errors average out, to $e^{-2 \pi^2 r^2}$ with r the standard deviation of
    the last step's mean in units of the nodes' distance, which 0.4 standard deviations of the noise is at 32 nodes.

    Requires a law that puts normal noise on every number of its state and has its path density as a function of two
    consecutive states (`OverdampedLangevin`; not splittings, whose velocities and positions share a noise), and a horizon
    of 2 steps or more. Cost: $nodes^n$ steps and values of f, once (for estimators that weigh additive observables: once a step).

    **Raises** ValueError for another observable or a horizon of one step, `NotApplicable` for laws that do not fit.

    Aliases: conditional Monte Carlo, smoothed perturbation analysis, vibrato Monte Carlo.

    Source: Gong and Ho, IEEE Trans. Autom. Control 32, 858 (1987); Fu and Hu, Conditional Monte Carlo (1997); Giles, in
    Monte Carlo and Quasi-Monte Carlo Methods 2008, 369 (2009), for the density of the last step; Trefethen and Weideman,
    SIAM Rev. 56, 385 (2014), for the rule.
    """

    function: Function
    nodes: int = eqx.field(static=True)
    horizon: int | None = eqx.field(static=True)

    def __init__(self, observable: Final | Callable | None = None, nodes: int = 32, horizon: int | None = None):
        self.function = _function(Final() if observable is None else observable)
        self.nodes = nodes
        self.horizon = horizon

    def __check_init__(self) -> None:
        check_nodes(self.nodes)

    def at_horizon(self, horizon: int) -> "Conditioned":
        if horizon < 2:
            raise ValueError(
                f"Argument `horizon` must be >= 2 steps for Conditioned, which looks at the state before the last, but it "
                f"was {horizon}. Use Final."
            )
        return Conditioned(self.function, self.nodes, horizon)

    def for_one_state(self) -> Final:
        # A convolution with a Gaussian has no jumps; what moves with the law's own parameters is not convolved.
        return Final(self.function if self.function.takes_law else _smooth, 1)

    def weight(self, t: Step) -> Float[Array, ""]:
        return jnp.where(t == self._last, 1.0, 0.0)

    def update(self, carry: Float[Array, "*shape"], law: Evolve, state: State, t: Step) -> Float[Array, "*shape"]:
        now = lambda carry: self.term(law, state).astype(carry.dtype)
        return jax.lax.cond(jnp.asarray(t) == self._last, now, lambda carry: carry, carry)

    def term(self, law: Evolve, state: State) -> Float[Array, "*shape"]:
        noises, weights = self._rule(law, state)
        density = _density(law, state, jax.tree.map(lambda leaf: jnp.zeros_like(leaf[0]), noises))

        def at(noise: PyTree) -> tuple[Array, Array]:
            after = stop_gradient(law.step(state, noise, self._last))
            log_density = density(after, self._last)
            # One, with the derivative of the logarithm.
            return self.function(law, after), jnp.exp(log_density - jax.lax.stop_gradient(log_density))

        values, ratios = jax.vmap(at)(noises)
        return jnp.tensordot((weights * ratios).astype(values.dtype), values, axes=1)

    @property
    def _last(self) -> int:
        """The time at which only one step is to come."""
        return 1 if self.horizon is None else self.horizon - 1

    def _rule(self, law: Evolve, state: State) -> tuple[PyTree, Float[Array, " n"]]:
        """The noise of the last step at every node, and the nodes' weights, which sum to one."""
        declarations = declared(law.noise)
        if not declarations or not all(isinstance(noise, Normal) for noise in declarations):
            raise NotApplicable(
                f"`Conditioned` integrates over normal noise, but {type(law).__name__} draws none or others too; use Final."
            )
        count = sum(noise.size for noise in declarations)
        if self.nodes**count > MOST_NODES:
            raise NotApplicable(
                f"`Conditioned` integrates over the {count} normal numbers of a step of {type(law).__name__}: "
                f"{self.nodes}^{count} nodes are more than {MOST_NODES}; use fewer nodes (at least 4) or Final."
            )
        grid, masses = normal_rule(self.nodes, count)
        dtype, cuts = state_dtype(state), np.cumsum([noise.size for noise in declarations])[:-1]
        parts = np.split(grid, cuts, axis=1)
        leaves = [
            jnp.asarray(p.reshape(-1, *n.shape), n.dtype or dtype) for p, n in zip(parts, declarations, strict=True)
        ]
        structure = jax.tree.structure(law.noise, is_leaf=lambda node: isinstance(node, Normal))
        return jax.tree.unflatten(structure, leaves), jnp.asarray(masses, dtype)


def _function(observable: Any) -> Function:
    if isinstance(observable, Final):
        return observable.function
    if isinstance(observable, Additive) or not callable(observable):
        raise ValueError(
            f"Argument `observable` must be a Final or a function of the state, but it was {observable!r}. Averages over "
            "times have no single last step."
        )
    return as_function(observable)


def _smooth(state: State) -> Float[Array, ""]:
    return jnp.zeros(())


def _density(law: Evolve, state: State, zero: PyTree) -> Callable[[State, Step], Float[Array, ""]]:
    """The log density of the step from `state`, a function of its two states; `NotApplicable` where there is none."""
    reason = law.refusal(HasPathDensity)
    if reason is not None or not isinstance(law, HasPathDensity):
        raise NotApplicable(f"`Conditioned` needs the density of the last step, but {reason}")
    memory, _ = law.path_start(state)
    density = lambda noise, after, t: law.path_step(memory, state, noise, after, t)[1]
    # Rebuilt from the noise, a density is right by the parameters and wrong by the state that it starts from.
    by_noise = any(inputs_used(lambda noise: density(noise, state, 1), zero))
    if jax.tree.leaves(memory) or by_noise or _floats(zero) != _floats(state):
        raise NotApplicable(
            f"`Conditioned` needs a last step whose density is a function of its two states alone, but that of "
            f"{type(law).__name__} moves some of the state without noise, or is made from the noise or the path before; use "
            "Final, or OverdampedLangevin."
        )
    return lambda after, t: density(zero, after, t)


def _floats(tree: PyTree) -> int:
    """How many floating point numbers a tree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating))
