"""What a shadowed trajectory hands over, and what the set of them says about hyperbolicity."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Covariance

# A mode counts as expanding or contracting once it has done so by e to this power, and by four standard errors.
_DECIDED, _Z = 5.0, 4.0
# Of the digits there are, the growth over one segment may use these; a trajectory rests below this part of its speed.
_DIGITS, _AT_REST = 0.8, 1e-6


class Shadowed(Covariance):
    """The shadowing derivative as the explicit one, with the score of the unstable volumes beside it.

    **Fields** beside those of `Covariance`: `exponents`, shape (m,), per unit of time, of the modes over `duration`;
    `stretch`: the largest logarithm of growth over a segment; `slowness`: the last step's displacement over the root mean
    square of all; `transverse`: dimensions across the flow; `completed`: whether the score counts.
    """

    exponents: Any = None
    duration: Any = None
    stretch: Any = None
    slowness: Any = None
    transverse: int = eqx.field(static=True, default=0)
    completed: bool = eqx.field(static=True, default=True)

    def influence(self) -> PyTree:
        return super().influence() if self.completed else self.explicit

    def findings(self) -> list[str]:
        return [*super().findings(), *self._rest(), *self._exponents(), *self._digits(), *self._copies()]

    def notes(self) -> list[str]:
        found = ", ".join(f"{value:.3g}" for value in self._mean())
        return [*super().notes(), f"Lyapunov exponents across the flow, per unit of time: {found}"]

    def _mean(self) -> Float[Array, " m"]:
        return np.mean(self.exponents, axis=0)

    def _rest(self) -> Iterator[str]:
        share = float(np.mean(self.slowness < _AT_REST))
        if share > 0:
            yield (
                f"{share:.0%} of the trajectories have come to rest: at a fixed point there is no flow to shadow along, and "
                "part of the derivative is taken for a dilation of time; use Implicit on the balance f(x) = 0, or BPTT."
            )

    def _exponents(self) -> Iterator[str]:
        mean, count = self._mean(), len(self.exponents)
        error = np.std(self.exponents, axis=0) / np.sqrt(count)
        duration = float(np.mean(self.duration))
        undecided = np.abs(mean) < np.maximum(_Z * error, _DECIDED / duration)
        for index in np.flatnonzero(undecided):
            yield (
                f"the flow is not seen to be hyperbolic: across the flow, exponent {index + 1} is {mean[index]:.2g} ± "
                f"{error[index]:.1g} and not told apart from zero over {duration:.3g} units of time; a conserved quantity or "
                "a symmetry gives such zeros, and perturbations along them are not shadowed; lengthen the horizon, or use "
                "FiniteDifference of long averages."
            )
        last = len(mean) - 1
        if len(mean) < self.transverse and mean[last] >= 0 and not undecided[last]:
            yield (
                f"too few modes: all {len(mean)} grow (the slowest with exponent {mean[last]:.2g}), so that there may be more "
                "unstable directions than modes, and the direction is not bounded; raise `modes` until the last one decays."
            )

    def _digits(self) -> Iterator[str]:
        digits = -np.log(np.finfo(np.asarray(self.stretch).dtype).eps)
        worst = float(np.max(self.stretch))
        if worst > _DIGITS * digits:
            yield (
                f"segments are too long: tangents grow by e^{worst:.0f} within one, next to e^{digits:.0f} for round-off; "
                f"shorten `segment` {np.ceil(2 * worst / digits):.0f} times."
            )

    def _copies(self) -> Iterator[str]:
        observed = np.asarray(self.observable)
        if len(observed) > 1 and np.all(observed == observed[0]):
            yield (
                "all replicas are the same trajectory: the error bar means nothing; give the law a random start, such as "
                "Flow(spread=...)."
            )
