"""Random draws that can be differentiated: explicit discrete draws, and the expectation of programs that make them."""

from typing import Any

from pliant.core.components import Folder

_folder = Folder(__name__, __path__[0])
components = _folder.components


def __getattr__(name: str) -> Any:
    return _folder.load(name)


def __dir__() -> list[str]:
    return _folder.names()
