"""The ABOBA splitting of Langevin dynamics."""

import equinox as eqx

from pliant.dynamics.langevin import Langevin


class ABOBA(Langevin):
    """`Langevin(splitting="ABOBA")`: one force a step, at the half-way position.

    Its phase-space path density is exact, with one noise a step.
    Arguments, cost, validity and errors are those of `Langevin`.

    Source: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34.
    """

    splitting: str = eqx.field(static=True, default="ABOBA")

    def __check_init__(self) -> None:
        if self.splitting != "ABOBA":
            raise ValueError(
                f'Argument `splitting` of ABOBA must be "ABOBA", but it was {self.splitting!r}. Use Langevin.'
            )
