"""Walks that go one way or the other, with a chance that depends on where they are."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.laws import Step
from pliant.core.observable import as_function
from pliant.core.trees import stop_gradient
from pliant.dynamics._choosing import Choosing
from pliant.dynamics._shared import Position, as_position


def _restoring(position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Towards the origin, as Ehrenfest's urn."""
    return 1 / (1 + jnp.exp(position))


class LatticeWalk(Choosing):
    r"""A walk $x' = x + a$ with probability $p(x)$ and $x' = x + b$ otherwise, every coordinate on its own.

    **Arguments**: `chance`: a callable `p(x)`, elementwise, whose arrays are the parameters; values are cut to [0, 1];
    `x0`: where every replica starts, any shape; `up` $a$ and `down` $b$: what is added. With `down=0` it counts: hits of a
    detector, failures of a machine.

    The step compares the declared uniform with p: a discrete draw, at which pathwise gradients see nothing and the verdict
    says so. The path density is that of the choices, $\prod p^{[a]} (1 - p)^{[b]}$; the two displacements and the start
    move the lattice itself, so that no path density exists in them.

    Cost: one uniform and one chance a coordinate and step.

    **Raises** ValueError where `chance` is not callable.

    Source: Pearson, Nature 72, 294 (1905); Arya, Schauer, Schäfer and Rackauckas, NeurIPS (2022), sec. 4, for walks as a
    benchmark of derivatives.
    """

    chance: Callable = _restoring
    x0: Float[Array, "*shape"] = eqx.field(converter=as_position, default=None)  # pyright: ignore[reportAssignmentType]
    up: Any = 1.0
    down: Any = -1.0

    def __check_init__(self) -> None:
        if not callable(self.chance):
            raise ValueError(f"Argument `chance` must be a function of positions, but it was {self.chance!r}.")

    def step(self, state: Position, noise: Array, t: Step) -> Position:
        rises = noise < self._chance(state.position)
        return Position(state.position + jnp.where(rises, self.up, self.down))

    def path_step(
        self, memory: PyTree, state: Position, noise: Array, next_state: Position, t: Step
    ) -> tuple[PyTree, Float[Array, ""]]:
        chance = self._chance(state.position)
        taken = jnp.where(noise < stop_gradient(chance), chance, 1 - chance)
        return memory, jnp.sum(jnp.log(taken))

    @property
    def path_singular(self) -> tuple[str, ...]:
        return ("x0", "up", "down")

    def _chance(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.clip(as_function(self.chance)(None, position), 0, 1)
