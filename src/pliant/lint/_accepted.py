"""Findings that the author of a program stands by."""

import contextlib
from collections.abc import Iterator

import jax
from jaxtyping import PyTree

from pliant.core.labels import accepted
from pliant.core.programs import Equation

_SCOPE = "pliant.ignored"


def accept(x: PyTree, reason: str) -> PyTree:
    """x, with a reason why its derivative may be what it is: findings that reach the output through it alone are not made.

    A value goes through unchanged, and so does its derivative. `reason` is for those who read the program.

    **Raises** ValueError for an empty reason.
    """
    _give_reason(reason)
    return accepted(x)


@contextlib.contextmanager
def ignore(reason: str) -> Iterator[None]:
    """Within `with ignore("why"):` no findings are made.

    **Raises** ValueError for an empty reason.
    """
    _give_reason(reason)
    with jax.named_scope(_SCOPE):
        yield


def is_ignored(equation: Equation) -> bool:
    """Whether an equation was written under `ignore`."""
    return _SCOPE in equation.scope


def _give_reason(reason: str) -> None:
    if not (isinstance(reason, str) and reason.strip()):
        raise ValueError(f"Argument `reason` must say why the derivative may be what it is, but it was {reason!r}.")
