"""Benchmark problems with their exact values and exact gradients: one a file."""

from pliant.core.components import lazy

__getattr__, __dir__, components = lazy(__name__, __path__[0])
