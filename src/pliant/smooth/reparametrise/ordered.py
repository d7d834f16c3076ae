"""Increasing numbers."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth.reparametrise._map import Map, rows


class Ordered(Map):
    """n increasing numbers along the last axis: the first is free, each next one adds exp of a free number.

    For edges of bins, cut points and levels whose order must hold. In floating point a gap below the rounding error
    of the numbers closes.

    Raises ValueError for a single number.

    Source: Stan Reference Manual, "Ordered vector".
    """

    def __call__(self, free: ArrayLike) -> Float[Array, "*shape n"]:
        free = rows("free", free)
        return jnp.cumsum(jnp.concatenate([free[..., :1], jnp.exp(free[..., 1:])], axis=-1), axis=-1)

    def inverse(self, value: ArrayLike) -> Float[Array, "*shape n"]:
        value = rows("value", value)
        return jnp.concatenate([value[..., :1], jnp.log(jnp.diff(value, axis=-1))], axis=-1)

    def log_volume(self, free: ArrayLike) -> Float[Array, ""]:
        return jnp.sum(rows("free", free)[..., 1:])
