"""Whose lines a program was written in: the user's, a library's, or this one's."""

import dataclasses
import functools
import linecache
import os

# What this library consists of.
LIBRARY = os.path.dirname(os.path.dirname(__file__)) + os.sep
# Whose lines are not the user's: installed packages, Python's own, this library.
_FOLDERS = ("site-packages", "dist-packages", os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(__file__)))


@dataclasses.dataclass(frozen=True)
class Place:
    """A line of the user's program. **Fields**: `file`, `line`, `function` it stands in."""

    file: str
    line: int
    function: str = ""

    @property
    def text(self) -> str:
        """The source line, empty where it is not at hand."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        here = os.getcwd() + os.sep
        return f"{self.file.removeprefix(here)}:{self.line}"


@functools.lru_cache(maxsize=4096)
def users_line(file: str) -> bool:
    """Whether a file is the user's: not Python's own, no installed package's, not this library's."""
    return not any(folder + os.sep in file for folder in _FOLDERS)
