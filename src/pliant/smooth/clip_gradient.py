"""A bound on what flows back."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from pliant.core.labels import biased
from pliant.core.validate import positive
from pliant.smooth._arguments import numbers, one_of


def clip_gradient(tree: PyTree, limit: ArrayLike, *, by: str = "norm") -> PyTree:
    r"""The tree as it is; the cotangent that comes back through it is shortened to `limit`.

    **Arguments**: `tree`, a pytree of arrays; `limit` > 0, in units of the cotangent; `by`: "norm" scales the whole
    cotangent to the Euclidean norm `limit` where it is longer, and keeps its direction; "value" clips each component, of
    complex ones both parts.

    BIASED wherever it clips, and exact where it does not. Clipping inside a recursion (`scan`) acts in every step:
    it bounds the growth over a trajectory, but the result is the gradient of no function. The label "clip_gradient"
    stays in the program, for a verdict to name. NaN stays NaN, and by "norm" spoils the whole cotangent: a fault is
    not clipped away. Reverse mode alone: a tangent has no bound from what comes later, and `jax.jvp` raises
    TypeError.

    Raises ValueError for a limit that is not positive, or a `by` not listed.

    Source: Pascanu, Mikolov and Bengio, ICML 28, 1310 (2013), algorithm 1.
    """
    given = numbers("limit", limit)
    positive("limit", given)
    one_of("by", _RULES, by)
    if by == "norm" and given.ndim:
        raise ValueError(f"Argument `limit` of a norm must be one number, but its shape was {given.shape}.")
    return _clipped(by, tree, given.astype(float))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _clipped(by: str, tree: PyTree, limit: Float[Array, ""]) -> PyTree:
    return biased("clip_gradient", tree)


def _forward(by: str, tree: PyTree, limit: Float[Array, ""]) -> tuple[PyTree, Array]:
    return biased("clip_gradient", tree), limit


def _backward(by: str, limit: Float[Array, ""], cotangent: PyTree) -> tuple[PyTree, Array]:
    is_number = lambda leaf: jnp.issubdtype(getattr(leaf, "dtype", float), jnp.inexact)
    numbers = [leaf for leaf in jax.tree.leaves(cotangent) if is_number(leaf)]
    shorten = _RULES[by](numbers, limit)
    shortened = jax.tree.map(
        lambda leaf: shorten(leaf).astype(jnp.result_type(leaf)) if is_number(leaf) else leaf, cotangent
    )
    return shortened, jnp.zeros_like(limit)


_clipped.defvjp(_forward, _backward)


def _by_norm(leaves: list[Array], limit: Float[Array, ""]) -> Any:
    # In units of the largest component: squares of what explodes overflow, and half precision has few numbers to sum.
    sizes = [jnp.abs(leaf).astype(limit.dtype) for leaf in leaves]
    largest = functools.reduce(jnp.maximum, [jnp.max(size, initial=0) for size in sizes], jnp.zeros_like(limit))
    unit = jnp.where(largest == 0, 1, largest)
    squared = sum((jnp.sum((size / unit) ** 2) for size in sizes), jnp.zeros_like(limit))
    norm = jnp.sqrt(jnp.where(largest == 0, 1, squared))
    short = (largest == 0) | (unit * norm <= limit)
    return lambda leaf: jnp.where(short, leaf, leaf / unit * (limit / norm))


def _by_value(leaves: list[Array], limit: Float[Array, ""]) -> Any:
    def shorten(leaf: Array) -> Array:
        if jnp.iscomplexobj(leaf):
            return jax.lax.complex(shorten(leaf.real), shorten(leaf.imag))
        return jnp.clip(leaf, -limit, limit).astype(leaf.dtype)

    return shorten


_RULES = {"norm": _by_norm, "value": _by_value}
