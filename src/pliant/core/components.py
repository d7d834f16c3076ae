"""Components are found by walking their folder, so that a new one is one new file and no list names it."""

import ast
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any


def lazy(package: str, folder: str) -> tuple[Any, Any, Any]:
    """`__getattr__`, `__dir__` and `components` for a package whose every public file holds one public name.

    A file's public name is read from its syntax tree, so that listing a package imports none of its files.
    """
    homes = {name: file.stem for file in sorted(Path(folder).glob("[!_]*.py")) for name in _public_names(file)}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(homes))}")
        return getattr(_module(package, homes[name]), name)

    def components() -> dict[str, Any]:
        """Every public component of this package by name."""
        return {name: load(name) for name in homes}

    return load, lambda: sorted([*homes, "components"]), components


def _public_names(file: Path) -> list[str]:
    kinds = (ast.ClassDef, ast.FunctionDef)
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def _module(package: str, stem: str) -> ModuleType:
    return importlib.import_module(f"{package}.{stem}")
