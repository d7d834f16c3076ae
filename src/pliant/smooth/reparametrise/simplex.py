"""Shares that sum to one."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth.reparametrise._map import Map, log_sigmoid_slope, rows


class Simplex(Map):
    r"""n positive shares of sum one from n - 1 free numbers along the last axis, by breaking a stick.

    Share k is the part $\sigma(y_k - \log(n - k))$, k = 1 .. n - 1, of what is left; the last is the rest. Zeros
    give equal shares. One to one, unlike softmax of n numbers, so that it has a volume factor and an inverse. The inverse
    sees ratios alone: shares that are off from the sum one are taken in proportion.

    Raises ValueError for a single number.

    Source: Stan Reference Manual, "Unit simplex"; Betancourt, AIP Conf. Proc. 1443, 157 (2012).
    """

    def __call__(self, free: ArrayLike) -> Float[Array, "*shape n"]:
        return jnp.exp(_log_shares(rows("free", free)))

    def inverse(self, value: ArrayLike) -> Float[Array, "*shape n-1"]:
        shares = rows("value", value)
        # What is left after each cut, from the last share backwards, so that small rests keep their digits.
        rest = jnp.flip(jnp.cumsum(jnp.flip(shares[..., 1:], -1), axis=-1), -1)
        return jnp.log(shares[..., :-1]) - jnp.log(rest) + _offsets(rest)

    def log_volume(self, free: ArrayLike) -> Float[Array, ""]:
        free = rows("free", free)
        cut = free - _offsets(free)
        left = jnp.cumsum(jax.nn.log_sigmoid(-cut), axis=-1)
        return jnp.sum(log_sigmoid_slope(cut)) + jnp.sum(left[..., :-1])


def _offsets(free: Float[Array, "*shape n-1"]) -> Float[Array, "n-1"]:
    return jnp.log(jnp.arange(free.shape[-1], 0, -1, dtype=free.dtype))


def _log_shares(free: Float[Array, "*shape n-1"]) -> Float[Array, "*shape n"]:
    cut = free - _offsets(free)
    left = jnp.cumsum(jax.nn.log_sigmoid(-cut), axis=-1)
    whole = jnp.zeros_like(free, shape=(*free.shape[:-1], 1))
    before = jnp.concatenate([whole, left], axis=-1)
    return before + jnp.concatenate([jax.nn.log_sigmoid(cut), whole], axis=-1)
