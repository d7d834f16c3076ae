"""The unit in which squares neither overflow nor underflow."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def unit(*vectors: Float[Array, "*shape d"]) -> Float[Array, "*shape 1"]:
    """The power of two below the largest component of all, along the last axis; 1 where that is 0 or not finite.

    A constant to derivatives: what is computed in it and scaled back does not depend on it. A power of two leaves
    values as they are, to the last digit.
    """
    sizes = [jnp.max(jnp.abs(jax.lax.stop_gradient(vector)), axis=-1, keepdims=True, initial=0) for vector in vectors]
    largest = jnp.max(jnp.stack(jnp.broadcast_arrays(*sizes)), axis=0)
    usable = (largest > 0) & jnp.isfinite(largest)
    _, exponent = jnp.frexp(jnp.where(usable, largest, 1))
    return jnp.ldexp(jnp.ones_like(largest), exponent - 1)
