"""A bound on what flows back."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from pliant.core.labels import biased
from pliant.core.validate import positive
from pliant.smooth._arguments import one_of


def clip_gradient(tree: PyTree, limit: ArrayLike, *, by: str = "norm") -> PyTree:
    r"""The tree as it is; the cotangent that comes back through it is shortened to `limit`.

    **Arguments**: `tree`, a pytree of arrays; `limit` > 0, in units of the cotangent; `by`: "norm" scales the whole
    cotangent to the Euclidean norm `limit` where it is longer, and keeps its direction; "value" clips each component.

    BIASED wherever it clips, and exact where it does not. Clipping inside a recursion (`scan`) acts in every step:
    it bounds the growth over a trajectory, but the result is the gradient of no function. The label "clip_gradient"
    stays in the program, for a verdict to name. NaN stays NaN, and by "norm" spoils the whole cotangent: a fault is
    not clipped away. Reverse mode alone: a tangent has no bound from what comes later, and `jax.jvp` raises
    TypeError.

    Raises ValueError for a limit that is not positive, or a `by` not listed.

    Source: Pascanu, Mikolov and Bengio, ICML 28, 1310 (2013), algorithm 1.
    """
    positive("limit", limit)
    one_of("by", _RULES, by)
    return _clipped(by, tree, jnp.asarray(limit, float))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
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
    norm = jnp.sqrt(sum((jnp.sum(jnp.abs(leaf) ** 2) for leaf in leaves), jnp.zeros(())))
    scale = limit / jnp.maximum(norm, limit)
    return lambda leaf: leaf * scale


def _by_value(leaves: list[Array], limit: Float[Array, ""]) -> Any:
    return lambda leaf: jnp.clip(leaf, -limit, limit)


_RULES = {"norm": _by_norm, "value": _by_value}
