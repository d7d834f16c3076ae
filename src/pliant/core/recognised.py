"""Numbers of a known law, marked in a traced program: so that an interpreter need not know how they were drawn."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.chains import Step
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


def steps(law: str, like: Float[Array, "*shape"]) -> tuple[Step, ...]:
    """The same, as steps of a chain for an array like this one."""
    whole = lambda number: jnp.full_like(like, number)
    normal = (Step("mul", whole(2)), Step("sub", whole(1)), Step("erf_inv"), Step("mul", whole(2**0.5)))
    return {"uniform": (), "normal": normal}[law]
