"""What the explicit draws have in common: their arguments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pliant.core.trees import floating
from pliant.core.validate import prng_key


def key_of(key: Any) -> Any:
    """One key; of the old style too, as `jax.random` takes it."""
    if getattr(key, "dtype", None) == jnp.uint32 and key.shape == (2,):
        return jax.random.wrap_key_data(key)
    return prng_key(key)


def between(name: str, value: Any, low: float, high: float, what: str) -> Array:
    """A floating point array within bounds, where its values are at hand."""
    array = floating(value)
    if not isinstance(array, Tracer):
        known = np.asarray(array)
        if not np.all((known >= low) & (known <= high)):
            shown = f"{known}" if known.ndim == 0 else f"an array from {known.min()} to {known.max()}"
            raise ValueError(f"Argument `{name}` must {what}, but it was {shown}.")
    return array


def common(shape: tuple[int, ...] | None, *arrays: Array) -> tuple[tuple[int, ...], list[Array]]:
    """The shape of the result, and the parameters in it: that of the parameters together where none is given."""
    drawn = jnp.broadcast_shapes(*(array.shape for array in arrays)) if shape is None else tuple(shape)
    return drawn, [jnp.broadcast_to(array, drawn) for array in arrays]
