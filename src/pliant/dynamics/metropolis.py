"""Metropolis chains: proposals, each accepted or rejected so that the Boltzmann density is kept exactly."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from pliant.core.laws import HasPathDensity, HasStationaryDensity, Step
from pliant.core.noise import Normal, Uniform
from pliant.core.potential import force
from pliant.core.trees import stop_gradient
from pliant.core.validate import one_of, positive
from pliant.dynamics._shared import InPotential, Position, as_position, unit_harmonic

_PROPOSALS = ("random_walk", "mala")
_RULES = ("metropolis", "barker")
# A rejected move has a log ratio below zero; this keeps the branch that is not taken away from log(0).
_NO_REJECTION = -1.0


class Metropolis(InPotential, HasPathDensity, HasStationaryDensity):
    r"""A Markov chain that samples $\pi \propto e^{-U/kT}$ exactly, by proposals $y \sim q(\cdot \mid x)$ and an accept step.

    **Arguments**: `potential`: a callable `U(position)`; `x0`: where every replica starts, any shape; `kT`; `scale`
    $\sigma$: the standard deviation of a proposal, a length, scalar or an array that broadcasts to positions; positive.
    `proposal`:

    - "random_walk": $y = x + \sigma R$;
    - "mala" (Metropolis-adjusted Langevin algorithm): $y = x + \frac{\sigma^2}{2} F(x)/kT + \sigma R$.

    `acceptance`, with the ratio $r = \pi(y) q(x|y) / \pi(x) q(y|x)$: "metropolis", $\alpha = \min(1, r)$, which accepts
    most; "barker", $\alpha = r / (1 + r)$. All coordinates are moved and accepted together. A proposal without a finite
    energy is rejected.

    The accept step is a discrete draw: a step jumps as a function of state and parameters, pathwise gradients miss the
    jumps, and the verdict says so. The path density is that of the chain with its proposals, rejected ones too:
    $q(y|x)\,\alpha$ for an accepted move and $q(y|x)\,(1 - \alpha)$ for a rejected one. Its score is unbiased. Under the
    Metropolis rule a parameter that changes the sign of $\log r$ has $\partial \log(1 - \alpha) \sim 1/\log r$, whose
    variance diverges logarithmically (not so for kT, nor for a factor of the whole energy): use "barker" for path
    weights, whose score is bounded by that of log r. No time step, no error of one: stationary averages are exact.

    Cost: two energies a step, and two forces for "mala".

    **Raises** ValueError for kT or scale that are not positive, or an unknown name.

    Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953); Hastings, Biometrika 57, 97 (1970); Barker, Aust. J. Phys.
    18, 119 (1965); Roberts and Tweedie, Bernoulli 2, 341 (1996), for MALA.
    """

    potential: Callable = unit_harmonic
    x0: Float[Array, "*shape"] = eqx.field(converter=as_position, default=None)  # pyright: ignore[reportAssignmentType]
    kT: Any = 1.0
    scale: Any = 1.0
    proposal: str = eqx.field(static=True, default="random_walk")
    acceptance: str = eqx.field(static=True, default="metropolis")

    def __check_init__(self) -> None:
        for name in ("kT", "scale"):
            positive(name, getattr(self, name))
        for name, known in (("proposal", _PROPOSALS), ("acceptance", _RULES)):
            one_of(name, getattr(self, name), known)

    @property
    def noise(self) -> tuple[Normal, Uniform]:
        return Normal(self.x0.shape), Uniform()

    @property
    def jumps(self) -> bool:
        return True

    def init(self, key: PRNGKeyArray) -> Position:
        return Position(self.x0)

    def step(self, state: Position, noise: tuple[Array, Array], t: Step) -> Position:
        normal, uniform = noise
        proposed = self._mean(state.position) + self.scale * normal
        accepted = jnp.log(uniform) < self._log_chances(state.position, proposed)[0]
        return Position(jnp.where(accepted, proposed, state.position))

    def log_density(self, state: Position) -> Float[Array, ""]:
        return -self.potential(state.position) / self.kT

    @property
    def stationary_measure(self) -> str:
        return "the chain's own invariant density, which its samples have exactly"

    def path_step(
        self, memory: PyTree, state: Position, noise: tuple[Array, Array], next_state: Position, t: Step
    ) -> tuple[PyTree, Float[Array, ""]]:
        held = stop_gradient(self)
        # A rejected proposal is part of the path, though no state holds it: the noise tells which it was.
        proposed = held._mean(state.position) + held.scale * noise[0]
        accepted = jnp.any(next_state.position != state.position)
        taken, refused = self._log_chances(state.position, proposed, ~accepted)
        chance = jnp.where(accepted, taken, refused)
        return memory, self._log_proposal(state.position, proposed) + chance

    @property
    def path_singular(self) -> tuple[str, ...]:
        return ("x0",)

    def _mean(self, position: Array) -> Array:
        """Where proposals are centred."""
        if self.proposal == "random_walk":
            return position
        return position + 0.5 * self.scale**2 / self.kT * force(self.potential, position)

    def _log_proposal(self, position: Array, proposed: Array) -> Float[Array, ""]:
        """The log of q(proposed | position), up to a constant."""
        scale = jnp.broadcast_to(self.scale, position.shape)
        return -jnp.sum(0.5 * ((proposed - self._mean(position)) / scale) ** 2 + jnp.log(scale))

    def _log_ratio(self, position: Array, proposed: Array) -> Float[Array, ""]:
        ratio = (self.potential(position) - self.potential(proposed)) / self.kT
        if self.proposal == "mala":
            ratio = ratio + self._log_proposal(proposed, position) - self._log_proposal(position, proposed)
        return jnp.where(jnp.isnan(ratio), -jnp.inf, ratio)

    def _log_chances(
        self, position: Array, proposed: Array, rejected: Bool[Array, ""] | bool = False
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The logs of the chances to accept and, where the move was `rejected`, to reject."""
        ratio = self._log_ratio(position, proposed)
        if self.acceptance == "barker":
            return jax.nn.log_sigmoid(ratio), jax.nn.log_sigmoid(-ratio)
        below = jnp.where(rejected, ratio, _NO_REJECTION)
        return jnp.minimum(ratio, 0.0), jnp.log(-jnp.expm1(below))
