"""Where a key stands in a TOML document: `tomllib` gives values alone, an error message wants the line as well."""

import re
from collections import Counter

Path = tuple[str | int, ...]

_OPAQUE = re.compile(
    r'"""(?:[^\\]|\\.)*?"""' r"|'''.*?'''" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'" r"|(?P<comment>#[^\n]*)", re.DOTALL
)
_KEY_PART = re.compile(r'"(?P<basic>(?:[^"\\]|\\.)*)"' r"|'(?P<literal>[^']*)'" r"|(?P<bare>[A-Za-z0-9_-]+)")
_HEADER = re.compile(r"\s*(?P<array>\[?)\[(?P<name>[^\[\]]+)\]")


class TomlLines:
    """The line of every table and key of a valid TOML document.

    A path names tables and keys, and counts the elements of an array of tables: `("block", 0, "horizon")`.
    """

    def __init__(self, text: str):
        self._lines: dict[Path, int] = {(): 1}
        self._counts: Counter[Path] = Counter()
        self._scan(text)

    def line(self, *path: str | int) -> int:
        """The line, counted from 1, of `path` or of the nearest table around it."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _scan(self, text: str) -> None:
        # Strings and comments are blanked at the same length, so that no bracket or `=` within one is taken for
        # structure and the text of a quoted key still stands at the same place in the original.
        table: Path = ()
        depth = 0
        lines = zip(text.splitlines(), _blanked(text).splitlines(), strict=True)
        for number, (line, skeleton) in enumerate(lines, start=1):
            header = _HEADER.match(skeleton) if depth == 0 else None
            if header:
                table = self._enter(_key(line[slice(*header.span("name"))]), bool(header["array"]))
                self._lines.setdefault(table, number)
                continue
            if depth == 0 and "=" in skeleton:
                self._lines.setdefault(table + _key(line[: skeleton.index("=")]), number)
            depth += _opened(skeleton)

    def _enter(self, name: Path, array: bool) -> Path:
        path: Path = ()
        for part in name[:-1]:
            path = self._latest((*path, part))
        path = (*path, name[-1])
        if array:
            self._counts[path] += 1
        return self._latest(path)

    def _latest(self, path: Path) -> Path:
        return (*path, self._counts[path] - 1) if path in self._counts else path


def _blanked(text: str) -> str:
    return _OPAQUE.sub(lambda match: re.sub(r"[^\n]", " " if match["comment"] else "x", match[0]), text)


def _opened(skeleton: str) -> int:
    return sum((c in "[{") - (c in "]}") for c in skeleton)


def _key(text: str) -> Path:
    return tuple(part[part.lastgroup or 0] for part in _KEY_PART.finditer(text))
