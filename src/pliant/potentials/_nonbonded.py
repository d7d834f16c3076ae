"""Coulomb and Lennard-Jones interactions between all pairs of atoms of a molecule."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pliant.potentials._pairs import Rows, displacements, squared_distances, total_force

COULOMB_CONSTANT = 138.93545764438198
"""1 / (4 pi epsilon_0) in kJ nm / (mol e^2), the value of OpenMM."""

Pair = tuple[int, int]


class Nonbonded(eqx.Module):
    """E = sum over pairs of K q_i q_j / r + 4 eps ((sig/r)^12 - (sig/r)^6), without a cut-off.

    Pairs mix by Lorentz and Berthelot: sig = (sig_i + sig_j)/2, eps = sqrt(eps_i eps_j). The pairs listed in
    `exceptions` (the 1-4 pairs) have parameters of their own in place of the mixed ones; those in `exclusions` do
    not interact. All of the n^2 pairs are computed: for the tens of atoms this is meant for that is several times
    faster than a list of pairs, because it needs no gather and no scatter.

    Charges in e, lengths in nm, energies in kJ/mol.
    """

    charge: Float[Array, " n"]
    sigma: Float[Array, " n"]
    epsilon: Float[Array, " n"]
    exception_charge_product: Float[Array, " exceptions"]
    exception_sigma: Float[Array, " exceptions"]
    exception_epsilon: Float[Array, " exceptions"]
    exceptions: tuple[Pair, ...] = eqx.field(static=True)
    exclusions: tuple[Pair, ...] = eqx.field(static=True)

    def energy(self, xyz: Float[Array, "3 n"]) -> Float[Array, ""]:
        """The energy of all pairs."""
        coulomb, sigma, depth = self._pair_parameters()
        inverse_square = self._inverse_squares(displacements(xyz))
        sixth = (sigma**2 * inverse_square) ** 3
        return jnp.sum(coulomb * jnp.sqrt(inverse_square) + 4 * depth * (sixth**2 - sixth)) / 2

    def force(self, xyz: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """The force on every atom."""
        coulomb, sigma, depth = self._pair_parameters()
        rows = displacements(xyz)
        inverse_square = self._inverse_squares(rows)
        sixth = (sigma**2 * inverse_square) ** 3
        radial = coulomb * jnp.sqrt(inverse_square) + 24 * depth * (2 * sixth**2 - sixth)
        return total_force(radial * inverse_square, rows)

    def _inverse_squares(self, rows: Rows) -> Float[Array, "n n"]:
        # Pairs that do not interact are moved apart before the division: 0 * inf would be NaN.
        return 1 / (squared_distances(rows) + jnp.asarray(~self._interacting(), rows[0].dtype))

    def _interacting(self) -> np.ndarray:
        mask = ~np.eye(len(self.charge), dtype=bool)
        i, j = _symmetric(self.exclusions)
        mask[i, j] = False
        return mask

    def _pair_parameters(self) -> tuple[Float[Array, "n n"], Float[Array, "n n"], Float[Array, "n n"]]:
        """Matrices of K q q, sigma and epsilon. They do not depend on positions: a loop computes them once."""
        root = _safe_sqrt(self.epsilon)
        coulomb = COULOMB_CONSTANT * jnp.outer(self.charge, self.charge)
        sigma = (self.sigma[:, None] + self.sigma[None, :]) / 2
        mixed = [
            jnp.where(self._interacting(), coulomb, 0),
            sigma,
            jnp.where(self._interacting(), jnp.outer(root, root), 0),
        ]
        own = [COULOMB_CONSTANT * self.exception_charge_product, self.exception_sigma, self.exception_epsilon]
        i, j = _symmetric(self.exceptions)
        coulomb, sigma, depth = (m.at[i, j].set(jnp.tile(v, 2)) for m, v in zip(mixed, own, strict=True))
        return coulomb, sigma, depth


def _symmetric(pairs: tuple[Pair, ...]) -> np.ndarray:
    i, j = np.asarray(pairs, dtype=np.int32).reshape(-1, 2).T
    return np.stack([np.concatenate([i, j]), np.concatenate([j, i])])


def _safe_sqrt(value: Float[Array, " n"]) -> Float[Array, " n"]:
    # Many hydrogens have epsilon = 0, where the derivative of a square root is infinite; it is taken as zero there.
    return jnp.where(value == 0, 0, jnp.sqrt(jnp.where(value == 0, 1, value)))
