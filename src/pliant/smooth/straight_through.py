"""A hard value with the derivative of a soft one."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from pliant.core.labels import biased


def straight_through(hard: PyTree, soft: PyTree) -> PyTree:
    """The value of `hard`, exactly, with every derivative of `soft`.

    **Arguments**: `hard` and `soft`, pytrees of the same structure, shapes and floating types.

    BIASED: the derivative belongs to another function than the value. A narrow `soft` does not help: the bias goes with the
    width for linear functions of the value alone. The label "straight_through" stays in the program, for a verdict to name.
    Both derivative modes.

    Raises ValueError where structures, shapes or types differ.

    Source: Bengio, Léonard and Courville, arXiv:1308.3432 (2013).
    """
    hard, soft = jax.tree.map(jnp.asarray, (hard, soft))
    described = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), tree) for tree in (hard, soft)]
    if described[0] != described[1]:
        raise ValueError(f"Argument `hard` must have the form of `soft`, {described[1]}, but it was {described[0]}.")
    return _joined(hard, soft)


@jax.custom_jvp
def _joined(hard: PyTree, soft: PyTree) -> PyTree:
    return biased("straight_through", hard)


@_joined.defjvp
def _rule(primals: tuple[PyTree, PyTree], tangents: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
    return _joined(*primals), tangents[1]
