"""The random walk of stochastic automatic differentiation."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.dynamics import LatticeWalk
from pliant.systems._ladder import Ladder
from pliant.systems._system import build


class _Fading(eqx.Module):
    """The chance to go up, exp(-x/p)."""

    p: Array

    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.exp(-position / self.p)


class FadingWalk(Ladder):
    r"""A walk on the whole numbers that goes up with probability $e^{-x/p}$ and down otherwise, from zero.

    It never falls below zero, where it is sure to go up. The observable is $x^2$, the parameter p. Its law at every time is
    carried step by step, with a derivative to round-off.

    Source: Arya, Schauer, Schäfer and Rackauckas, NeurIPS (2022), sec. 4.
    """

    p: float = 50.0
    name: ClassVar[str] = "fading_walk"
    title: ClassVar[str] = "Walk with a fading chance"
    parameters: ClassVar[tuple[str, ...]] = ("p",)
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "LatticeWalk": dict(dt=1.0, horizon=100, burn_in=99, replicas=4096)
    }

    def law(self, dynamics: type = LatticeWalk, dt: float = 1.0) -> Any:
        return build(dynamics, _Fading(jnp.array(self.p)), x0=jnp.zeros(1))

    def wrt(self, law: PyTree) -> PyTree:
        return law.chance

    def chances(self, law: Any, levels: Float[np.ndarray, " n"], **parameters: Any) -> tuple[Any, Any]:
        up = np.where(levels > 0, np.exp(-np.maximum(levels, 0) / parameters["p"]), 1.0)
        return up, 1 - up
