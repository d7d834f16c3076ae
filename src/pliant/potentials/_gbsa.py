"""Implicit solvent: the generalised Born model OBC2 with the ACE surface-area term."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.potentials._pairs import displacements, same_particle, squared_distances, total_force

PROBE_RADIUS = 0.14
"""Radius of a water molecule in nm, as the ACE term takes it."""

OFFSET = 0.009
"""What OBC2 subtracts from every radius, in nm."""

ALPHA, BETA, GAMMA = 1.0, 0.8, 4.85


class OBC2(eqx.Module):
    """The generalised Born energy of Onufriev, Bashford and Case (their second parameter set), without a cut-off.

    Each atom carries an effective (Born) radius B, which grows as its neighbours displace solvent:
    1/B = 1/rho~ - tanh(psi - 0.8 psi^2 + 4.85 psi^3)/rho, rho~ = rho - 0.009 nm, psi = rho~ I, with I the pairwise
    descreening integral. The polar energy is -(1/2) K (1/eps_in - 1/eps_out) sum_ij q_i q_j / f, with
    f^2 = r^2 + B_i B_j exp(-r^2 / (4 B_i B_j)), the sum including i = j. The apolar energy is
    4 pi gamma sum_i (rho_i + 0.14 nm)^2 (rho_i / B_i)^6.

    Charges are those of the molecule and are handed in. Lengths in nm, energies in kJ/mol.

    Source: Onufriev, Bashford and Case, Proteins 55, 383 (2004); descreening: Hawkins, Cramer and Truhlar,
    J. Phys. Chem. 100, 19824 (1996); surface area: Schaefer, Bartels and Karplus, J. Mol. Biol. 284, 835 (1998).
    """

    radius: Float[Array, " n"]
    scale: Float[Array, " n"]
    solute_dielectric: Float[Array, ""]
    solvent_dielectric: Float[Array, ""]
    surface_tension: Float[Array, ""]
    coulomb_constant: float = eqx.field(static=True)

    def energy(self, xyz: Float[Array, "3 n"], charge: Float[Array, " n"]) -> Float[Array, ""]:
        """The solvation energy."""
        pairs = _Pairs(xyz)
        born, _ = self._born_radii(pairs)
        f, _ = _still(pairs, born)
        polar = -self._polarisation() * jnp.sum(jnp.outer(charge, charge) / f) / 2
        return polar + jnp.sum(self._surface(born))

    def force(self, xyz: Float[Array, "3 n"], charge: Float[Array, " n"]) -> Float[Array, "3 n"]:
        """The force on every atom: at fixed Born radii, and through them by the chain rule."""
        pairs = _Pairs(xyz)
        born, born_by_integral = self._born_radii(pairs)
        f, decay = _still(pairs, born)
        strength = self._polarisation() * jnp.outer(charge, charge) / f**3
        by_born = jnp.sum(strength * decay * (born[None, :] + pairs.square / (4 * born[:, None])), axis=1) / 2
        by_integral = (by_born - 6 * self._surface(born) / born) * born_by_integral
        through_born = by_integral[:, None] * self._integrand_slope(pairs) / pairs.distance
        radial = strength * (1 - decay / 4) + through_born + through_born.T
        return -total_force(radial, pairs.displacements)

    def _polarisation(self) -> Float[Array, ""]:
        return self.coulomb_constant * (1 / self.solute_dielectric - 1 / self.solvent_dielectric)

    def _surface(self, born: Float[Array, " n"]) -> Float[Array, " n"]:
        area = 4 * jnp.pi * (self.radius + PROBE_RADIUS) ** 2
        return self.surface_tension * area * (self.radius / born) ** 6

    def _born_radii(self, pairs: "_Pairs") -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Born radii and their derivatives with respect to the descreening integrals."""
        reduced = self.radius - OFFSET
        psi = reduced * jnp.sum(self._integrand(pairs), axis=1)
        squashed = jnp.tanh(psi * (ALPHA - BETA * psi + GAMMA * psi**2))
        born = 1 / (1 / reduced - squashed / self.radius)
        slope = (1 - squashed**2) * (ALPHA - 2 * BETA * psi + 3 * GAMMA * psi**2)
        return born, born**2 * slope * reduced / self.radius

    def _integrand(self, pairs: "_Pairs") -> Float[Array, "n n"]:
        """How much atom j (columns) shields atom i (rows) from the solvent."""
        reduced, scaled, lower, upper, overlaps = self._shells(pairs)
        r = pairs.distance
        shell = (
            1 / lower - 1 / upper + (r - scaled**2 / r) * (upper**-2 - lower**-2) / 4 + jnp.log(lower / upper) / (2 * r)
        )
        buried = jnp.where(scaled - r > reduced, 2 * (1 / reduced - 1 / lower), 0)
        return jnp.where(overlaps, (shell + buried) / 2, 0)

    def _integrand_slope(self, pairs: "_Pairs") -> Float[Array, "n n"]:
        """Derivative of the integrand with respect to the distance.

        The limits of integration contribute nothing: the integrand's derivatives with respect to them vanish at
        upper = r + s and lower = |r - s|, and where lower is the reduced radius it does not move.
        """
        _, scaled, lower, upper, overlaps = self._shells(pairs)
        r = pairs.distance
        slope = (1 + (scaled / r) ** 2) * (upper**-2 - lower**-2) / 4 - jnp.log(lower / upper) / (2 * r**2)
        return jnp.where(overlaps, slope / 2, 0)

    def _shells(self, pairs: "_Pairs") -> tuple[Array, Array, Array, Array, Array]:
        reduced = (self.radius - OFFSET)[:, None]
        scaled = (self.scale * (self.radius - OFFSET))[None, :]
        lower = jnp.maximum(reduced, jnp.abs(pairs.distance - scaled))
        upper = pairs.distance + scaled
        return reduced, scaled, lower, upper, (upper > reduced) & ~pairs.same


class _Pairs:
    """Displacements and distances of all pairs, an atom standing at distance one from itself for the divisions."""

    def __init__(self, xyz: Float[Array, "3 n"]):
        self.same = same_particle(xyz.shape[1])
        self.displacements = displacements(xyz)
        self.square = squared_distances(self.displacements)
        self.distance = jnp.sqrt(jnp.where(self.same, 1, self.square))


def _still(pairs: _Pairs, born: Float[Array, " n"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """The effective distance f of Still et al., J. Am. Chem. Soc. 112, 6127 (1990), and the exponential in it."""
    product = jnp.outer(born, born)
    decay = jnp.exp(-pairs.square / (4 * product))
    return jnp.sqrt(pairs.square + product * decay), decay
