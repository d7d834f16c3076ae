"""Individuals who are born and die."""

from typing import Any, ClassVar

from pliant.systems.queue import Queue


class Population(Queue):
    r"""Births at the rate $\lambda$, and a death rate $\mu$ for every individual, from an empty island.

    The observable is $n^2$, the parameters are both rates. In continuous time n is Poisson with mean
    $m_t = (1 - e^{-\mu t}) \lambda / \mu$ and $\langle n^2 \rangle = m_t + m_t^2$; in steps of dt its law is carried tick by
    tick, with derivatives to round-off.

    Source: van Kampen, Stochastic Processes in Physics and Chemistry (2007), sec. VI; Gillespie, J. Comput. Phys. 22, 403
    (1976).
    """

    arrival: float = 4.0
    servers: int | None = None
    name: ClassVar[str] = "population"
    title: ClassVar[str] = "Population with births and deaths"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {"BirthDeath": dict(dt=0.05, horizon=40, burn_in=39, replicas=4096)}
