"""Where a JAX function is not honestly differentiable: `pliant.lint(function, *arguments)`."""

import sys
from types import ModuleType
from typing import Any

from pliant.lint._accepted import accept as accept
from pliant.lint._accepted import ignore as ignore
from pliant.lint._lint import lint
from pliant.lint._testing import assert_differentiable as assert_differentiable
from pliant.lint.report import Finding as Finding
from pliant.lint.report import Report as Report


class _Linter(ModuleType):
    """The package is called as the function that it is about."""

    def __call__(self, *arguments: Any, **options: Any) -> Report:
        return lint(*arguments, **options)


_Linter.__call__.__doc__ = lint.__doc__
sys.modules[__name__].__class__ = _Linter
