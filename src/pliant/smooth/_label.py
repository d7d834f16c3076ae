"""How a derivative that is biased by intention says so in a traced program.

A value goes through `jax.jit` of an identity whose name starts with `pliant_biased_`. The name is the `name` of that
equation in the jaxpr, and stays there under jit, vmap, scan, checkpoint and differentiation in both modes. The identity is
a `stop_gradient`, and not nothing at all: a function that only forwards its argument is taken out when it is differentiated.
So a custom rule has to label its forward value too, or the label is lost with the original function.
"""

from collections.abc import Iterator
from typing import Any

import jax
from jaxtyping import PyTree

_PREFIX = "pliant_biased_"


def biased(label: str, tree: PyTree) -> PyTree:
    """The tree without its derivative, and with a label in the program."""

    def identity(tree: PyTree) -> PyTree:
        return jax.tree.map(jax.lax.stop_gradient, tree)

    identity.__name__ = identity.__qualname__ = _PREFIX + label
    return jax.jit(identity)(tree)


def labels(jaxpr: Any) -> list[str]:
    """The labels in a jaxpr, closed or not, and in all that it calls: sorted, each once.

    Of `jax.make_jaxpr(function)(*arguments)`: ["clip_gradient"] where the derivative of `function` is biased by it.
    """
    return sorted(set(_walk(jaxpr)))


def _walk(jaxpr: Any) -> Iterator[str]:
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name = equation.params.get("name")
        if isinstance(name, str) and name.startswith(_PREFIX):
            yield name.removeprefix(_PREFIX)
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                yield from _walk(inner)


def _is_jaxpr(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")
