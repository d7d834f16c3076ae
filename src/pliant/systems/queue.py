"""Customers who wait for servers."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from pliant.dynamics import BirthDeath
from pliant.systems._ladder import Ladder
from pliant.systems._system import require


class _Rates(eqx.Module):
    """What the gradient is taken by."""

    arrival: Any
    service: Any


class Queue(Ladder):
    r"""The queue M/M/1, or a population: arrivals at the rate $\lambda$, departures at $\mu \min(n, c)$.

    The observable is $n^2$, the parameters are $\lambda$ and $\mu$. From an empty queue the law of n is carried tick by tick,
    with derivatives to round-off. Long after the start it is that of the continuous chain: for one server geometric with
    $\rho = \lambda/\mu$, so that $\langle n^2 \rangle = \rho (1 + \rho) / (1 - \rho)^2$; without a bound on the servers
    (`servers=None`) Poisson, $\langle n^2 \rangle = \rho + \rho^2$.

    Source: Erlang (1909); Gross, Shortle, Thompson and Harris, Fundamentals of Queueing Theory (2008), ch. 2.
    """

    arrival: float = 0.5
    service: float = 1.0
    servers: int | None = 1
    name: ClassVar[str] = "queue"
    title: ClassVar[str] = "Queue M/M/1"
    parameters: ClassVar[tuple[str, ...]] = ("arrival", "service")
    defaults: ClassVar[dict[str, dict[str, Any]]] = {"BirthDeath": dict(dt=0.5, horizon=100, burn_in=50, replicas=4096)}

    def law(self, dynamics: type = BirthDeath, dt: float = 0.5) -> Any:
        require(dynamics, BirthDeath, "a queue counts")
        rates = dict(birth=jnp.array(self.arrival), death=jnp.array(self.service))
        return dynamics(**rates, x0=jnp.zeros(1), dt=dt, servers=self.servers)

    def wrt(self, law: PyTree) -> PyTree:
        return _Rates(law.birth, law.death)

    def chances(self, law: Any, levels: Float[np.ndarray, " n"], **parameters: Any) -> tuple[Any, Any]:
        working = levels if law.servers is None else np.minimum(levels, law.servers)
        up = parameters["arrival"] * float(law.dt) * np.ones(len(levels))
        down = parameters["service"] * float(law.dt) * np.maximum(working, 0)
        return up, np.where(down.real > (1 - up).real, 1 - up, down)
