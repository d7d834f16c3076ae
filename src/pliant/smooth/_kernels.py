r"""Symmetric kernels: every relaxation here is the sharp function averaged over one of them.

With a kernel $k$ of mean 0 and variance $\sigma^2 w^2$ at width $w$, an edge is its distribution function, a kink the
integral of that, a point the kernel itself; the error of a smooth integral is $\frac12 \sigma^2 w^2$ times a second
derivative, plus $O(w^4)$.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import one_of

# The logistic kernel, the longest, is zero in double precision from 745 on; half precision reaches 65504.
_ENDED = 1e4
# From so many widths on every ramp is the sharp one to the last digit.
_STRAIGHT = 64

Function = Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]


class Kernel(NamedTuple):
    """A kernel at width one.

    **Fields**: `density`; `step`, its integral from the left; `ramp`, the integral of that; `variance`; `reach(n)`: the
    distance beyond which the step is within 1/2n of 0 or 1.
    """

    density: Function
    step: Function
    ramp: Function
    variance: float
    reach: Callable[[int], float]

    def ramp_of(self, distance: Array, width: ArrayLike) -> Float[Array, "*shape"]:
        """The ramp at this width: `distance` itself from where the kernel has ended, however far and however narrow."""
        straight = distance > _STRAIGHT * width
        return jnp.where(straight, distance, width * self.ramp(in_widths(jnp.where(straight, 0, distance), width)))


def in_widths(distance: Array, width: ArrayLike) -> Float[Array, "*shape"]:
    """distance / width, held where every kernel has ended: infinite ones have derivatives, by the width too, of 0."""
    ended = jnp.abs(distance / width) > _ENDED
    return jnp.where(ended, jnp.sign(distance) * _ENDED, jnp.where(ended, 0, distance) / width)


def kernel_of(name: Any) -> Kernel:
    """The kernel of that name; ValueError names those that there are."""
    return one_of("kernel", _KERNELS, name)


def _logistic_density(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)


def _gaussian_density(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)


def _gaussian_ramp(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return u * ndtr(u) + _gaussian_density(u)


def _within(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    # Not `clip`: its slope at the ends is 1/2.
    return jnp.where(jnp.abs(u) <= 1, u, jnp.sign(u))


def _cubic_density(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return 0.75 * (1 - _within(u) ** 2)


def _cubic_step(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    v = _within(u)
    return 0.5 + 0.25 * v * (3 - v**2)


def _cubic_ramp(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    v = _within(u)
    return jnp.where(u > 1, u, 3 / 16 + v / 2 + 3 * v**2 / 8 - v**4 / 16)


_KERNELS = {
    "logistic": Kernel(
        _logistic_density, jax.nn.sigmoid, jax.nn.softplus, math.pi**2 / 3, lambda n: math.log(max(2 * n - 1, 2))
    ),
    "gaussian": Kernel(_gaussian_density, ndtr, _gaussian_ramp, 1.0, lambda n: math.sqrt(2 * math.log(2 * n))),
    "cubic": Kernel(_cubic_density, _cubic_step, _cubic_ramp, 0.2, lambda n: 1.0),
}
