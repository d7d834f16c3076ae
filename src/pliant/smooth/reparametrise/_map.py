"""What every map from free numbers is."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


class Map(eqx.Module):
    """A smooth map from all of R^n onto a set, with its inverse and the logarithm of its volume factor.

    The bounds are constants of the set: fields that are Python numbers, unless one wants them fitted.
    """

    @abc.abstractmethod
    def __call__(self, free: ArrayLike) -> Float[Array, "*shape"]:
        """The constrained value."""

    @abc.abstractmethod
    def inverse(self, value: ArrayLike) -> Float[Array, "*shape"]:
        """The free numbers; not finite on the boundary of the set, NaN outside."""

    @abc.abstractmethod
    def log_volume(self, free: ArrayLike) -> Float[Array, ""]:
        """log |det J|, over all the free numbers: what a log density of the value gains as one of the free numbers."""


def log_sigmoid_slope(free: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log of the derivative of the logistic function."""
    return -jnp.logaddexp(0, free) - jnp.logaddexp(0, -free)
