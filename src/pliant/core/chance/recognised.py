"""Numbers of a known law, marked in a traced program: so that an interpreter need not know how they were drawn."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.chance.chains import Chain
from pliant.core.programs import operation

RECOGNISED = "pliant_recognised"


def _refuse(law: str) -> None:
    raise TypeError(f"Noise of the law `{law}` depends on no parameter, but a derivative of it was asked for.")


_mark = operation(RECOGNISED, lambda x, law: x, _refuse)


def recognised(x: Float[Array, "*shape"], law: str) -> Float[Array, "*shape"]:
    """The array itself, whose elements are independent with the law "uniform" or "normal"."""
    return _mark(x, law=law)


def _normal(u: Any) -> Any:
    return jax.lax.erf_inv(2 * u - 1) * jnp.asarray(2**0.5, u.dtype)


# From the uniform on (0, 1) that a number stands for to the number.
QUANTILES: dict[str, Callable[[Any], Any]] = {"uniform": lambda u: u, "normal": _normal}


def quantile_chain(law: str, chain: Chain, dtype: Any) -> Chain:
    """The chain of such a number, from that of its uniform."""
    if law == "uniform":
        return chain
    number = lambda value: jnp.asarray(value, dtype)
    return chain.then("mul", number(2)).then("sub", number(1)).then("erf_inv").then("mul", number(2**0.5))
