"""Lennard-Jones particles: a free or confined cluster, or a fluid in a periodic box."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pliant.core.geometry import safe_norm
from pliant.core.potential import Potential
from pliant.potentials._pairs import Rows, displacements, same_particle, squared_distances, total_force
from pliant.potentials._parameters import in_precision_of, parameter


class LennardJones(Potential):
    """n identical particles, U = sum over pairs of 4 epsilon ((sigma/r)^12 - (sigma/r)^6), positions of shape (n, 3).

    Without a box it is a cluster of any number of particles; the minima of 13 and 55 are the Mackay icosahedra, at
    -44.3268 and -279.2485 epsilon. A hot cluster evaporates, and then nothing about it is stationary: confine it. With
    a box it is a fluid, each pair interacting through its nearest image.

    The wall of a confined cluster is fixed in space, about the origin, and not about the centre of mass: only then
    does the Boltzmann weight have a finite integral, so that positions have a stationary density to sample. The price
    is that momentum is not conserved while a particle touches the wall.

    Without `switch` the energy of a pair jumps at the cut-off, and pathwise gradients miss the jump; with it, energy,
    force and its first derivative are continuous. All n^2 pairs are computed, without neighbour lists, which on a CPU
    is the fastest up to several hundred particles. The energy is infinite where two particles coincide.

    Source: Jones, Proc. R. Soc. A 106, 463 (1924); for cut-off, switch and tail, Allen and Tildesley, Computer
    Simulation of Liquids (Oxford, 2017), sections 1.6 and 2.8.

    Parameters
    ----------
    epsilon, sigma
        Depth of the well and the distance at which the energy crosses zero.
    box
        Edge lengths of an orthorhombic periodic box, shape (3,); needs `cutoff`. An array, so a parameter.
    cutoff
        Distance beyond which pairs do not interact, at most half of the shortest edge.
    switch
        Distance at which the energy starts to be brought to zero, over [switch, cutoff], by the quintic
        1 - 6 x^5 + 15 x^4 - 10 x^3.
    tail_correction
        Add the energy of all that cut-off and switch leave out, for a uniform fluid. It does not depend on the
        positions, but it does on epsilon, sigma and the box.
    confinement
        Radius about the origin outside which a particle is pulled back by a harmonic wall.
    wall_stiffness
        Stiffness of that wall, an energy per length squared.
    """

    epsilon: Float[Array, ""] | float = parameter(1.0)
    sigma: Float[Array, ""] | float = parameter(1.0)
    box: Float[Array, "3"] | None = None
    cutoff: float | None = eqx.field(static=True, default=None)
    switch: float | None = eqx.field(static=True, default=None)
    tail_correction: bool = eqx.field(static=True, default=False)
    confinement: Float[Array, ""] | float | None = None
    wall_stiffness: Float[Array, ""] | float = 100.0

    def __check_init__(self):
        _check_ranges(self)
        _check_box(self)

    @property
    def example_position(self) -> Float[Array, "3 3"]:
        return jnp.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [0.5, 1.0, 0.1]])

    def __call__(self, position: Float[Array, "n 3"]) -> Float[Array, ""]:
        """The energy."""
        fluid = in_precision_of(position, self)
        square, interacting = fluid._pairs(displacements(position.T, fluid.box))
        energy = jnp.sum(jnp.where(interacting, fluid._pair_energy(square), 0)) / 2
        return energy + fluid._wall_energy(position) + fluid._tail_energy(position)

    def force(self, position: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        """The force, in closed form."""
        fluid = in_precision_of(position, self)
        rows = displacements(position.T, fluid.box)
        square, interacting = fluid._pairs(rows)
        radial = jnp.where(interacting, fluid._pair_radial(square), 0)
        force = _cluster_force(radial, position) if fluid.box is None else total_force(radial, rows).T
        return force + fluid._wall_force(position)

    def _pairs(self, rows: Rows) -> tuple[Array, Array]:
        """Squared distances, one for a particle with itself, and which pairs interact."""
        same = same_particle(len(rows[0]))
        square = jnp.where(same, 1, squared_distances(rows))
        return square, ~same if self.cutoff is None else ~same & (square < self.cutoff**2)

    def _pair_energy(self, square: Float[Array, "*pairs"]) -> Float[Array, "*pairs"]:
        energy = self._lennard_jones(square)
        if self.switch is None or self.cutoff is None:
            return energy
        return energy * _switching(jnp.sqrt(square), self.switch, self.cutoff)[0]

    def _lennard_jones(self, square: Float[Array, "*pairs"]) -> Float[Array, "*pairs"]:
        sixth = (self.sigma**2 / square) ** 3
        return 4 * self.epsilon * (sixth**2 - sixth)

    def _pair_radial(self, square: Float[Array, "*pairs"]) -> Float[Array, "*pairs"]:
        """Minus the slope of the pair energy over the distance."""
        inverse = 1 / square
        sixth = (self.sigma**2 * inverse) ** 3
        radial = 24 * self.epsilon * (2 * sixth**2 - sixth) * inverse
        if self.switch is None or self.cutoff is None:
            return radial
        distance = jnp.sqrt(square)
        value, slope = _switching(distance, self.switch, self.cutoff)
        return radial * value - self._lennard_jones(square) * slope / distance

    def _wall_energy(self, position: Float[Array, "n 3"]) -> Float[Array, ""] | float:
        if self.confinement is None:
            return 0.0
        excess = jnp.maximum(safe_norm(position) - self.confinement, 0)
        return self.wall_stiffness * jnp.sum(excess**2) / 2

    def _wall_force(self, position: Float[Array, "n 3"]) -> Float[Array, "n 3"] | float:
        if self.confinement is None:
            return 0.0
        radius = safe_norm(position)[:, None]
        excess = jnp.maximum(radius - self.confinement, 0)
        return -self.wall_stiffness * excess / jnp.where(radius == 0, 1, radius) * position

    def _tail_energy(self, position: Float[Array, "n 3"]) -> Float[Array, ""] | float:
        """Energy of n^2/2 pairs spread uniformly: beyond the cut-off, and what the switch removes before it."""
        if not self.tail_correction or self.box is None or self.cutoff is None:
            return 0.0
        third = (self.sigma / self.cutoff) ** 3
        left_out = 4 * self.epsilon * self.sigma**3 * (third**3 / 9 - third / 3)
        if self.switch is not None:
            left_out = left_out + self._switched_off(self.switch, self.cutoff, position.dtype)
        return 2 * jnp.pi * len(position) ** 2 / jnp.prod(self.box) * left_out

    def _switched_off(self, start: float, end: float, dtype: DTypeLike) -> Float[Array, ""]:
        """Integral of (1 - switching) U r^2; 32 Gauss-Legendre points reach rounding for so smooth an integrand."""
        nodes, weights = np.polynomial.legendre.leggauss(32)
        distance = jnp.asarray((start + end) / 2 + (end - start) / 2 * nodes, dtype)
        removed = (1 - _switching(distance, start, end)[0]) * self._lennard_jones(distance**2) * distance**2
        return jnp.sum(jnp.asarray(weights, dtype) * removed) * (end - start) / 2


def _switching(distance: Array, start: float, end: float) -> tuple[Array, Array]:
    """The switching function and its slope."""
    x = jnp.clip((distance - start) / (end - start), 0, 1)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2), -30 * x**2 * (1 - x) ** 2 / (end - start)


def _cluster_force(radial: Float[Array, "n n"], position: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    # The sum over j of radial_ij (x_i - x_j) as one matrix product, a row of ones for the sum of radial_ij; about the
    # centre, so that a cluster far from the origin loses no digits.
    centred = (position - jnp.mean(position, axis=0)).T
    sums = jnp.concatenate([centred, jnp.ones_like(centred[:1])]) @ radial
    return (centred * sums[3] - sums[:3]).T


def _check_ranges(fluid: LennardJones) -> None:
    for name in ("cutoff", "switch", "confinement", "wall_stiffness"):
        value = getattr(fluid, name)
        if isinstance(value, int | float) and not 0 < value < np.inf:
            raise ValueError(f"Argument `{name}` must be positive and finite, but it was {value}.")
    if fluid.switch is not None and (fluid.cutoff is None or fluid.switch >= fluid.cutoff):
        raise ValueError(
            f"Argument `switch` must be less than `cutoff`, but they were {fluid.switch} and {fluid.cutoff}. "
            "Pass the distance at which switching starts, for instance 0.9 * cutoff."
        )
    if fluid.tail_correction and fluid.box is None:
        raise ValueError("Argument `tail_correction` must be False without a `box`: a cluster has no uniform tail.")


def _check_box(fluid: LennardJones) -> None:
    if fluid.box is None:
        return
    if not eqx.is_array_like(fluid.box) or jnp.shape(fluid.box) != (3,):
        raise ValueError(
            "Argument `box` must have shape (3,), one edge length for each axis, "
            f"but it had shape {jnp.shape(fluid.box)}."
        )
    if fluid.cutoff is None:
        raise ValueError(
            "Argument `cutoff` must be given with a `box`, but it was None: beyond half of the shortest edge a pair "
            "would jump between images. Pass at most half of the shortest edge."
        )
    if not isinstance(fluid.box, Tracer) and 2 * fluid.cutoff > float(jnp.min(fluid.box)):
        raise ValueError(
            f"Argument `cutoff` must be at most half of the shortest edge of `box`, but it was {fluid.cutoff} "
            f"and the edge {float(jnp.min(fluid.box))}. Enlarge the box or shorten the cut-off."
        )
