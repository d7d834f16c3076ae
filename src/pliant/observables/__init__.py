"""What is measured on a trajectory: one observable a file."""

from pliant.core.components import lazy

__getattr__, __dir__, components = lazy(__name__, __path__[0])
