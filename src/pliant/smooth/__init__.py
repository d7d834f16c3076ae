"""Relaxations of sharp edges whose bias is known: one a file; safe functions, maps and shapes in folders of their own."""

from typing import Any

from pliant.core.components import Folder

_folder = Folder(__name__, __path__[0])
components = _folder.components

from pliant.smooth import reparametrise as reparametrise, safe as safe, shapes as shapes  # noqa: E402, I001


def __getattr__(name: str) -> Any:
    return _folder.load(name)


def __dir__() -> list[str]:
    return sorted([*_folder.names(), "reparametrise", "safe", "shapes"])
