"""A soft draw from a categorical law."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from pliant.core.validate import prng_key
from pliant.smooth._arguments import numbers, width_of_rows
from pliant.smooth.straight_through import straight_through as _straight_through


def gumbel_softmax(
    key: PRNGKeyArray, logits: ArrayLike, width: ArrayLike, *, hard: bool = False
) -> Float[Array, "*shape n"]:
    r"""A relaxed one-hot draw, softmax((logits + G) / w) with independent standard Gumbel noise $G$.

    **Arguments**: `key`; `logits`, shape (..., n), log probabilities up to a constant; `width` $w > 0$, a
    temperature, of the shape of the batch; `hard`: the one-hot draw itself with the derivative of the soft one,
    BIASED and labelled "straight_through".

    The place of the largest weight is an exact draw at every width. As w goes to 0 the weights go to it: their
    means with bias of order 2 in w, means of other functions of them (a square) of order 1. The variance of
    derivatives grows as 1/w.

    Raises ValueError for logits that are a single number or none, or a width that is not positive or does not fit the
    batch.

    Source: Jang, Gu and Poole, ICLR (2017); Maddison, Mnih and Teh, ICLR (2017).
    """
    values = numbers("logits", logits)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(
            f"Argument `logits` must have a last axis that is not empty, but its shape was {values.shape}."
        )
    noise = jax.random.gumbel(prng_key(key), values.shape, values.dtype)
    soft = jax.nn.softmax((values + noise) / width_of_rows(width, values, "logits")[..., None], axis=-1)
    if not hard:
        return soft
    return _straight_through(jax.nn.one_hot(jnp.argmax(soft, axis=-1), soft.shape[-1], dtype=soft.dtype), soft)
