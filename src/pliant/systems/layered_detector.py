"""A particle through the layers of a detector, some of which see it."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.dynamics import LatticeWalk
from pliant.systems._ladder import Ladder
from pliant.systems._system import build


class _Readout(eqx.Module):
    """The chance that a layer fires after n hits."""

    signal: Array
    loss: Array

    def __call__(self, hits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return 1 - jnp.exp(-self.signal * jnp.exp(-self.loss * hits))


class LayeredDetector(Ladder):
    r"""Hits of a particle that loses energy at every hit: a layer fires where at least one photo-electron is read out.

    After n hits a layer gives a Poisson number of photo-electrons with mean $s\,e^{-l n}$, and fires with probability
    $1 - e^{-s e^{-l n}}$. The state counts the hits, the observable is the square of their number after the last layer, the
    parameters are the signal s and the loss l. Hit or no hit is all that is seen: the number of hits does not
    depend on the parameters along a path, and a pathwise derivative is zero.

    The law of n is carried layer by layer, with derivatives to round-off.

    Source: a layered calorimeter with a threshold readout; Leo, Techniques for Nuclear and Particle Physics Experiments
    (1994), ch. 9, for the inefficiency $e^{-s}$ of s photo-electrons.
    """

    signal: float = 2.0
    loss: float = 0.2
    name: ClassVar[str] = "layered_detector"
    title: ClassVar[str] = "Layers of a detector"
    parameters: ClassVar[tuple[str, ...]] = ("signal", "loss")
    defaults: ClassVar[dict[str, dict[str, Any]]] = {"LatticeWalk": dict(dt=1.0, horizon=16, burn_in=15, replicas=4096)}

    def law(self, dynamics: type = LatticeWalk, dt: float = 1.0) -> Any:
        readout = _Readout(jnp.array(self.signal), jnp.array(self.loss))
        return build(dynamics, readout, x0=jnp.zeros(1), down=0.0)

    def wrt(self, law: PyTree) -> PyTree:
        return law.chance

    def chances(self, law: Any, levels: Float[np.ndarray, " n"], **parameters: Any) -> tuple[Any, Any]:
        reached = np.maximum(levels, 0)
        return 1 - np.exp(-parameters["signal"] * np.exp(-parameters["loss"] * reached)), np.zeros(len(levels))
