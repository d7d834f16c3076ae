"""Explicit Runge-Kutta steps from their tableaux."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float


class Tableau(NamedTuple):
    """The coefficients of an explicit scheme: `stages` row by row, `weights`, `nodes`."""

    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    nodes: tuple[float, ...]


# Source: Butcher, Numerical Methods for Ordinary Differential Equations (2016), section 23.
TABLEAUX = {
    "euler": Tableau(((),), (1.0,), (0.0,)),
    "midpoint": Tableau(((), (0.5,)), (0.0, 1.0), (0.0, 0.5)),
    "heun": Tableau(((), (1.0,)), (0.5, 0.5), (0.0, 1.0)),
    "rk4": Tableau(((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), (0.0, 0.5, 0.5, 1.0)),
}


def runge_kutta(tableau: Tableau, rate: Callable, x: Float[Array, "*shape"], t: Any, h: Any) -> Float[Array, "*shape"]:
    """One step of length h from time t of dx/dt = rate(x, t)."""
    slopes: list[Any] = []
    for row, node in zip(tableau.stages, tableau.nodes, strict=True):
        slopes.append(rate(_moved(x, h, row, slopes), t + node * h))
    return _moved(x, h, tableau.weights, slopes)


def _moved(x: Any, h: Any, weights: tuple[float, ...], slopes: list[Any]) -> Any:
    terms = [weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight]
    return x + h * sum(terms) if terms else x
