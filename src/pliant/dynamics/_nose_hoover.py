"""A chain of Nosé-Hoover thermostats: its state, and its motion while positions stand still."""

from collections.abc import Iterable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.fusion import apart

# Weights of the Suzuki-Yoshida compositions, by their number; their sum is one, and their order 2, 4 and 4.
_OUTER = {1: 1.0, 3: 1 / (2 - 2 ** (1 / 3)), 5: 1 / (4 - 4 ** (1 / 3))}
WEIGHTS = {
    count: [w] * (count // 2) + [1 - (count - 1) * w] + [w] * (count // 2) for count, w in _OUTER.items()
}  # fmt: skip

Links = tuple[Float[Array, ""], ...]


class Thermostatted(eqx.Module):
    r"""A point of the extended phase space.

    **Fields**: `position`, `velocity`, `force` there; `chain`: the velocities of the thermostats, a tuple of numbers
    (1/time), the one next to the particles first; `bath`: what the bath has taken up, $N_f \xi_1 + \sum_{j>1} \xi_j$, in
    units of kT.
    """

    position: Float[Array, "*shape"]
    velocity: Float[Array, "*shape"]
    force: Float[Array, "*shape"] | None
    chain: Links
    bath: Float[Array, ""]


class Chain(eqx.Module):
    r"""Thermostats of masses $Q_1 = N_f kT \tau^2$ and $Q_j = kT \tau^2$.

    In these masses kT cancels from the motion: with the heat $K = \sum m v^2 / (N_f kT)$, one at its mean,

    $$ \dot v_1 = (K - 1) / \tau^2 - v_1 v_2, \quad \dot v_2 = N_f v_1^2 - 1 / \tau^2 - v_2 v_3, \quad
       \dot v_j = v_{j-1}^2 - 1 / \tau^2 - v_j v_{j+1}, \quad \dot K = -2 v_1 K. $$

    **Fields**: `freedoms`: the number $N_f$ of degrees of freedom; `rate`: $1/\tau^2$.
    """

    freedoms: Any
    rate: Any

    def drive(self, heat: Array, chain: Sequence[Array], link: int) -> Array:
        """What drives a thermostat: the heat of the one before it, or of the particles, less its mean."""
        if link == 0:
            return (heat - 1) * self.rate
        freedoms = self.freedoms if link == 1 else 1.0
        return freedoms * chain[link - 1] ** 2 - self.rate

    def uptake(self, chain: Sequence[Array]) -> Array:
        """The heat that the bath takes up per unit of time, in units of kT."""
        return sum(chain[1:], start=self.freedoms * chain[0])

    def advance(self, heat: Array, chain: Links, bath: Array, times: Sequence[Any]) -> tuple[Array, Links, Array]:
        """The factor of the particles' velocities, the chain and the bath after consecutive `times`.

        Each time is a palindrome of exact parts, so that minus the times in their reversed order undo it.
        """
        factor = jnp.ones_like(heat)
        outwards = range(len(chain))
        for time in times:
            chain = self._kick(heat * factor**2, chain, time, outwards[::-1])
            factor = factor * jnp.exp(-time * chain[0])
            bath = bath + time * self.uptake(chain)
            chain = self._kick(heat * factor**2, chain, time, outwards)
        return factor, chain, bath

    def _kick(self, heat: Array, chain: Links, time: Any, links: Iterable[int]) -> Links:
        """Half a time's kick of every link: half its damping by the link after it, the drive, the other half."""
        v = list(chain)
        for link in links:
            damping = jnp.exp(-0.25 * time * v[link + 1]) if link + 1 < len(v) else 1.0
            v[link] = apart((v[link] * damping + 0.5 * time * self.drive(heat, v, link)) * damping)
        return tuple(v)


def substeps(time: Any, suzuki_yoshida: int, respa: int) -> list[Any]:
    """The times of a composition of `suzuki_yoshida` weights, repeated `respa` times over equal parts of `time`."""
    return [weight * time / respa for weight in WEIGHTS[suzuki_yoshida]] * respa
