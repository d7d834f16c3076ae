"""A value whose derivative is left out."""

from jaxtyping import PyTree

from pliant.core.labels import biased


def detach(tree: PyTree) -> PyTree:
    """The tree as it is, its derivative zero: `jax.lax.stop_gradient`, labelled.

    **Arguments**: `tree`, a pytree of arrays.

    BIASED: what depends on the parameters through the tree is left out of every derivative, at any size; there is
    no width to make it small. The label "detach" stays in the program, for a verdict to name. Where the derivative
    is zero in truth (a constant, a baseline), `jax.lax.stop_gradient` says so without a label.

    Source: the truncation of backpropagation; Williams and Peng, Neural Comput. 2, 490 (1990).
    """
    return biased("detach", tree)
