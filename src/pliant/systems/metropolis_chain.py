"""A Metropolis chain on a normal law, by its proposals' scale."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Inexact, PyTree

from pliant.core.observable import Observable
from pliant.dynamics import Metropolis
from pliant.observables import TimeAverage
from pliant.potentials import Harmonic
from pliant.systems._affine import complex_steps
from pliant.systems._system import System, build, require, squared_distance, weights
from pliant.systems._truth import Truth, exact

# Trapezoids between -_EDGE and _EDGE; the start lies on both grids, and so do the kinks of min(1, r).
_EDGE, _SPACING = 9.0, 0.01


class _Clay(eqx.Module):
    """What the gradient is taken by."""

    k: Any
    scale: Any


class MetropolisChain(System):
    r"""Random-walk Metropolis in $U = k x^2 / 2$ from a start off the middle: the transient of $\langle x^2 \rangle$.

    The parameters are the scale $\sigma$ of the proposals and k. Neither derivative is that of a stationary state: the
    scale enters through the acceptance alone once the chain has forgotten its start, and drops out.

    The transition density $q(y|x) \min(1, e^{k (x^2 - y^2)/2})$, with what is rejected on the diagonal, is carried by
    trapezoids at two spacings, extrapolated: the finer one alone is off by less than 1e-9. Derivatives are complex steps.

    Validity: kT = 1, the Metropolis rule, random-walk proposals, a start on the grid (multiples of 0.02); None otherwise.

    Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953); Gelman, Roberts and Gilks, Bayesian Statistics 5, 599 (1996),
    for the optimal scale.
    """

    scale: float = 2.0
    k: float = 1.0
    x0: float = 1.5
    name: ClassVar[str] = "metropolis_chain"
    title: ClassVar[str] = "Metropolis chain on a normal law"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {"Metropolis": dict(dt=1.0, horizon=6, burn_in=2, replicas=8192)}

    def law(self, dynamics: type = Metropolis, dt: float = 1.0) -> Any:
        require(dynamics, Metropolis, "what is asked is how a chain of accepted proposals depends on their scale")
        return build(dynamics, Harmonic(jnp.array(self.k)), x0=jnp.full(1, self.x0), scale=jnp.array(self.scale))

    def observable(self, burn_in: int = 0) -> Observable:
        return TimeAverage(squared_distance, burn_in=burn_in)

    def wrt(self, law: PyTree) -> PyTree:
        return _Clay(law.potential.k, law.scale)

    def truth(self, law: Any, observable: Observable, horizon: int) -> Truth | None:
        weight, start = weights(observable, squared_distance, horizon), float(law.x0[0])
        plain = (law.proposal, law.acceptance, float(law.kT)) == ("random_walk", "metropolis", 1.0)
        if weight is None or not plain or abs(start / (2 * _SPACING) - round(start / (2 * _SPACING))) > 1e-9:
            return None
        at = {"k": float(law.potential.k), "scale": float(law.scale)}
        found = [_both(at, start, weight, spacing) for spacing in (_SPACING, 2 * _SPACING)]
        # Trapezoids over kinks on their nodes have an error of second order.
        value, by_k, by_scale = ((4 * fine - coarse) / 3 for fine, coarse in zip(*found, strict=True))
        source = "quadrature of the transition density, carried step by step, to nine digits"
        return exact(value, _Clay(by_k, by_scale), source, "discretised")


def _both(at: dict[str, float], start: float, weight: np.ndarray, spacing: float) -> list[Any]:
    """The average and its derivatives, by every parameter."""

    def square(**parameters: Any) -> Any:
        return _carried(**parameters, start=start, weight=weight, spacing=spacing)

    return [square(**at), *complex_steps(square, at)]


def _carried(
    *, k: Any, scale: Any, start: float, weight: Float[np.ndarray, " horizon"], spacing: float
) -> Inexact[np.ndarray, ""]:
    """The weighted sum over times of the expectation of x^2."""
    grid = np.linspace(-_EDGE, _EDGE, round(2 * _EDGE / spacing) + 1)
    x, y = grid[:, None], grid[None, :]
    climb = np.maximum(y**2 - x**2, 0)
    kernel = np.exp(-0.5 * ((y - x) / scale) ** 2 - 0.5 * k * climb) * (spacing / np.sqrt(2 * np.pi) / scale)
    kernel[np.diag_indices(len(grid))] += 1 - kernel.sum(axis=1)
    law: Any = np.where(np.abs(grid - start) < spacing / 2, 1.0, 0.0)
    total: Any = 0.0
    for share in weight:
        law = law @ kernel
        total = total + share * (law @ grid**2)
    return total
