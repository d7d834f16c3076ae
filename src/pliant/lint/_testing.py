"""The linter as an assertion."""

from collections.abc import Callable, Sequence
from typing import Any

from pliant.lint._lint import lint
from pliant.lint.report import SEVERITIES


def assert_differentiable(
    function: Callable, *arguments: Any, allow: Sequence[str] = ("kink",), **options: Any
) -> None:
    """Raise AssertionError with the table of findings, where `lint(function, *arguments, **options)` finds any.

    `allow`: severities that may be found.

    **Raises** ValueError for a severity that does not exist.
    """
    for severity in allow:
        if severity not in SEVERITIES:
            known = ", ".join(SEVERITIES)
            raise ValueError(f"Argument `allow` must hold severities ({known}), but it held {severity!r}.")
    report = lint(function, *arguments, **options)
    if any(finding.severity not in allow for finding in report):
        raise AssertionError(f"\n{report}")
