"""Draws as functions of where and how wide their law is."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from pliant.core.trees import floating
from pliant.core.validate import positive, prng_key
from pliant.smooth._arguments import one_of


def location_scale(
    key: PRNGKeyArray,
    location: ArrayLike,
    scale: ArrayLike,
    *,
    law: str = "normal",
    shape: tuple[int, ...] | None = None,
) -> Float[Array, "*shape"]:
    r"""Independent draws location + scale · z, with z standard and free of parameters.

    **Arguments**: `key`; `location` and `scale` > 0, of shapes that broadcast; `law` of z: "normal", "uniform" on
    (-1, 1), "logistic", "laplace", "gumbel", "cauchy"; `shape` of the draws, or that of location and scale
    together.

    The pathwise derivative of a mean, $E[f'(x)]$ by the location and $E[f'(x) z]$ by the scale, is unbiased where f
    is continuous, and misses every jump of f. Cauchy draws have no mean. The same key gives the same z: common
    random numbers.

    Raises ValueError for a scale that is not positive, or a law not listed.

    Source: Kingma and Welling, ICLR (2014); Glasserman, Monte Carlo Methods in Financial Engineering (2004),
    section 7.2.
    """
    draw = one_of("law", _LAWS, law)
    positive("scale", scale)
    location, scale = floating(location), floating(scale)
    if shape is None:
        shape = jnp.broadcast_shapes(location.shape, scale.shape)
    return location + scale * draw(prng_key(key), shape, jnp.result_type(location, scale))


def _symmetric_uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    return jax.random.uniform(key, shape, dtype, minval=-1.0, maxval=1.0)


_LAWS = {
    "normal": jax.random.normal,
    "uniform": _symmetric_uniform,
    "logistic": jax.random.logistic,
    "laplace": jax.random.laplace,
    "gumbel": jax.random.gumbel,
    "cauchy": jax.random.cauchy,
}
