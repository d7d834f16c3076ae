"""Positive numbers."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, one_of
from pliant.smooth.reparametrise._map import Map, check_bound


class Positive(Map):
    """Numbers above `floor`, elementwise: floor + exp(free), or floor + softplus(free).

    **Fields**: `floor`; `form`: "exp", for scales whose size is unknown (a step is a factor), or "softplus", the
    identity far above the floor and no overflow.

    Raises ValueError for a floor that is known and not finite, or a form not listed.

    Source: Stan Reference Manual, "Lower bounded scalar"; Dugas et al., NIPS 13, 472 (2000) for softplus.
    """

    floor: float | Float[Array, "..."] = 0.0
    form: str = eqx.field(default="exp", static=True)

    def __check_init__(self) -> None:
        check_bound("floor", self.floor)
        one_of("form", {"exp": None, "softplus": None}, self.form)

    def __call__(self, free: ArrayLike) -> Float[Array, "*shape"]:
        free = numbers("free", free)
        return self.floor + (jnp.exp(free) if self.form == "exp" else jax.nn.softplus(free))

    def inverse(self, value: ArrayLike) -> Float[Array, "*shape"]:
        above = numbers("value", value) - self.floor
        return jnp.log(above) if self.form == "exp" else above + jnp.log(-jnp.expm1(-above))

    def log_volume(self, free: ArrayLike) -> Float[Array, ""]:
        free = numbers("free", free)
        return jnp.sum(free if self.form == "exp" else jax.nn.log_sigmoid(free))
