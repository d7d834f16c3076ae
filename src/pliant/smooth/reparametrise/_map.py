"""What every map from free numbers is."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers


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


def rows(name: str, value: ArrayLike) -> Float[Array, "*shape n"]:
    """Numbers along a last axis; ValueError where there is none."""
    given = numbers(name, value)
    if given.ndim == 0:
        raise ValueError(f"Argument `{name}` must have a last axis, but it was a single number.")
    return given


def check_bound(name: str, value: Any) -> None:
    """ValueError unless a field is a number or an array, finite where it is known."""
    if isinstance(value, Tracer):
        return
    is_number = isinstance(value, int | float) or hasattr(value, "__array__")
    if not is_number or not np.all(np.isfinite(np.asarray(value))):
        raise ValueError(f"Argument `{name}` must be finite, a number or an array, but it was {value!r}.")


def log_sigmoid_slope(free: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log of the derivative of the logistic function."""
    return -jnp.logaddexp(0, free) - jnp.logaddexp(0, -free)
