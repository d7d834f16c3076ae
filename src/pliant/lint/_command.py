"""`pliant lint MODULE:FUNCTION`: a function found by its name, and arguments read from a command line."""

import ast
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pliant.lint._lint import lint
from pliant.lint.report import Report


def run(target: str, arguments: Sequence[str], **options: Any) -> Report:
    """The report on the function that `target` names.

    **Raises** ValueError for a target that is not there and for arguments that are no numbers.
    """
    return lint(_find(target), *map(_number, arguments), **options)


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
    except (ImportError, AttributeError) as error:
        raise ValueError(f"Argument `MODULE:FUNCTION` must name a function, but for {target!r}: {error}.") from None
    if not callable(function):
        raise ValueError(
            f"Argument `MODULE:FUNCTION` must name a function, but {target!r} is a {type(function).__name__}."
        )
    return function


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
