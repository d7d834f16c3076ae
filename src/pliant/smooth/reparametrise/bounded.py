"""Numbers between two bounds."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers
from pliant.smooth.reparametrise._map import Map, check_bound, log_sigmoid_slope


class Bounded(Map):
    """Numbers in (lower, upper), elementwise: lower + (upper - lower) / (1 + exp(-free)).

    **Fields**: `lower` and `upper`, finite, in the units of the value. The middle is at free = 0, with slope
    (upper - lower) / 4; near a bound the slope vanishes, so that an optimiser started there hardly moves.

    Raises ValueError for bounds that are known and not finite, or do not increase.

    Source: Stan Reference Manual, "Lower and upper bounded scalar".
    """

    lower: float | Float[Array, "..."] = 0.0
    upper: float | Float[Array, "..."] = 1.0

    def __check_init__(self) -> None:
        check_bound("lower", self.lower)
        check_bound("upper", self.upper)
        known = not any(isinstance(bound, Tracer) for bound in (self.lower, self.upper))
        if known and not np.all(np.asarray(self.lower) < np.asarray(self.upper)):
            raise ValueError(f"Argument `lower` must be below `upper`, but they were {self.lower} and {self.upper}.")

    def __call__(self, free: ArrayLike) -> Float[Array, "*shape"]:
        return self.lower + (self.upper - self.lower) * jax.nn.sigmoid(numbers("free", free))

    def inverse(self, value: ArrayLike) -> Float[Array, "*shape"]:
        value = numbers("value", value)
        return jnp.log(value - self.lower) - jnp.log(self.upper - value)

    def log_volume(self, free: ArrayLike) -> Float[Array, ""]:
        return jnp.sum(jnp.log(self.upper - self.lower) + log_sigmoid_slope(numbers("free", free)))
