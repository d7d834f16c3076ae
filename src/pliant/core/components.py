"""Components are found by walking their folder, so that a new one is one new file and no list names it."""

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class Folder:
    """A package whose every public file holds one public name, found when it is asked for.

    A file's public name is read from its syntax tree, so that listing a package imports none of its files.
    """

    def __init__(self, package: str, folder: str):
        self.package = package
        files = sorted(Path(folder).glob("[!_]*.py"))
        self.homes = {name: file.stem for file in files for name in _public_names(file)}
        sys.modules[package].__class__ = _Package

    def load(self, name: str) -> Any:
        """The component of that name; AttributeError names those that there are."""
        if name not in self.homes:
            known = ", ".join(sorted(self.homes))
            raise AttributeError(f"module {self.package!r} has no attribute {name!r}; it has {known}")
        return getattr(importlib.import_module(f"{self.package}.{self.homes[name]}"), name)

    def names(self) -> list[str]:
        """What `dir` shows."""
        return sorted([*self.homes, "components"])

    def components(self) -> dict[str, Any]:
        """Every public component of this package by name."""
        return {name: self.load(name) for name in self.homes}


class _Package(ModuleType):
    """A package whose functions are not hidden by the files that hold them.

    Importing a file sets it as an attribute of its package: `tail_index` would be the module from then on.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(value, ModuleType) or name not in self.__dir__():
            super().__setattr__(name, value)


def _public_names(file: Path) -> list[str]:
    kinds = (ast.ClassDef, ast.FunctionDef)
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]
