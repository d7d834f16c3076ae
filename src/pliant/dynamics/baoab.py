"""The BAOAB splitting of Langevin dynamics."""

import equinox as eqx

from pliant.dynamics.langevin import Langevin


class BAOAB(Langevin):
    """`Langevin(splitting="BAOAB")`: the most accurate configurational averages.

    Its density of positions alone serves path weights; velocities have none.
    Arguments, cost, validity and errors are those of `Langevin`.

    Source: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34.
    """

    splitting: str = eqx.field(static=True, default="BAOAB")

    def __check_init__(self) -> None:
        if self.splitting != "BAOAB":
            raise ValueError(
                f'Argument `splitting` of BAOAB must be "BAOAB", but it was {self.splitting!r}. Use Langevin.'
            )
