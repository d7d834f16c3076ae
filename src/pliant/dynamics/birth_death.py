"""Numbers that grow and shrink by one: populations, queues, chemical reactions."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.laws import Step
from pliant.core.trees import stop_gradient
from pliant.core.validate import positive
from pliant.dynamics._choosing import Choosing
from pliant.dynamics._shared import Position, as_position


class BirthDeath(Choosing):
    r"""A number n that grows at the rate $\lambda$ and shrinks at the rate $\mu \min(n, c)$, in steps of dt.

    In a step one is born with probability $\lambda\,dt$, else one dies with probability $\mu \min(n, c)\,dt$, else
    nothing happens: the continuous chain seen at the ticks of a clock. Its stationary law is that of the continuous chain,
    whatever dt; transients are off by O(dt).

    **Arguments**: `birth` $\lambda$, `death` $\mu$: rates, positive; `x0`: the number of every replica at the start, any shape,
    every one on its own; `dt`; `servers` c: how many die at once: None is without bound (a population, Poisson with mean
    $\lambda / \mu$), 1 the queue M/M/1, c the queue M/M/c.

    Both events compare one declared uniform with chances: discrete draws, at which pathwise gradients see nothing and the
    verdict says so. The path density is that of the events. Valid while $(\lambda + \mu \min(n, c))\,dt \le 1$, which
    limits dt.

    Cost: one uniform a step.

    **Raises** ValueError for rates or a dt that are not positive.

    Source: Gillespie, J. Comput. Phys. 22, 403 (1976); Jensen, Skand. Aktuarietidskr. 36, 87 (1953), for the ticks.
    """

    birth: Any = 1.0
    death: Any = 1.0
    x0: Float[Array, "*shape"] = eqx.field(converter=as_position, default=None)  # pyright: ignore[reportAssignmentType]
    dt: Any = 0.05
    servers: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        for name in ("birth", "death", "dt"):
            positive(name, getattr(self, name))

    def step(self, state: Position, noise: Array, t: Step) -> Position:
        born, died = self._chances(state.position)
        # Births where the uniform is small, deaths where it is large.
        fewer = jnp.where(noise > 1 - died, state.position - 1, state.position)
        return Position(jnp.where(noise < born, state.position + 1, fewer))

    def path_step(
        self, memory: PyTree, state: Position, noise: Array, next_state: Position, t: Step
    ) -> tuple[PyTree, Float[Array, ""]]:
        born, died = self._chances(state.position)
        held = stop_gradient((born, died))
        nothing = 1 - born - died
        happened = jnp.where(noise < held[0], born, jnp.where(noise > 1 - held[1], died, nothing))
        return memory, jnp.sum(jnp.log(happened))

    @property
    def path_singular(self) -> tuple[str, ...]:
        return ("x0",)

    def step_limit(self, state: Position) -> Float[Array, ""]:
        return 1 / jnp.max(self.birth + self.death * self._at_work(state.position))

    @property
    def step_limit_name(self) -> str:
        return "1 / the sum of the rates"

    def _chances(self, number: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """Of a birth and of a death in one step."""
        born = jnp.broadcast_to(jnp.minimum(self.birth * self.dt, 1.0), number.shape)
        return born, jnp.minimum(self.death * self.dt * self._at_work(number), 1 - born)

    def _at_work(self, number: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return number if self.servers is None else jnp.minimum(number, self.servers)
