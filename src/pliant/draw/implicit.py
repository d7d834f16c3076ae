"""The derivative of a continuous draw from its distribution function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Float


def implicit(x: Float[Array, "*shape"], cdf: Callable[..., Any], *parameters: Any) -> Float[Array, "*shape"]:
    r"""The draw `x` itself, with the derivative that keeps its quantile: $\partial_\theta x = -\partial_\theta F / f$.

    For samplers that have no derivative of their own, such as rejection: sample with the parameters held, then attach.

    **Arguments**: `x`: draws of the law, any shape; `cdf(x, *parameters)`: its distribution function, elementwise,
    differentiable by x and by every parameter; `parameters`: arrays that broadcast to `x`.

    Cost: a derivative of `cdf` in forward mode, and in reverse mode one by the parameters. Valid under plain `jax.grad`, where
    the density is positive at x. Unbiased for functions of x that are continuous.

    **Raises** ValueError where `cdf` is not a function.

    Source: Figurnov, Mohamed and Mnih, NeurIPS (2018), eq. 5; Graves, arXiv:1607.05690 (2016).
    """
    if not callable(cdf):
        raise ValueError(f"Argument `cdf` must be a function of x and the parameters, but it was {type(cdf).__name__}.")
    at = stop_gradient(jnp.asarray(x))
    held = [stop_gradient(jnp.asarray(parameter)) for parameter in parameters]
    density = jax.jvp(lambda x: cdf(x, *held), (at,), (jnp.ones_like(at),))[1]
    level = cdf(at, *parameters)
    return at - (level - stop_gradient(level)) / density
