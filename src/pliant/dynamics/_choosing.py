"""What laws have in common whose steps choose, by one uniform a coordinate, where to go."""

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from pliant.core.laws import HasPathDensity
from pliant.core.noise import Uniform
from pliant.dynamics._shared import Position


class Choosing(HasPathDensity):
    """A law of positions from `x0` on, every coordinate on its own, whose path density is that of its choices."""

    x0: eqx.AbstractVar[Float[Array, "*shape"]]

    @property
    def noise(self) -> Uniform:
        return Uniform(self.x0.shape)

    @property
    def jumps(self) -> bool:
        return True

    def init(self, key: PRNGKeyArray) -> Position:
        return Position(self.x0)
