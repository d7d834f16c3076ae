"""Differentiable simulation on JAX: every gradient with an error bar and a verdict."""

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pliant.core.errors import CapabilityError as CapabilityError
    from pliant.core.errors import NotApplicable as NotApplicable
    from pliant.core.estimate import Estimate as Estimate
    from pliant.core.estimate import GradientEstimate as GradientEstimate
    from pliant.core.estimator import Estimator as Estimator
    from pliant.core.expectation import expectation as expectation
    from pliant.core.gradient import gradient as gradient
    from pliant.core.laws import Balance as Balance
    from pliant.core.laws import Evolve as Evolve
    from pliant.core.laws import HasDrift as HasDrift
    from pliant.core.laws import HasPathDensity as HasPathDensity
    from pliant.core.laws import HasStationaryDensity as HasStationaryDensity
    from pliant.core.laws import Invertible as Invertible
    from pliant.core.laws import Weigh as Weigh
    from pliant.core.noise import Normal as Normal
    from pliant.core.noise import Uniform as Uniform
    from pliant.core.observable import Observable as Observable
    from pliant.core.potential import Potential as Potential
    from pliant.draw.expect import expect as expect
else:
    # JAX takes most of a second to import: a name is imported when it is asked for, so that `pliant --help` need not
    # wait. The lines above, read from this file's syntax tree, say where each is; type checkers see nothing else.
    _homes = {
        name.name: node.module
        for node in ast.walk(ast.parse(Path(__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("pliant.")
        for name in node.names
    }
    _modules = {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}
    __all__ = sorted(_homes)

    def __getattr__(name: str) -> Any:
        if name in _homes:
            return getattr(importlib.import_module(_homes[name]), name)
        if name in _modules:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__dir__())}")

    def __dir__() -> list[str]:
        return sorted({*_homes, *_modules})
