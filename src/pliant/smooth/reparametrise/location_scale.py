"""Draws as functions of where and how wide their law is."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from pliant.core.validate import prng_key
from pliant.smooth._arguments import numbers, one_of, positive_width, together


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

    Raises ValueError for what is no number, a scale that is not positive, a shape that location and scale do not
    broadcast to, or a law not listed.

    Source: Kingma and Welling, ICLR (2014); Glasserman, Monte Carlo Methods in Financial Engineering (2004),
    section 7.2.
    """
    draw = one_of("law", _LAWS, law)
    location, scale = numbers("location", location), numbers("scale", positive_width(scale, "scale"))
    together(location=location, scale=scale)
    whole = jnp.broadcast_shapes(location.shape, scale.shape)
    shape = whole if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    # Otherwise one z would serve several draws, which would not be independent.
    if len(shape) < len(whole) or any(n not in (1, m) for n, m in zip(reversed(whole), reversed(shape), strict=False)):
        raise ValueError(f"Argument `shape` must be one that location and scale, {whole}, fill, but it was {shape}.")
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
