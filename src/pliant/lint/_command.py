"""`pliant lint MODULE:FUNCTION`: a function found by its name, and arguments read from a command line."""

import ast
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pliant.lint._lint import lint
from pliant.lint.report import Report


def run(target: str, arguments: Sequence[str], **options: Any) -> Report:
    """The report on the function that `target` names.

    **Raises** ValueError for a target that is not there, for arguments that are no numbers or that it does not take, and
    for a target that fails at them.
    """
    function, given = _find(target), [_number(argument) for argument in arguments]
    _check_count(function, target, given)
    try:
        return lint(function, *given, **options)
    except ValueError:
        raise
    except Exception as error:  # whatever the user's program raises
        what = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"{target} fails at these arguments: {what}") from error


def _find(target: str) -> Callable:
    module, _, name = target.partition(":")
    if not (module and name):
        raise ValueError(
            f"Argument `MODULE:FUNCTION` must name both, such as physics.detector:response, but it was {target!r}."
        )
    # As `python -m` does: modules of the folder that the user stands in.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module raises
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"Argument `MODULE:FUNCTION` must name a function, but for {target!r}: {what}.") from error
    if not callable(function):
        raise ValueError(
            f"Argument `MODULE:FUNCTION` must name a function, but {target!r} is a {type(function).__name__}."
        )
    return function


def _check_count(function: Callable, target: str, arguments: Sequence[Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some callables do not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ValueError(f"Argument `--args` must be what {target}{signature} takes, but: {error}.") from None


def _number(text: str) -> Any:
    """A number, an array from a list of numbers, or the array of a .npy file."""
    if text.endswith(".npy"):
        return np.load(text)
    try:
        value = ast.literal_eval(text)
        array = np.asarray(value)
    except (ValueError, SyntaxError):
        value = array = None
    if array is None or array.dtype.kind not in "fiub":
        raise ValueError(f"Argument `--args` must hold numbers, lists of numbers or .npy files, but it held {text!r}.")
    return array if isinstance(value, list) else value
