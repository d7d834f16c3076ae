"""The OBABO splitting of Langevin dynamics."""

import equinox as eqx

from pliant.dynamics.langevin import Langevin


class OBABO(Langevin):
    """`Langevin(splitting="OBABO")`: velocity Verlet between two half thermostats.

    Its phase-space path density is exact: the choice for path weights.
    Arguments, cost, validity and errors are those of `Langevin`.

    Source: Bussi and Parrinello, Phys. Rev. E 75, 056707 (2007).
    """

    splitting: str = eqx.field(static=True, default="OBABO")

    def __check_init__(self) -> None:
        if self.splitting != "OBABO":
            raise ValueError(
                f'Argument `splitting` of OBABO must be "OBABO", but it was {self.splitting!r}. Use Langevin.'
            )
