"""Maps from free numbers to constrained ones, and draws as functions of their parameters: one a file."""

from typing import Any

from pliant.core.components import Folder

_folder = Folder(__name__, __path__[0])
components = _folder.components


def __getattr__(name: str) -> Any:
    return _folder.load(name)


def __dir__() -> list[str]:
    return _folder.names()
