"""How a derivative that is biased by intention says so in a traced program.

A value goes through `jax.jit` of an identity whose name starts with `pliant_biased_`. The name is the `name` of that
equation, and stays there under jit, vmap, scan, checkpoint and differentiation in both modes. The identity is a
`stop_gradient`, and not nothing at all: a function that only forwards its argument is taken out when it is differentiated.
So a custom rule has to label its forward value too, or the label is lost with the original function.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jaxtyping import PyTree

from pliant.core.programs import Program, trace

_PREFIX = "pliant_biased_"


def biased(label: str, tree: PyTree) -> PyTree:
    """The tree without its derivative, and with a label in the program."""

    def identity(tree: PyTree) -> PyTree:
        return jax.tree.map(jax.lax.stop_gradient, tree)

    identity.__name__ = identity.__qualname__ = _PREFIX + label
    return jax.jit(identity)(tree)


def labels(function: Callable, *arguments: Any) -> list[str]:
    """The labels in the program of `function(*arguments)` and in all that it calls: sorted, each once."""
    return sorted(set(_walk(trace(function, *arguments)[0])))


def _walk(program: Program) -> Iterator[str]:
    for equation in program.equations:
        name = equation.parameters.get("name")
        if isinstance(name, str) and name.startswith(_PREFIX):
            yield name.removeprefix(_PREFIX)
        for inner in equation.programs:
            yield from _walk(inner)
