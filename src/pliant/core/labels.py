"""How what an author says of a derivative stays in a traced program: that it is biased by intention, or accepted as it is.

A value goes through `jax.jit` of an identity whose name starts with `pliant_`. The name is the `name` of that equation,
and stays there under jit, vmap, scan, checkpoint and differentiation in both modes. Of a bias the identity is a
`stop_gradient`, and not nothing at all: a function that only forwards its argument is taken out when it is differentiated.
So a custom rule has to label its forward value too, or the label is lost with the original function.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from pliant.core.programs import Equation, trace

_PREFIX = "pliant_"
_BIASED, _ACCEPTED = "biased_", "accepted"


def biased(label: str, tree: PyTree) -> PyTree:
    """The tree without its derivative, and with a label in the program."""
    return _marking(_BIASED + label, jax.lax.stop_gradient)(tree)


def accepted(tree: PyTree) -> PyTree:
    """The tree and its derivative unchanged, and a mark that its author stands by both."""
    return _marking(_ACCEPTED, _as_it_is)(tree)


def label(equation: Equation) -> str:
    """The label of a biased derivative, empty where an equation is none."""
    mark = _mark(equation)
    return mark.removeprefix(_BIASED) if mark.startswith(_BIASED) else ""


def is_accepted(equation: Equation) -> bool:
    """Whether an equation is the mark that `accepted` leaves."""
    return _mark(equation) == _ACCEPTED


def labels(function: Callable, *arguments: Any) -> list[str]:
    """The labels in the program of `function(*arguments)` and in all that it calls: sorted, each once."""
    programs = trace(function, *arguments)[0].inner
    return sorted({label(equation) for program in programs for equation in program.equations} - {""})


@functools.lru_cache(maxsize=64)
def _marking(mark: str, leaf: Callable) -> Callable:
    def identity(tree: PyTree) -> PyTree:
        return jax.tree.map(leaf, tree)

    identity.__name__ = identity.__qualname__ = _PREFIX + mark
    return jax.jit(identity)


def _as_it_is(leaf: Any) -> Any:
    return leaf


def _mark(equation: Equation) -> str:
    name = equation.parameters.get("name")
    return name.removeprefix(_PREFIX) if isinstance(name, str) and name.startswith(_PREFIX) else ""
